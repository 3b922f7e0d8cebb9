//! The share of new traces that is kept: all of them, until that is more than the rings hold for as long as they should.
//!
//! It is decided where a trace begins, and the decision travels with the trace: so a trace is kept by all its nodes, or by none.

use std::sync::atomic::{AtomicU64, Ordering};

use essaim_base::trace::TraceContext;

/// What the share is measured by.
const ALL: u64 = u64::MAX;
/// The least share: less than one trace in a million says nothing.
const LEAST: u64 = ALL / (1 << 20);
/// By how much the share grows or falls at a time, at most.
const STEP_UP: f64 = 2.0;
const STEP_DOWN: f64 = 1.0 / 16.0;

/// The share of new traces that this node keeps.
pub struct Sampler(AtomicU64);

impl Sampler {
    pub fn new(is_on: bool) -> Self {
        Self(AtomicU64::new(if is_on { ALL } else { 0 }))
    }

    /// Whether a new trace is kept; its id is random.
    #[inline]
    pub fn keeps(&self, trace: &TraceContext) -> bool {
        let share = self.0.load(Ordering::Relaxed);
        share == ALL || (trace.trace_id as u64) < share
    }

    /// The share now, in `0.0..=1.0`.
    pub fn share(&self) -> f64 {
        self.0.load(Ordering::Relaxed) as f64 / ALL as f64
    }

    /// More was written than may be: new traces are kept half as often from now on.
    pub fn halve(&self) {
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |share| (share > 0).then_some((share / 2).max(LEAST)));
    }

    /// So many bytes were written where so many may be: the share follows.
    pub fn follow(&self, written: u64, may_be: u64) {
        let step = if written == 0 { STEP_UP } else { (may_be as f64 / written as f64).clamp(STEP_DOWN, STEP_UP) };
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |share| {
            // The cast saturates at all.
            (share > 0).then(|| ((share as f64 * step) as u64).max(LEAST))
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use essaim_base::Env;

    use super::*;

    fn kept_of_a_thousand(sampler: &Sampler, env: &Env) -> usize {
        (0..1_000).filter(|_| sampler.keeps(&TraceContext::root(env))).count()
    }

    #[test]
    fn all_is_kept_until_it_is_too_much_and_again_afterwards() {
        let (sampler, env) = (Sampler::new(true), Env::simulated(1, Duration::ZERO));
        sampler.follow(100, 1_000);
        assert_eq!(kept_of_a_thousand(&sampler, &env), 1_000);
        sampler.follow(4_000, 1_000);
        assert!((200..300).contains(&kept_of_a_thousand(&sampler, &env)));
        sampler.halve();
        assert!((90..160).contains(&kept_of_a_thousand(&sampler, &env)));
        (0..5).for_each(|_| sampler.follow(0, 1_000));
        assert_eq!(kept_of_a_thousand(&sampler, &env), 1_000);
    }

    #[test]
    fn the_share_never_falls_to_nothing_and_what_is_off_stays_off() {
        let (on, off) = (Sampler::new(true), Sampler::new(false));
        for sampler in [&on, &off] {
            (0..100).for_each(|_| sampler.halve());
            (0..100).for_each(|_| sampler.follow(u64::MAX, 1));
        }
        assert!(on.share() > 0.0 && off.share() == 0.0);
        (0..40).for_each(|_| [&on, &off].into_iter().for_each(|s| s.follow(0, 1)));
        assert_eq!((on.share(), off.share()), (1.0, 0.0));
    }
}
