//! A capability without a database.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use essaim_base::lock::Mutex;
use essaim_contract::{Capability, Command, Message};
use essaim_core::{Actor, Apply, Cx, Fault, Handles, Start, StartError, fail};
use essaim_durable::SendOptions;
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};

use super::Stage;

pub struct Bell;
impl Capability for Bell {
    const NAME: &'static str = "bell";
}

/// Rings for a while, or fails as long as it is told to.
#[derive(Serialize, Deserialize)]
struct Ring {
    key: String,
    failures: u32,
}
impl Message for Ring {
    type To = Bell;
    const NAME: &'static str = "ring";
    const VERSION: u16 = 1;
    fn key(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(&self.key))
    }
}
impl Command for Ring {}

/// What was tried, by key, in order.
#[derive(Clone, Default)]
pub struct Rung(Arc<Mutex<Vec<String>>>);

impl Rung {
    fn all(&self) -> Vec<String> {
        self.0.lock().clone()
    }
}

pub struct BellActor(Rung);
impl Actor for BellActor {
    type Capability = Bell;
    type Settings = BTreeMap<String, String>;
    type Shared = Rung;
    async fn share(_: Self::Settings, start: &mut Start) -> Result<Rung, StartError> {
        Ok(start.provided::<Rung>().map(|rung| (*rung).clone()).unwrap_or_default())
    }
    async fn start(rung: &Rung, _: &mut Start) -> Result<Self, StartError> {
        Ok(Self(rung.clone()))
    }
    fn handles(h: &mut Handles<Self>) {
        h.command::<Ring>();
    }
}
impl Apply<Ring> for BellActor {
    async fn apply(&mut self, m: Ring, _: &mut Cx) -> Result<(), Fault<String>> {
        let mut rung = self.0.0.lock();
        let before = rung.iter().filter(|key| **key == m.key).count() as u32;
        rung.push(m.key);
        if before < m.failures { Err(fail("not yet")) } else { Ok(()) }
    }
}

fn ring(key: &str, failures: u32) -> Ring {
    Ring { key: key.into(), failures }
}

fn much_later() -> SendOptions {
    SendOptions::new().after(Duration::from_hours(1))
}

async fn rung(t: &Stage, count: usize) -> Vec<String> {
    t.run(async {
        while t.rung.all().len() < count {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        t.rung.all()
    })
    .await
}

#[tokio::test]
async fn what_is_delayed_or_fails_keeps_nothing_else_from_being_read() {
    let narrow = |s: &mut essaim_config::Settings| {
        (s.durable.window, s.durable.partitions, s.durable.batch_bytes) = (4, 1, 1);
        (s.durable.attempts, s.durable.backoff_first_ms, s.durable.backoff_most_ms) = (9, 3_600_000, 3_600_000);
    };
    let t = Stage::start(&["bell"], narrow).await;
    let client = t.client();
    let later = (0..10).map(|n| client.send_with(ring(&format!("later-{n}"), 0), much_later()));
    t.run(try_join_all(later)).await.unwrap();
    let failing = (0..10).map(|n| client.send(ring(&format!("fails-{n}"), 9)));
    t.run(try_join_all(failing)).await.unwrap();
    t.run(client.send(ring("now", 0))).await.unwrap();
    let rung = rung(&t, 11).await;
    assert_eq!((rung.len(), rung.last().map(String::as_str)), (11, Some("now")));
}

#[tokio::test]
async fn behind_one_that_fails_wait_those_of_its_key() {
    let t = Stage::start(&["bell"], |_| {}).await;
    for (key, failures) in [("a", 2), ("a", 0)] {
        t.run(t.client().send(ring(key, failures))).await.unwrap();
    }
    assert_eq!(rung(&t, 4).await, ["a"; 4]);
    let log = t.node.bus().durable().unwrap().log.clone();
    let done = async {
        loop {
            let counts = log.counts("bell").await.unwrap();
            let tallies = counts.iter().fold((0, 0), |sum, c| (sum.0 + c.tally.handled, sum.1 + c.waiting));
            match tallies {
                (handled, 0) => return handled,
                _ => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        }
    };
    assert_eq!(t.run(done).await, 2);
}

#[tokio::test]
async fn nobody_who_leaves_waits_for_what_is_delayed() {
    let t = Stage::start(&["bell"], |s| s.drain.timeout_ms = 3_600_000).await;
    t.run(t.client().send_with(ring("later", 0), much_later())).await.unwrap();
    t.run(t.client().send(ring("now", 0))).await.unwrap();
    rung(&t, 1).await;
    let drained = tokio::time::timeout(Duration::from_secs(30), t.run(t.node.drain())).await;
    assert!(drained.is_ok(), "it waits for an hour");
}
