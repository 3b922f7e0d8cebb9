//! Free ports.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the range from which the system takes the ports of outgoing connections, so that none of those is in the way
/// when a server binds its port a moment later, or again after a restart.
const FIRST: u16 = 10_000;
const COUNT: u16 = 22_000;

/// A port that nobody listens on now, and that no other caller in this process is given.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Two test binaries at a time begin at different places.
    let offset = (std::process::id().wrapping_mul(131) % u32::from(COUNT)) as u16;
    for _ in 0..COUNT {
        let turn = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + offset.wrapping_add(turn) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port between {FIRST} and {} is free", FIRST + COUNT);
}

#[test]
fn a_port_is_given_once_and_can_be_bound() {
    let ports: std::collections::BTreeSet<u16> = (0..50).map(|_| free_port()).collect();
    assert_eq!(ports.len(), 50);
    assert!(TcpListener::bind(("127.0.0.1", *ports.first().unwrap())).is_ok());
}
