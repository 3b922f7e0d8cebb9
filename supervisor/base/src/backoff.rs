//! Exponential backoff with jitter.

use std::time::Duration;

use crate::Env;

/// The pauses between tries: doubling from `first` up to `most`, each shortened at random by up to a half, so that
/// clients that failed together do not come back together (see "Exponential Backoff And Jitter", AWS Architecture Blog).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The longest pause before the second try.
    pub first: Duration,
    /// The longest pause of all.
    pub most: Duration,
}

impl Backoff {
    /// The pause after this many failures in a row, counted from 1.
    pub fn delay(&self, failures: u32, env: &Env) -> Duration {
        let doubled = self.first.saturating_mul(1 << failures.saturating_sub(1).min(20));
        doubled.min(self.most).mul_f64(1.0 - env.fraction() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waits_double_up_to_the_bound_and_are_never_half_as_long() {
        let env = Env::simulated(3, Duration::ZERO);
        let backoff = Backoff { first: Duration::from_millis(100), most: Duration::from_secs(1) };
        for (failures, longest) in [(1, 100), (2, 200), (3, 400), (4, 800), (5, 1000), (60, 1000)] {
            let delay = backoff.delay(failures, &env).as_millis();
            assert!((longest / 2..=longest).contains(&delay), "{failures} failures: {delay} ms");
        }
    }
}
