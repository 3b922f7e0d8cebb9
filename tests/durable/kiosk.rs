//! Capabilities whose messages die of what is in them: `kiosk` keeps its sales in a database, `post` has none, and `press` is
//! asked by the kiosk.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use essaim::lock::Mutex;
use essaim::store::Schema;
use essaim::{Actor, Apply, Cx, Fault, Handle, Handles, Start, StartError, reject};
use essaim_contract::{Ask, Broadcast, Capability, Command, Message, Never};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement, Value};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};
use serde::{Deserialize, Serialize};

use super::probe::{Ring, Sold};

/// What handlers have done, and what nobody can take back: it counts their runs.
#[derive(Clone, Default)]
pub struct Doings(Arc<Mutex<Vec<String>>>);

impl Doings {
    fn add(&self, what: String) {
        self.0.lock().push(what);
    }

    pub fn all(&self) -> Vec<String> {
        self.0.lock().clone()
    }
}

fn provided(start: &Start) -> Result<Doings, StartError> {
    start.provided::<Doings>().map(|d| (*d).clone()).ok_or_else(|| StartError::new("the test provides it"))
}

pub struct Kiosk;
impl Capability for Kiosk {
    const NAME: &'static str = "kiosk";
}

/// Sells pieces to somebody.
#[derive(Clone, Serialize, Deserialize)]
pub struct Sale {
    pub to: String,
    pub what: String,
    pub pieces: u64,
    pub pin: String,
    pub note: Option<String>,
}
impl Message for Sale {
    type To = Kiosk;
    const NAME: &'static str = "sale";
    const VERSION: u16 = 1;
    const SECRETS: &'static [&'static str] = &["pin"];
    fn key(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(&self.to))
    }
}
impl Command for Sale {}

/// Everybody may look: there was a sale.
#[derive(Clone, Serialize, Deserialize)]
pub struct Shout {
    pub what: String,
}
impl Message for Shout {
    type To = Kiosk;
    const NAME: &'static str = "shout";
    const VERSION: u16 = 1;
}
impl Broadcast for Shout {}

pub struct Press;
impl Capability for Press {
    const NAME: &'static str = "press";
}

macro_rules! ask {
    ($name:ident, $wire:literal, $idempotent:literal) => {
        #[derive(Serialize, Deserialize)]
        pub struct $name;
        impl Message for $name {
            type To = Press;
            const NAME: &'static str = $wire;
            const VERSION: u16 = 1;
        }
        impl Ask for $name {
            type Reply = u64;
            type Error = Never;
            const IDEMPOTENT: bool = $idempotent;
        }
        impl Handle<$name> for PressActor {
            async fn handle(&mut self, _: $name, _: &mut Cx) -> Result<u64, Fault> {
                self.0.add($wire.into());
                Ok(7)
            }
        }
    };
}

ask!(Price, "price", true);
ask!(Stamp, "stamp", false);

pub struct PressActor(Doings);
impl Actor for PressActor {
    type Capability = Press;
    type Settings = BTreeMap<String, String>;
    type Shared = Doings;
    async fn share(_: Self::Settings, start: &mut Start) -> Result<Doings, StartError> {
        provided(start)
    }
    async fn start(doings: &Doings, _: &mut Start) -> Result<Self, StartError> {
        Ok(Self(doings.clone()))
    }
    fn handles(h: &mut Handles<Self>) {
        h.ask::<Price>().ask::<Stamp>();
    }
}

/// It counts what it has sold in its state.
pub struct KioskActor {
    doings: Doings,
    sold: u64,
}
impl Actor for KioskActor {
    type Capability = Kiosk;
    type Settings = BTreeMap<String, String>;
    type Shared = Doings;
    const ASKS: &'static [&'static str] = &[Press::NAME];
    fn schema() -> Option<Schema> {
        Some(Schema::new(vec![Box::new(TheSales)]))
    }
    async fn share(_: Self::Settings, start: &mut Start) -> Result<Doings, StartError> {
        provided(start)
    }
    async fn start(doings: &Doings, _: &mut Start) -> Result<Self, StartError> {
        Ok(Self { doings: doings.clone(), sold: 0 })
    }
    fn handles(h: &mut Handles<Self>) {
        h.command::<Sale>();
    }
}

impl Apply<Sale> for KioskActor {
    async fn apply(&mut self, m: Sale, cx: &mut Cx) -> Result<(), Fault<String>> {
        let known = cx.near().get("kiosk.last", &m.to).is_some();
        self.sold += 1;
        self.doings.add(format!("{} of {} as number {}, known: {known}", m.what, m.pieces, self.sold));
        if m.pieces == 0 {
            return Err(reject("nothing to sell"));
        }
        match m.what.as_str() {
            "a panic" => panic!("asked to"),
            "a nap" => tokio::time::sleep(Duration::from_secs(600)).await,
            "a stamp" => drop(cx.ask(Stamp).await?),
            "a price" => drop(cx.ask(Price).await?),
            _ => {}
        }
        cx.near().put("kiosk.last", &m.to, "tea".into());
        cx.broadcast(Shout { what: m.what.clone() });
        let tx = cx.begin().await?;
        let values: [Value; 4] = [m.to.into(), m.what.clone().into(), (m.pieces as i64).into(), m.pin.into()];
        let insert = "INSERT INTO sales (buyer, what, pieces, pin) VALUES ($1, $2, $3, $4)";
        let backend = tx.get_database_backend();
        tx.execute_raw(Statement::from_sql_and_values(backend, insert, values)).await?;
        tx.query_one_raw(Statement::from_string(backend, "SELECT count(*) FROM sales")).await?;
        tx.publish(Sold { what: m.what.clone() }).await.map_err(essaim::fail)?;
        tx.send(Ring { why: m.what }).await.map_err(essaim::fail)?;
        tx.commit().await?;
        Ok(())
    }
}

struct TheSales;
impl MigrationName for TheSales {
    fn name(&self) -> &str {
        "the_sales"
    }
}
#[async_trait::async_trait]
impl MigrationTrait for TheSales {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let later = match manager.get_database_backend() {
            // Seen at the commit alone.
            DbBackend::Postgres => ", UNIQUE (buyer, what) DEFERRABLE INITIALLY DEFERRED",
            _ => "",
        };
        let sql = format!("CREATE TABLE sales (buyer TEXT, what TEXT, pieces BIGINT, pin TEXT{later})");
        manager.get_connection().execute_unprepared(&sql).await.map(drop)
    }
}

pub struct Post;
impl Capability for Post {
    const NAME: &'static str = "post";
}

/// Is carried to somebody.
#[derive(Clone, Serialize, Deserialize)]
pub struct Parcel {
    pub to: String,
    pub grams: u32,
}
impl Message for Parcel {
    type To = Post;
    const NAME: &'static str = "parcel";
    const VERSION: u16 = 1;
    fn key(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(&self.to))
    }
}
impl Command for Parcel {}

pub struct PostActor(Doings);
impl Actor for PostActor {
    type Capability = Post;
    type Settings = BTreeMap<String, String>;
    type Shared = Doings;
    async fn share(_: Self::Settings, start: &mut Start) -> Result<Doings, StartError> {
        provided(start)
    }
    async fn start(doings: &Doings, _: &mut Start) -> Result<Self, StartError> {
        Ok(Self(doings.clone()))
    }
    fn handles(h: &mut Handles<Self>) {
        h.command::<Parcel>();
    }
}

impl Apply<Parcel> for PostActor {
    async fn apply(&mut self, m: Parcel, cx: &mut Cx) -> Result<(), Fault<String>> {
        if m.grams == 0 {
            return Err(reject("it is empty"));
        }
        cx.send(Ring { why: format!("{} grams", m.grams) }).await.map_err(essaim::fail)?;
        self.0.add(format!("carried {} grams", m.grams));
        Ok(())
    }
}
