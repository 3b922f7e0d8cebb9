//! A gateway that stops fails nobody.

use std::time::Duration;

use super::http::{Connection, send};
use super::stage::{Gate, gate, settings};

const READY: &str = "GET /readyz HTTP/1.1\r\nHost: t\r\n\r\n";
const SLOW: &str = "GET /slow HTTP/1.1\r\nHost: t\r\n\r\n";

#[tokio::test]
async fn a_drain_announces_itself_finishes_what_is_under_way_and_ends() {
    let gate = gate(settings()).await;
    let at = gate.at;
    let observe = async {
        let mut kept = Connection::open(at).await.unwrap();
        kept.write(READY).await;
        let before = kept.read().await.unwrap();
        assert_eq!((before.status, before.header("connection")), (200, None));
        gate.server.front().draining.store(true, std::sync::atomic::Ordering::Release);
        kept.write(READY).await;
        let announced = kept.read().await.unwrap();
        announced.problem(503, "not-ready");
        assert_eq!(announced.header("connection"), Some("close"));
        assert!(kept.is_closed().await);
        let served = send(at, "GET /things/7", "", "").await;
        assert_eq!((served.status, served.header("connection")), (200, Some("close")));
        let mut slow = Connection::open(at).await.unwrap();
        slow.write(SLOW).await;
        let (_, done) = tokio::join!(gate.server.drain(), slow.read());
        assert_eq!(done.map(|r| (r.status, r.body)), Some((200, "done".into())), "what was under way is finished");
        assert!(Connection::open(at).await.is_err(), "nobody listens any more");
    };
    gate.stage.run(observe).await;
}

#[tokio::test]
async fn a_client_that_honours_connection_close_sees_no_failure() {
    let gate = gate(settings()).await;
    let at = gate.at;
    let client = async {
        let (mut served, mut last) = (0, None);
        let mut kept: Option<Connection> = None;
        // It goes away when it is told that the gateway is not ready, as a load balancer does.
        while send(at, "GET /readyz", "", "").await.status == 200 {
            let mut connection = match kept.take() {
                Some(connection) => connection,
                None => Connection::open(at).await.expect("a ready gateway listens"),
            };
            connection.write("GET /things/7 HTTP/1.1\r\nHost: t\r\n\r\n").await;
            let reply = connection.read().await.expect("a ready gateway answers");
            assert_eq!(reply.status, 200);
            served += 1;
            last = reply.header("connection").map(str::to_string);
            if last.is_none() {
                kept = Some(connection);
            }
        }
        (served, last)
    };
    let stop = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        gate.server.drain().await;
    };
    let ((served, _), ()) = gate.stage.run(async { tokio::join!(client, stop) }).await;
    assert!(served > 0);
}

#[tokio::test]
async fn a_request_that_is_cut_off_is_counted_and_leaves_nothing_behind() {
    let Gate { stage, server, at } = gate(settings()).await;
    let front = server.front().clone();
    let cut_off = async {
        let mut connection = Connection::open(at).await.unwrap();
        connection.write(SLOW).await;
        while front.counts.read().in_flight == 0 {
            tokio::task::yield_now().await;
        }
        drop(server);
        assert!(connection.is_closed().await);
        while front.counts.read().in_flight > 0 {
            tokio::task::yield_now().await;
        }
    };
    stage.run(tokio::time::timeout(Duration::from_secs(30), cut_off)).await.expect("the request ends");
    assert_eq!(front.counts.read().abandoned, 1);
}
