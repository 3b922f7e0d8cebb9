//! Time of a refused login: it does not show who has an account.
//!
//! That the work is the same is tested where it can be counted, in `actors/auth`; here the time is measured and shown,
//! and only a difference that no noise explains fails.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{PASSWORD, refused_with};
use crate::support::Cluster;

/// Logins of each kind.
const LOGINS: usize = 25;
/// How much longer one kind may take than the other. One with a computation of Argon2 less would take a tenth.
const MOST: f64 = 2.0;

#[test]
fn a_wrong_password_takes_as_long_as_an_unknown_address() {
    let cluster = Cluster::single()
        .set("gateway.rate_limit_per_second", 0)
        .set("auth.throttle.account_free", 1_000)
        .set("auth.throttle.address_free", 1_000)
        .start();
    let api = cluster.api();
    api.register("somebody@example.com", PASSWORD, "Somebody");
    let time = |email: &str| {
        let body = json!({ "email": email, "password": "not the password" });
        let begun = Instant::now();
        let answer = api.post("/auth/login", body);
        let taken = begun.elapsed();
        (taken, refused_with(401, answer).body["title"].clone())
    };
    let (mut wrong, mut unknown) = (Vec::new(), Vec::new());
    for _ in 0..LOGINS {
        let (known_time, known_title) = time("somebody@example.com");
        let (unknown_time, unknown_title) = time("nobody@example.com");
        assert_eq!(known_title, unknown_title);
        wrong.push(known_time);
        unknown.push(unknown_time);
    }
    let (wrong, unknown) = (median(wrong), median(unknown));
    let ratio = wrong.as_secs_f64() / unknown.as_secs_f64();
    println!("median of {LOGINS} logins: {wrong:?} with a wrong password, {unknown:?} as nobody; ratio {ratio:.3}");
    assert!((1.0 / MOST..MOST).contains(&ratio), "{wrong:?} and {unknown:?} can be told apart");
    cluster.stop();
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
