//! The only source of time, ids and randomness.
//!
//! Neither the runtime nor a capability reads a clock or a generator of its own: with one source that a test can pause and
//! seed, a whole topology can be run again from a number.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::rngs::{StdRng, SysRng};
use rand::{Rng, SeedableRng};
use tokio::time::Instant;
use uuid::Uuid;

use crate::lock::Mutex;

/// The clock, the generator and the source of ids. Cheap to clone; clones share one state.
#[derive(Clone)]
pub struct Env {
    inner: Arc<Inner>,
}

struct Inner {
    /// In a simulation the wall clock is this origin plus the (pausable) monotonic clock.
    simulated_origin: Option<(Instant, Duration)>,
    /// A cryptographic generator, for secrets.
    secrets: Mutex<StdRng>,
    /// A counter whose values are mixed, for trace ids, jitter and the like: two nanoseconds, and no lock.
    counter: AtomicU64,
}

impl Env {
    /// The machine's own clock, and a generator seeded by the operating system.
    ///
    /// # Panics
    /// If the operating system has no randomness to give; nothing can be signed or named then.
    pub fn system() -> Self {
        let mut secrets = StdRng::try_from_rng(&mut SysRng).expect("the operating system gives randomness");
        let counter = AtomicU64::new(secrets.next_u64());
        Self { inner: Arc::new(Inner { simulated_origin: None, secrets: Mutex::new(secrets), counter }) }
    }

    /// A repeatable environment: tokio's clock (which a test may pause), starting at `wall`, and a seeded generator.
    pub fn simulated(seed: u64, wall: Duration) -> Self {
        let mut secrets = StdRng::seed_from_u64(seed);
        let counter = AtomicU64::new(secrets.next_u64());
        let simulated_origin = Some((Instant::now(), wall));
        Self { inner: Arc::new(Inner { simulated_origin, secrets: Mutex::new(secrets), counter }) }
    }

    /// Whether time and randomness repeat themselves from a seed.
    #[inline]
    pub fn is_simulated(&self) -> bool {
        self.inner.simulated_origin.is_some()
    }

    /// The monotonic clock.
    #[inline]
    pub fn now(&self) -> Instant {
        Instant::now()
    }

    /// The wall clock, in milliseconds since 1970 (UTC).
    #[inline]
    pub fn wall_ms(&self) -> u64 {
        self.wall().as_millis() as u64
    }

    /// The wall clock, since 1970 (UTC).
    #[allow(clippy::disallowed_methods)] // The one place that reads the machine's clock.
    pub fn wall(&self) -> Duration {
        match self.inner.simulated_origin {
            Some((origin, wall)) => wall + origin.elapsed(),
            None => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        }
    }

    /// A new id that carries its creation time (a UUID of version 7).
    pub fn id(&self) -> Uuid {
        self.id_of(self.wall_ms())
    }

    /// The text of a new id that carries this time, in milliseconds since 1970.
    pub fn id_at(&self, ms: u64) -> String {
        self.id_of(ms).to_string()
    }

    fn id_of(&self, ms: u64) -> Uuid {
        let mut random = [0; 10];
        random[..8].copy_from_slice(&self.random().to_be_bytes());
        random[8..].copy_from_slice(&self.random().to_be_bytes()[..2]);
        uuid::Builder::from_unix_timestamp_millis(ms, &random).into_uuid()
    }

    /// A number that is unlikely to repeat and not secret (SplitMix64 over a counter).
    #[inline]
    pub fn random(&self) -> u64 {
        let [number] = self.randoms();
        number
    }

    /// `N` such numbers at the price of one step of the counter.
    #[inline]
    pub fn randoms<const N: usize>(&self) -> [u64; N] {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let first = self.inner.counter.fetch_add(STEP.wrapping_mul(N as u64), Ordering::Relaxed);
        std::array::from_fn(|i| {
            let mut z = first.wrapping_add(STEP.wrapping_mul(i as u64));
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        })
    }

    /// A number in `0.0..1.0`, for jitter and sampling.
    #[inline]
    pub fn fraction(&self) -> f64 {
        (self.random() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Fills `buffer` with bytes fit for secrets: keys, tokens, salts.
    pub fn fill_secret(&self, buffer: &mut [u8]) {
        self.inner.secrets.lock().fill_bytes(buffer);
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Env")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_seed_gives_the_same_ids_again() {
        let wall = Duration::from_secs(1_000);
        let (a, b) = (Env::simulated(7, wall), Env::simulated(7, wall));
        assert_eq!((a.id(), a.random()), (b.id(), b.random()));
        assert_ne!(a.id(), b.random_id_after_one_more());
    }

    impl Env {
        fn random_id_after_one_more(&self) -> Uuid {
            self.random();
            self.id()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn simulated_wall_time_follows_the_paused_clock() {
        let env = Env::simulated(1, Duration::from_secs(50));
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(env.wall_ms(), 53_000);
        assert_eq!(env.id().get_timestamp().map(|t| t.to_unix().0), Some(53));
    }
}
