//! Slowing down those who guess passwords.
//!
//! Failed logins are counted for the account and for the client's address; beyond a number that costs nothing each
//! failure doubles a wait, up to a limit, during which logins are refused before any password is looked at. An address
//! that does not exist has a counter like any other, so refusals tell nothing about who has an account.
//!
//! An attacker must not lock a victim out. So an address from which the right password came before is *known* to that
//! account: its failures are counted for the pair of both, and the account's own counter, which strangers drive up,
//! does not hold it back. The account's wait is short (a minute by default), refused logins do not lengthen it, and
//! guessing from many addresses at once is still limited to one guess a wait. What remains: while an attack lasts, the
//! victim may have to try more than once from an address never used before.
//!
//! The counters are looked at twice. The first look, before the password is hashed, is cheap. The second is in the
//! transaction that counts: of many guesses sent at one moment, those that find a wait when they are done are refused,
//! right or wrong, and so learn nothing.

use std::net::IpAddr;

use essaim_text::{Mailbox, caseless};
use sea_orm::{ConnectionTrait, DbErr};
use sha2::{Digest, Sha256};

use crate::settings::{ThrottleSettings, days_ms, ms};
use crate::store::throttle::{self as store, Counter};

/// Which counters one login concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parties {
    account: String,
    address: String,
    pair: String,
}

/// A login that is refused without a look at its password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wait {
    /// For how long, in milliseconds.
    pub ms: i64,
}

impl Wait {
    /// In whole seconds, at least one.
    pub fn seconds(self) -> u32 {
        u32::try_from((self.ms.max(1) + 999) / 1_000).unwrap_or(u32::MAX)
    }
}

impl Parties {
    /// The parties of a login. E-mail addresses are kept as hashes: the counters show no addresses that people
    /// mistyped, and all have the same length.
    pub fn of(email: &str, address: &str) -> Self {
        // All forms of one address are one account, or each would allow as many guesses again.
        let mailbox = Mailbox::try_new(email).map_or_else(|_| caseless(email), |mailbox| mailbox.key);
        let account = crate::base64url(&Sha256::digest(mailbox));
        let address = network(address);
        Self {
            pair: format!("pair:{account}@{address}"),
            account: format!("account:{account}"),
            address: format!("address:{address}"),
        }
    }

    /// Whether the right password came from this address before.
    pub async fn known(&self, db: &impl ConnectionTrait, policy: &ThrottleSettings, now: i64) -> Result<bool, DbErr> {
        store::is_known(db, &self.pair, now - days_ms(policy.known_address_days)).await
    }

    /// In the order in which they are locked, which is the same everywhere: or two logins would wait for each other.
    fn counters(&self, known: bool) -> [&str; 2] {
        if known { [&self.address, &self.pair] } else { [&self.account, &self.address] }
    }

    /// Whether the parties have to wait.
    pub async fn check(&self, db: &impl ConnectionTrait, known: bool, now: i64) -> Result<Option<Wait>, DbErr> {
        Ok(wait(&store::read(db, &self.counters(known)).await?, now))
    }

    /// Counts a failure, in the caller's transaction, unless the parties have to wait meanwhile.
    pub async fn failed(
        &self,
        db: &impl ConnectionTrait,
        known: bool,
        policy: &ThrottleSettings,
        now: i64,
    ) -> Result<Option<Wait>, DbErr> {
        let counters = match self.lock(db, known, now).await? {
            Ok(counters) => counters,
            Err(wait) => return Ok(Some(wait)),
        };
        for counter in counters {
            let counter = after_failure(counter, policy, now);
            store::write(db, &counter).await?;
        }
        Ok(None)
    }

    /// Takes note of the right password, in the caller's transaction, unless the parties have to wait meanwhile.
    ///
    /// The address's counter stays: an attacker could reset it with an account of their own. So does the account's when
    /// the address was known: its owner's logins would give an attacker new guesses.
    pub async fn succeeded(
        &self,
        db: &impl ConnectionTrait,
        known: bool,
        policy: &ThrottleSettings,
        now: i64,
    ) -> Result<Option<Wait>, DbErr> {
        if let Err(wait) = self.lock(db, known, now).await? {
            return Ok(Some(wait));
        }
        let reset: &[&str] = if known { &[&self.pair] } else { &[&self.account, &self.pair] };
        store::delete(db, reset).await?;
        store::know(db, &self.pair, &self.account, now).await?;
        if !known {
            store::forget_oldest_known(db, &self.account, policy.known_addresses.into()).await?;
        }
        Ok(None)
    }

    /// The parties' counters, or how long they have to wait. Locked, not only read: a failure that is being counted
    /// beside this must be seen.
    async fn lock(
        &self,
        db: &impl ConnectionTrait,
        known: bool,
        now: i64,
    ) -> Result<Result<Vec<Counter>, Wait>, DbErr> {
        let counters = store::lock(db, &self.counters(known), now).await?;
        Ok(match wait(&counters, now) {
            Some(wait) => Err(wait),
            None => Ok(counters),
        })
    }
}

/// Deletes counters and known addresses that have expired, and the counters beyond `counters_most`.
pub(crate) async fn sweep(db: &impl ConnectionTrait, policy: &ThrottleSettings, now: i64) -> Result<(), DbErr> {
    store::delete_before(db, now - ms(policy.forget_seconds), now - days_ms(policy.known_address_days)).await?;
    store::delete_beyond(db, policy.counters_most.into()).await
}

fn wait(counters: &[Counter], now: i64) -> Option<Wait> {
    let until = counters.iter().map(|c| c.blocked_until).max()?;
    (until > now).then_some(Wait { ms: until - now })
}

/// A counter after one more failure.
fn after_failure(counter: Counter, policy: &ThrottleSettings, now: i64) -> Counter {
    let (free, most) = match counter.key.starts_with("address:") {
        true => (policy.address_free, policy.address_wait_most_seconds),
        false => (policy.account_free, policy.account_wait_most_seconds),
    };
    let forgotten = counter.last_at + ms(policy.forget_seconds) <= now;
    let failures = if forgotten { 1 } else { counter.failures.saturating_add(1) };
    let blocked_until = match failures - i64::from(free) {
        beyond if beyond < 0 => 0,
        beyond => {
            // Twenty doublings of a second are twelve days; more would only overflow.
            let doubled = ms(policy.wait_first_seconds).saturating_mul(1 << beyond.min(20));
            now + doubled.min(ms(most))
        }
    };
    Counter { failures, last_at: now, blocked_until, ..counter }
}

/// What counts as one address: an IPv6 client has a whole /64 to itself.
fn network(address: &str) -> String {
    match address.parse::<IpAddr>().map(|a| a.to_canonical()) {
        Ok(IpAddr::V4(v4)) => v4.to_string(),
        Ok(IpAddr::V6(v6)) => {
            let [a, b, c, d, ..] = v6.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
        Err(_) => "unknown".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> ThrottleSettings {
        ThrottleSettings { account_free: 3, account_wait_most_seconds: 20, forget_seconds: 60, ..Default::default() }
    }

    fn counter(key: &str, failures: i64) -> Counter {
        Counter { key: key.into(), failures, last_at: 1_000, blocked_until: 0 }
    }

    #[test]
    fn each_failure_beyond_the_free_ones_doubles_the_wait_up_to_the_limit() {
        let waits = (0..8).map(|n| after_failure(counter("account:a", n), &policy(), 1_000).blocked_until - 1_000);
        assert_eq!(waits.collect::<Vec<_>>(), [-1_000, -1_000, 5_000, 10_000, 20_000, 20_000, 20_000, 20_000]);
        let many = after_failure(counter("account:a", i64::MAX), &policy(), 1_000);
        assert_eq!(many.blocked_until, 21_000);
    }

    #[test]
    fn failures_are_forgotten_after_a_rest() {
        assert_eq!(after_failure(counter("account:a", 9), &policy(), 61_000).failures, 1);
        assert_eq!(after_failure(counter("account:a", 9), &policy(), 60_999).failures, 10);
    }

    #[test]
    fn addresses_that_one_client_can_choose_freely_are_one() {
        let of = |address| Parties::of("a@b.c", address);
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"), "an IPv4 address in IPv6 clothes");
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }

    #[test]
    fn an_account_has_one_counter_in_every_spelling() {
        assert_eq!(Parties::of("Ada@B.C", "::1"), Parties::of("ａda@b.c", "::1"));
        assert_eq!(Parties::of("ada@bücher.de", "::1"), Parties::of("ada@XN--bcher-kva。de.", "::1"));
    }

    #[test]
    fn a_wait_is_told_in_whole_seconds_rounded_up() {
        assert_eq!([Wait { ms: 1 }.seconds(), Wait { ms: 1_000 }.seconds(), Wait { ms: 1_001 }.seconds()], [1, 1, 2]);
    }
}
