use std::borrow::Cow;

use essaim_contract::Command;
use essaim_core::{Apply, fail};
use essaim_store::Schema;
use sea_orm::ConnectionTrait;
use sea_orm_migration::{DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait};
use tokio::sync::Notify;

use super::*;

struct Till;
impl Capability for Till {
    const NAME: &'static str = "till";
}

struct Packing;
impl Capability for Packing {
    const NAME: &'static str = "packing";
}

/// Sells a piece, has it packed, and tells everybody.
#[derive(Serialize, Deserialize)]
enum Sell {
    Well,
    /// Only the third time.
    AtLast,
    Never,
    No,
}
impl Message for Sell {
    type To = Till;
    const NAME: &'static str = "sell";
    const VERSION: u16 = 1;

    fn key(&self) -> Option<Cow<'_, str>> {
        Some("all".into())
    }
}
impl Command for Sell {}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Pack(u8);
impl Message for Pack {
    type To = Packing;
    const NAME: &'static str = "pack";
    const VERSION: u16 = 1;
}
impl Command for Pack {}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Sold(Option<String>);
impl Message for Sold {
    type To = Till;
    const NAME: &'static str = "sold";
    const VERSION: u16 = 1;
}
impl Event for Sold {}

/// Waits until something is sold; with the key of what sells.
#[derive(Serialize, Deserialize)]
struct Await;
impl Message for Await {
    type To = Till;
    const NAME: &'static str = "await";
    const VERSION: u16 = 1;

    fn key(&self) -> Option<Cow<'_, str>> {
        Some("all".into())
    }
}
impl Ask for Await {
    type Reply = i64;
    type Error = Never;
}

struct CreateTable;
impl MigrationName for CreateTable {
    fn name(&self) -> &str {
        "m0001_sales"
    }
}
#[async_trait::async_trait]
impl MigrationTrait for CreateTable {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sql = "CREATE TABLE sales (n INTEGER)";
        manager.get_connection().execute_unprepared(sql).await.map(drop)
    }
}

#[derive(Default)]
struct Shared {
    sold: Notify,
    tries: std::sync::atomic::AtomicU32,
}

struct TillActor(Arc<Shared>);
impl Actor for TillActor {
    type Capability = Till;
    type Settings = std::collections::BTreeMap<String, String>;
    type Shared = Arc<Shared>;

    fn schema() -> Option<Schema> {
        Some(Schema::new(vec![Box::new(CreateTable)]))
    }
    async fn share(_: Self::Settings, _: &mut Start) -> Result<Arc<Shared>, StartError> {
        Ok(Arc::default())
    }
    async fn start(shared: &Arc<Shared>, _: &mut Start) -> Result<Self, StartError> {
        Ok(Self(shared.clone()))
    }
    fn handles(h: &mut Handles<Self>) {
        h.ask::<Await>().command::<Sell>();
    }
}
impl Handle<Await> for TillActor {
    async fn handle(&mut self, _: Await, cx: &mut Cx) -> Result<i64, Fault> {
        self.0.sold.notified().await;
        let sql = "SELECT count(*) FROM sales";
        let row = cx.db().query_one_raw(sea_orm::Statement::from_string(sea_orm::DbBackend::Sqlite, sql)).await?;
        Ok(row.map_or(Ok(0), |row| row.try_get_by_index(0))?)
    }
}
impl Apply<Sell> for TillActor {
    async fn apply(&mut self, m: Sell, cx: &mut Cx) -> Result<(), Fault<String>> {
        let tries = self.0.tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let to = cx.principal().map(|p| p.subject.clone());
        let tx = cx.begin().await?;
        tx.execute_unprepared("INSERT INTO sales VALUES (1)").await?;
        tx.send(Pack(1)).await?;
        tx.send(Pack(2)).await?;
        tx.publish(Sold(to)).await?;
        match m {
            Sell::No => return Err(reject("not today")),
            Sell::Never => return Err(fail("the till is stuck")),
            Sell::AtLast if tries < 2 => return Err(fail("not yet")),
            Sell::Well | Sell::AtLast => tx.commit().await?,
        }
        self.0.sold.notify_one();
        Ok(())
    }
}

async fn till() -> Stage<TillActor> {
    Harness::sqlite().witness::<Sold>().start().await
}

#[tokio::test(start_paused = true)]
async fn what_is_delivered_is_applied_with_what_it_sends() {
    let t = till().await;
    t.deliver(Sell::Well).await.unwrap();
    assert_eq!(t.ask(Await).await, Ok(1));
    assert_eq!(t.sent::<Pack>().await, [Pack(1), Pack(2)]);
    t.deliver_as(Principal::new("ann", ["customer"]), Sell::Well).await.unwrap();
    assert_eq!(t.published::<Sold>().await, [Sold(None), Sold(Some("ann".into()))]);
}

#[tokio::test(start_paused = true)]
async fn what_is_delivered_twice_is_applied_once() {
    let t = till().await;
    t.deliver_twice(Sell::Well).await.unwrap();
    assert_eq!(t.ask(Await).await, Ok(1));
    assert_eq!(t.sent::<Pack>().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_tried_again_and_what_it_sent_then_is_not_sent() {
    let t = till().await;
    t.deliver(Sell::AtLast).await.unwrap();
    assert_eq!((t.ask(Await).await, t.sent::<Pack>().await.len()), (Ok(1), 2));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_can_apply_is_a_dead_letter_and_holds_nobody_up() {
    let t = till().await;
    assert_eq!(t.deliver(Sell::No).await, Err("not today".into()));
    let stuck = t.deliver(Sell::Never).await.unwrap_err();
    assert!(stuck.contains("the till is stuck"), "{stuck}");
    t.deliver(Sell::Well).await.unwrap();
    assert_eq!((t.ask(Await).await, t.sent::<Pack>().await.len()), (Ok(1), 2));
}

#[tokio::test(start_paused = true)]
async fn a_handler_can_wait_for_a_durable_message_of_its_own_key() {
    let t = till().await;
    let client = t.client();
    let (waited, sent) = t.run(async { tokio::join!(client.ask(Await), client.send(Sell::Well)) }).await;
    assert_eq!((waited, sent.is_ok()), (Ok(1), true));
}

/// Without a database.
struct BareTill;
impl Actor for BareTill {
    type Capability = Till;
    type Settings = std::collections::BTreeMap<String, String>;
    type Shared = ();

    async fn share(_: Self::Settings, _: &mut Start) -> Result<(), StartError> {
        Ok(())
    }
    async fn start((): &(), _: &mut Start) -> Result<Self, StartError> {
        Ok(Self)
    }
    fn handles(h: &mut Handles<Self>) {
        h.command::<Sell>();
    }
}
impl Apply<Sell> for BareTill {
    async fn apply(&mut self, m: Sell, cx: &mut Cx) -> Result<(), Fault<String>> {
        match m {
            Sell::No => Err(reject("not today")),
            _ => cx.send(Pack(3)).await.map(drop).map_err(Into::into),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_actor_without_a_database_applies_what_is_delivered() {
    let t = Harness::<BareTill>::bare().start().await;
    t.deliver(Sell::Well).await.unwrap();
    assert_eq!(t.sent::<Pack>().await, [Pack(3)]);
    assert_eq!(t.deliver(Sell::No).await, Err("not today".into()));
}
