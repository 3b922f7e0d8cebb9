//! A new version of a node whose asks go round with those of another one: it is refused, ends, and is started again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use essaim::{Actor, Apply, Cx, Fault, Handle, Handles, NodeError, Roster, Start, StartError};
use essaim_catalog_contract::{Catalog, Reserve};
use essaim_contract::{Capability, Message, Never};
use serde::{Deserialize, Serialize};

use crate::errors::{TestNode, config};
use crate::support::Redis;

struct Loyalty;
impl Capability for Loyalty {
    const NAME: &'static str = "loyalty";
}

#[derive(Debug, Serialize, Deserialize)]
struct Points;
impl Message for Points {
    type To = Loyalty;
    const NAME: &'static str = "points";
    const VERSION: u16 = 1;
}
impl essaim_contract::Ask for Points {
    type Reply = u32;
    type Error = Never;
}

/// It asks the catalogue for prices.
struct LoyaltyActor;

impl Actor for LoyaltyActor {
    type Capability = Loyalty;
    type Settings = BTreeMap<String, String>;
    type Shared = ();
    const ASKS: &'static [&'static str] = &[Catalog::NAME];

    async fn share(_: Self::Settings, _: &mut Start) -> Result<(), StartError> {
        Ok(())
    }

    async fn start((): &(), _: &mut Start) -> Result<Self, StartError> {
        Ok(Self)
    }

    fn handles(h: &mut Handles<Self>) {
        h.ask::<Points>();
    }
}

impl Handle<Points> for LoyaltyActor {
    async fn handle(&mut self, _: Points, _: &mut Cx) -> Result<u32, Fault> {
        Ok(0)
    }
}

/// A catalogue that gives discounts by points.
struct DiscountingCatalog;

impl Actor for DiscountingCatalog {
    type Capability = Catalog;
    type Settings = BTreeMap<String, serde_json::Value>;
    type Shared = ();
    const ASKS: &'static [&'static str] = &[Loyalty::NAME];

    async fn share(_: Self::Settings, _: &mut Start) -> Result<(), StartError> {
        Ok(())
    }

    async fn start((): &(), _: &mut Start) -> Result<Self, StartError> {
        Ok(Self)
    }

    fn handles(h: &mut Handles<Self>) {
        h.command::<Reserve>();
    }
}

impl Apply<Reserve> for DiscountingCatalog {
    async fn apply(&mut self, _: Reserve, _: &mut Cx) -> Result<(), Fault<String>> {
        Ok(())
    }
}

/// The nodes that go round; they end with the value.
pub struct Cycle {
    over: Arc<AtomicBool>,
    looping: Option<JoinHandle<()>>,
    _loyalty: TestNode,
}

/// Starts a node that asks the catalogue, has the catalogue's node stopped, and starts the new version of that one, again and again.
pub fn planted(redis: &Redis, stop: impl FnOnce()) -> Cycle {
    let url = redis.url();
    let join = move |name: &str, roster, hosts| TestNode::try_start(roster, hosts, config(name, Some(&url)));
    let loyalty = join("club", Roster::new().host::<LoyaltyActor>(), &["loyalty"]).expect("its asks do not go round");
    stop();
    let over = Arc::<AtomicBool>::default();
    let is_over = over.clone();
    let looping = std::thread::spawn(move || {
        while !is_over.load(Ordering::Relaxed) {
            let refused = join("stock", Roster::new().host::<DiscountingCatalog>(), &["catalog"]).err();
            assert!(matches!(&refused, Some(NodeError::Cycle(_))), "{refused:?}");
            // As a service manager does before it starts again what has ended.
            std::thread::sleep(Duration::from_millis(500));
        }
    });
    Cycle { over, looping: Some(looping), _loyalty: loyalty }
}

impl Drop for Cycle {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = self.looping.take().map(JoinHandle::join);
    }
}
