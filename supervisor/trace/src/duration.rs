//! Durations as people read them.

/// A duration with a unit that suits it, to a tenth of that.
pub fn duration(us: u64) -> String {
    let (tenths, unit) = match us {
        0..1_000 => return format!("{us} µs"),
        1_000..1_000_000 => (us / 100, "ms"),
        _ => (us / 100_000, "s"),
    };
    match tenths % 10 {
        0 => format!("{} {unit}", tenths / 10),
        tenth => format!("{}.{tenth} {unit}", tenths / 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_the_unit_that_suits_it() {
        for (us, text) in [
            (0, "0 µs"),
            (999, "999 µs"),
            (1_000, "1 ms"),
            (15_850, "15.8 ms"),
            (999_999, "999.9 ms"),
            (4_000_000, "4 s"),
            (61_290_000, "61.2 s"),
        ] {
            assert_eq!(duration(us), text);
        }
    }
}
