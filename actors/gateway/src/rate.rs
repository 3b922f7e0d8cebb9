//! How many requests a client may send.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use essaim::lock::Mutex;
use tokio::time::Instant;

use crate::bounded::Bounded;

/// A token bucket for each client, kept as one number: the time at which its bucket would be full (the generic cell
/// rate algorithm, ITU-T I.371).
pub(crate) struct RateLimit {
    origin: Instant,
    /// Between two requests at the allowed rate; zero: no limit.
    period: Duration,
    /// How far ahead of the allowed rate a client may be.
    tolerance: Duration,
    full_at: Mutex<Bounded<IpAddr, Duration>>,
}

impl RateLimit {
    /// At most `per_second` requests of a client, and `burst` at once, for at most `clients` clients.
    pub fn new(per_second: u32, burst: u32, clients: usize, now: Instant) -> Self {
        let period = if per_second == 0 { Duration::ZERO } else { Duration::from_secs(1) / per_second };
        let tolerance = period * burst.max(1);
        Self { origin: now, period, tolerance, full_at: Mutex::new(Bounded::new(clients)) }
    }

    /// Counts a request.
    ///
    /// # Errors
    /// How long the client has to wait, if it may not send it.
    pub fn admit(&self, client: IpAddr, now: Instant) -> Result<(), Duration> {
        if self.period.is_zero() {
            return Ok(());
        }
        let (client, now) = (one_client(client), now - self.origin);
        let mut clients = self.full_at.lock();
        let Some(full_at) = clients.get(&client) else {
            clients.insert(client, now + self.period);
            return Ok(());
        };
        let after = (*full_at).max(now) + self.period;
        match after.checked_sub(now + self.tolerance) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => {
                *full_at = after;
                Ok(())
            }
        }
    }

    /// How many clients are remembered.
    pub fn clients(&self) -> usize {
        self.full_at.lock().len()
    }
}

/// One client may have all the addresses of an IPv6 network of 64 bits.
fn one_client(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_has_its_burst_and_then_its_rate() {
        let now = Instant::now();
        let limit = RateLimit::new(10, 3, 100, now);
        let (a, b) = (address("192.0.2.1"), address("192.0.2.2"));
        for _ in 0..3 {
            assert_eq!(limit.admit(a, now), Ok(()));
        }
        assert_eq!(limit.admit(a, now), Err(Duration::from_millis(100)));
        assert_eq!(limit.admit(b, now), Ok(()), "each client has a bucket of its own");
        let later = now + Duration::from_millis(100);
        assert_eq!(limit.admit(a, later), Ok(()));
        assert!(limit.admit(a, later).is_err());
        let rested = later + Duration::from_secs(60);
        assert_eq!((0..9).filter(|_| limit.admit(a, rested).is_ok()).count(), 3, "a rest does not save up more");
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_of_one_ipv6_network_are_one_client() {
        let now = Instant::now();
        let limit = RateLimit::new(1, 1, 100, now);
        assert_eq!(limit.admit(address("2001:db8::1"), now), Ok(()));
        assert!(limit.admit(address("2001:db8::2"), now).is_err());
        assert_eq!(limit.admit(address("2001:db8:0:1::1"), now), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_clients_is_bounded_and_zero_is_no_limit() {
        let now = Instant::now();
        let (limit, none) = (RateLimit::new(1, 1, 10, now), RateLimit::new(0, 0, 10, now));
        for i in 0..100u32 {
            let client = IpAddr::from(i.to_be_bytes());
            let _ = limit.admit(client, now);
            assert_eq!(none.admit(address("192.0.2.1"), now), Ok(()));
        }
        assert!(limit.clients() <= 10);
    }
}
