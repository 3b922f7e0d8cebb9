//! Capabilities whose handlers fail as long as the test says so: `shop` keeps a database, `bell` has none and rings for
//! each sale, `hoard` takes no sale until all is mended, `album` subscribes to retained sales, and `clock` sends itself
//! a command every second.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use essaim::lock::Mutex;
use essaim::store::Schema;
use essaim::{Actor, Apply, Cx, Fault, Handles, Schedule, Start, StartError, SubscribeOptions, WhenFull, reject};
use essaim_contract::{Capability, Command, Event, Message};
use serde::{Deserialize, Serialize};

/// State that the test and the handlers share.
#[derive(Clone, Default)]
pub struct Probe {
    broken: Arc<AtomicBool>,
    applied: Arc<Mutex<Vec<String>>>,
}

impl Probe {
    /// A probe whose handlers say no to what is called poison.
    pub fn broken() -> Self {
        let probe = Self::default();
        probe.broken.store(true, Ordering::SeqCst);
        probe
    }

    pub fn mend(&self) {
        self.broken.store(false, Ordering::SeqCst);
    }

    /// Applied messages with the capability that applied each, in order.
    pub fn applied(&self) -> Vec<String> {
        self.applied.lock().clone()
    }

    pub fn apply(&self, capability: &str, what: &str) -> Result<(), Fault<String>> {
        if what.starts_with("poison") && self.broken.load(Ordering::SeqCst) {
            return Err(reject(format!("{what} is poison")));
        }
        self.applied.lock().push(format!("{capability}: {what}"));
        Ok(())
    }
}

fn provided(start: &Start) -> Result<Probe, StartError> {
    start.provided::<Probe>().map(|p| (*p).clone()).ok_or_else(|| StartError::new("the test provides it"))
}

pub struct Shop;
impl Capability for Shop {
    const NAME: &'static str = "shop";
}

/// Sells something to somebody.
#[derive(Clone, Serialize, Deserialize)]
pub struct Sell {
    pub to: String,
    pub what: String,
}
impl Message for Sell {
    type To = Shop;
    const NAME: &'static str = "sell";
    const VERSION: u16 = 1;
    fn key(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(&self.to))
    }
}
impl Command for Sell {}

/// Something was sold.
#[derive(Serialize, Deserialize)]
pub struct Sold {
    pub what: String,
}
impl Message for Sold {
    type To = Shop;
    const NAME: &'static str = "sold";
    const VERSION: u16 = 1;
}
impl Event for Sold {
    const RETAINED_HOURS: u32 = 1;
}

pub struct Bell;
impl Capability for Bell {
    const NAME: &'static str = "bell";
}

/// Rings.
#[derive(Serialize, Deserialize)]
pub struct Ring {
    pub why: String,
}
impl Message for Ring {
    type To = Bell;
    const NAME: &'static str = "ring";
    const VERSION: u16 = 1;
}
impl Command for Ring {}

pub struct Hoard;
impl Capability for Hoard {
    const NAME: &'static str = "hoard";
}

pub struct Album;
impl Capability for Album {
    const NAME: &'static str = "album";
}

pub struct Clock;
impl Capability for Clock {
    const NAME: &'static str = "clock";
}

/// A second has passed.
#[derive(Serialize, Deserialize)]
pub struct Tick;
impl Message for Tick {
    type To = Clock;
    const NAME: &'static str = "tick";
    const VERSION: u16 = 1;
}
impl Command for Tick {}

/// An actor that has nothing but the probe.
macro_rules! actor {
    ($name:ident, $capability:ty, $schema:expr, |$h:ident| $handles:expr) => {
        pub struct $name(Probe);
        impl Actor for $name {
            type Capability = $capability;
            type Settings = BTreeMap<String, String>;
            type Shared = Probe;
            fn schema() -> Option<Schema> {
                $schema
            }
            async fn share(_: Self::Settings, start: &mut Start) -> Result<Probe, StartError> {
                provided(start)
            }
            async fn start(probe: &Probe, _: &mut Start) -> Result<Self, StartError> {
                Ok(Self(probe.clone()))
            }
            fn handles($h: &mut Handles<Self>) {
                $handles;
            }
        }
    };
}

actor!(ShopActor, Shop, Some(Schema::new(Vec::new())), |h| h.command::<Sell>());
actor!(BellActor, Bell, None, |h| h.command::<Ring>().event::<Sold>());
actor!(HoardActor, Hoard, None, |h| h.event_with::<Sold>(SubscribeOptions::new().when_full(WhenFull::DeadLetter)));
actor!(AlbumActor, Album, None, |h| {
    let most = std::time::Duration::from_secs(90 * 60);
    h.event_with::<Sold>(SubscribeOptions::new().from_earliest_retained().retention(most))
});
actor!(ClockActor, Clock, Some(Schema::new(Vec::new())), |h| {
    h.command::<Tick>().schedule(Schedule::new("every-second", "* * * * * *"), || Tick)
});

impl Apply<Sell> for ShopActor {
    async fn apply(&mut self, m: Sell, cx: &mut Cx) -> Result<(), Fault<String>> {
        self.0.apply("shop", &m.what)?;
        let tx = cx.begin().await?;
        tx.publish(Sold { what: m.what }).await?;
        tx.commit().await?;
        Ok(())
    }
}

impl Apply<Ring> for BellActor {
    async fn apply(&mut self, m: Ring, _: &mut Cx) -> Result<(), Fault<String>> {
        self.0.apply("bell", &m.why)
    }
}

impl Apply<Sold> for BellActor {
    async fn apply(&mut self, m: Sold, _: &mut Cx) -> Result<(), Fault<String>> {
        self.0.apply("bell", &format!("sold {}", m.what))
    }
}

impl Apply<Sold> for HoardActor {
    async fn apply(&mut self, m: Sold, _: &mut Cx) -> Result<(), Fault<String>> {
        while self.0.broken.load(Ordering::SeqCst) {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        self.0.apply("hoard", &m.what)
    }
}

impl Apply<Sold> for AlbumActor {
    async fn apply(&mut self, m: Sold, _: &mut Cx) -> Result<(), Fault<String>> {
        self.0.apply("album", &m.what)
    }
}

impl Apply<Tick> for ClockActor {
    async fn apply(&mut self, _: Tick, _: &mut Cx) -> Result<(), Fault<String>> {
        self.0.apply("clock", "tick")
    }
}
