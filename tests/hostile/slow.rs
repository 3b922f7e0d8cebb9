//! Clients that take their time: each is hung up on within its limit, and others are served meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::refused_with;
use crate::support::{Cluster, Raw, eventually};

/// The limits of these tests, in milliseconds: the shortest there may be, so that nobody waits long for what must end.
const LIMIT_MS: u64 = 1_000;
/// Between two bytes of a slow client; less than any limit, so that only the whole can be too slow.
const DRIP: Duration = Duration::from_millis(40);

fn impatient() -> Cluster {
    Cluster::single()
        .set("gateway.client_header_timeout_ms", LIMIT_MS)
        .set("gateway.client_body_timeout_ms", LIMIT_MS)
        .set("gateway.keep_alive_ms", LIMIT_MS)
        .set("gateway.client_close_timeout_ms", LIMIT_MS)
        .set("gateway.max_connections", 64)
        .start()
}

/// Sends the bytes one at a time until the server takes no more of them; panics if it takes them all.
#[track_caller]
fn drip(raw: &mut Raw, endless: &[u8]) {
    for byte in endless.iter().cycle().take(1_000) {
        if !raw.send([*byte]) {
            return;
        }
        thread::sleep(DRIP);
    }
    panic!("the server took a thousand bytes, one every {DRIP:?}, and hung up on none");
}

/// Runs a slow client while another one is served without a break.
#[track_caller]
fn beside_others(cluster: &mut Cluster, slow: impl FnOnce(u16) + Send) {
    // On connections of their own: one that is kept may be let go for being idle, in the moment before it is used.
    let (api, over) = (cluster.api().with("Connection", "close"), AtomicBool::new(false));
    thread::scope(|scope| {
        let others = scope.spawn(|| {
            let mut served = 0;
            while !over.load(Ordering::Relaxed) {
                api.get("/products").is(200);
                served += 1;
            }
            served
        });
        let ended = scope.spawn(|| slow(api.port())).join();
        over.store(true, Ordering::Relaxed);
        assert!(others.join().expect("the others are served") > 0);
        assert!(ended.is_ok(), "the slow client was not treated as it should be");
    });
    assert!(!cluster.node("main").process().has_line("panicked"));
}

#[test]
fn a_head_that_comes_a_byte_at_a_time_is_not_waited_for() {
    beside_others(&mut impatient(), |port| {
        let mut raw = Raw::at(port);
        raw.send("GET /products HTTP/1.1\r\nHost: shop\r\n");
        drip(&mut raw, b"X-Slow: 1\r\n");
        if let Some(answer) = raw.answer() {
            refused_with(408, answer);
        }
    });
}

#[test]
fn the_second_head_of_a_connection_is_not_waited_for_longer_than_the_first() {
    beside_others(&mut impatient(), |port| {
        let mut raw = Raw::at(port);
        raw.send("GET /livez HTTP/1.1\r\nHost: shop\r\n\r\n");
        assert_eq!(raw.answer().expect("the first request is answered").status, 200);
        drip(&mut raw, b"GET");
        // So is one that begins in the same packet as the end of the one before.
        let mut raw = Raw::at(port);
        raw.send("GET /livez HTTP/1.1\r\nHost: shop\r\n\r\nGET /livez HT");
        assert_eq!(raw.answer().expect("the first request is answered").status, 200);
        assert_eq!(raw.rest(), "", "what never ends is hung up on, though nothing more comes");
    });
}

#[test]
fn a_body_that_comes_a_byte_at_a_time_is_not_waited_for() {
    beside_others(&mut impatient(), |port| {
        for framing in ["Content-Length: 5000", "Transfer-Encoding: chunked"] {
            let mut raw = Raw::at(port);
            let head = "POST /users HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json";
            raw.send(format!("{head}\r\n{framing}\r\n\r\n"));
            drip(&mut raw, if framing.starts_with('C') { b" " } else { b"1\r\n \r\n" });
            if let Some(answer) = raw.answer() {
                refused_with(408, answer);
            }
        }
        // A route that reads no body does not wait for it either.
        let mut raw = Raw::at(port);
        raw.send("GET /products HTTP/1.1\r\nHost: shop\r\nContent-Length: 5000\r\n\r\n");
        assert_eq!(raw.answer().expect("it is answered at once").status, 200);
        drip(&mut raw, b" ");
    });
}

#[test]
fn a_client_that_does_not_read_its_answers_is_hung_up_on() {
    beside_others(&mut impatient(), |port| {
        let mut raw = Raw::at(port);
        // More than the buffers of both ends hold, if nobody reads.
        let request = "GET /openapi.json HTTP/1.1\r\nHost: shop\r\n\r\n".repeat(400);
        eventually("the server to hang up", || (!raw.send(&request)).then_some(()));
        // Nor is it waited for with a refusal that is stuck behind answers.
        let mut raw = Raw::at(port);
        let large = "GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: shop\r\n\r\n".repeat(12);
        raw.send(large + "nonsense\r\n\r\n");
        eventually("the server to hang up", || (!raw.send("x")).then_some(()));
    });
}

#[test]
fn a_connection_that_rests_is_kept_for_as_long_as_it_is_said() {
    let cluster = impatient();
    let port = cluster.api().port();
    // What ends it looks at its own clock now and then, so one connection alone may be lucky.
    let rests: Vec<_> = (0..10)
        .map(|n| {
            thread::sleep(Duration::from_millis(70 * n));
            thread::spawn(move || {
                let mut raw = Raw::at(port);
                raw.send("GET /livez HTTP/1.1\r\nHost: shop\r\n\r\n");
                let asked = Instant::now();
                assert_eq!(raw.answer().expect("it is answered").status, 200);
                assert_eq!(raw.rest(), "");
                asked.elapsed()
            })
        })
        .collect();
    let rests: Vec<_> = rests.into_iter().map(|rest| rest.join().expect("it ended")).collect();
    assert!(rests.iter().all(|rest| *rest >= Duration::from_millis(LIMIT_MS)), "closed too early: {rests:?}");
    // Half a second more is said; the rest is for a machine that is busy, and far from what is kept by default.
    assert!(rests.iter().all(|rest| *rest < Duration::from_millis(5 * LIMIT_MS)), "kept too long: {rests:?}");
    cluster.stop();
}

#[test]
fn more_silent_connections_than_there_may_be_keep_nobody_out() {
    let mut cluster = impatient();
    let (api, pid) = (cluster.api(), cluster.node("main").process().pid());
    let open = || std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    let before = open();
    let connect = |sent: &str| {
        let mut raw = Raw::at(api.port());
        raw.send(sent);
        raw
    };
    let mut silent: Vec<Raw> = Vec::new();
    for (count, sent) in [(100, ""), (100, "GET /products HT"), (100, "GET /livez HTTP/1.1\r\nHost: shop\r\n\r\n")] {
        silent.extend((0..count).map(|_| connect(sent)));
        assert!(open() < before + 100, "{} files are open, {before} were before", open());
    }
    api.get("/products").is(200);
    for raw in &mut silent {
        raw.rest();
    }
    // All were let go, though no client has closed anything.
    eventually("the connections to be closed", || (open() <= before + 4).then_some(()));
    assert!(!cluster.node("main").process().has_line("panicked"));
    cluster.stop();
}
