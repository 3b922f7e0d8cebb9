//! Which firings of a schedule are due.

use super::{CronExpression, Missed};

/// A firing that is later than this is missed.
const LATE_MS: u64 = 60_000;
/// Missed firings that are made up for, at most.
const MISSED_MOST: usize = 1_000;

/// What is due of one schedule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Firings {
    /// The planned moments, in order.
    pub planned_ms: Vec<u64>,
    /// Firings that are left out though the schedule would have them: there are more than are made up for.
    pub left_out: bool,
}

/// The firings that are due at `now_ms`, of those after `last_ms`.
pub fn firings(expression: &CronExpression, missed: Missed, last_ms: u64, now_ms: u64) -> Firings {
    let late = now_ms.saturating_sub(LATE_MS);
    let mut due = if last_ms < late { missed_firings(expression, missed, last_ms, late) } else { Firings::default() };
    let mut at = last_ms.max(late);
    while let Some(next) = expression.after(at).filter(|next| *next <= now_ms && *next > at) {
        due.planned_ms.push(next);
        at = next;
    }
    due
}

/// Those to be made up for of the firings after `last_ms` and up to `late_ms`.
fn missed_firings(expression: &CronExpression, missed: Missed, last_ms: u64, late_ms: u64) -> Firings {
    let most = match missed {
        Missed::Skip => 0,
        Missed::Once => 1,
        Missed::All => MISSED_MOST,
    };
    // Moments are whole seconds: before the next one is up to this one.
    let latest = expression.before((late_ms / 1_000 + 1) * 1_000);
    let mut moments = std::iter::successors(latest, |at| expression.before(*at)).take_while(|at| *at > last_ms);
    let mut planned_ms: Vec<u64> = moments.by_ref().take(most).collect();
    planned_ms.reverse();
    Firings { planned_ms, left_out: missed == Missed::All && moments.next().is_some() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;
    const NOW: u64 = 1_767_225_600_000;

    fn due(cron: &str, missed: Missed, last_ms: u64, now_ms: u64) -> Vec<u64> {
        firings(&CronExpression::parse(cron, "UTC").unwrap(), missed, last_ms, now_ms).planned_ms
    }

    #[test]
    fn nothing_is_due_before_its_time_and_each_moment_is_due_once() {
        assert_eq!(due("* * * * *", Missed::Skip, NOW, NOW + MINUTE - 1), [] as [u64; 0]);
        assert_eq!(due("* * * * *", Missed::Skip, NOW, NOW + MINUTE), [NOW + MINUTE]);
        assert_eq!(due("* * * * *", Missed::Skip, NOW + MINUTE, NOW + MINUTE + 200), [] as [u64; 0]);
    }

    #[test]
    fn a_short_absence_loses_nothing_whatever_is_to_become_of_missed_firings() {
        for missed in [Missed::Skip, Missed::Once, Missed::All] {
            let expected: Vec<u64> = (1..=30).map(|s| NOW + s * 1_000).collect();
            assert_eq!(due("* * * * * *", missed, NOW, NOW + 30_500), expected);
        }
    }

    #[test]
    fn a_long_absence_is_made_up_for_as_the_schedule_says() {
        let now = NOW + 10 * MINUTE;
        let planned = |minutes: &[u64]| minutes.iter().map(|m| NOW + m * MINUTE).collect::<Vec<_>>();
        assert_eq!(due("*/2 * * * *", Missed::Skip, NOW, now + 500), planned(&[10]));
        assert_eq!(due("*/2 * * * *", Missed::Once, NOW, now + 500), planned(&[8, 10]));
        assert_eq!(due("*/2 * * * *", Missed::All, NOW, now + 500), planned(&[2, 4, 6, 8, 10]));
        assert_eq!(due("*/2 * * * *", Missed::Once, NOW, now + MINUTE + 500), planned(&[10]));
        assert_eq!(due("*/2 * * * *", Missed::Skip, NOW, now + MINUTE + 500), [] as [u64; 0]);
    }

    #[test]
    fn what_is_made_up_for_has_a_bound() {
        let expression = CronExpression::parse("* * * * * *", "UTC").unwrap();
        let found = firings(&expression, Missed::All, NOW, NOW + 60 * MINUTE);
        // All of the last minute are on time.
        assert_eq!(found.planned_ms.len(), MISSED_MOST + 60);
        assert!(found.left_out && found.planned_ms.is_sorted());
        assert_eq!(found.planned_ms.last(), Some(&(NOW + 60 * MINUTE)));
    }

    #[test]
    fn a_clock_that_went_back_fires_nothing_again() {
        assert_eq!(due("* * * * *", Missed::All, NOW + 10 * MINUTE, NOW), [] as [u64; 0]);
    }
}
