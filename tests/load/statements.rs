//! A statement that takes long, on the thread of its handler.

use std::collections::BTreeMap;

use essaim::store::Schema;
use essaim::{Actor, Cx, Fault, Handle, Handles, NodeStatus, Roster, Start, StartError};
use essaim_contract::{Ask, AskError, Capability, Message, Never};
use sea_orm::{ConnectionTrait, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};
use serde::{Deserialize, Serialize};
use tokio::runtime::Builder;

use super::log;
use crate::errors::{TestNode, config};

/// How long a thread may be blocked, and a transaction be open, in milliseconds.
const WATCHDOG_MS: u64 = 400;
const TRANSACTION_MS: u64 = 2_000;

struct Sums;
impl Capability for Sums {
    const NAME: &'static str = "sums";
}

/// Writes the sum of so many numbers.
#[derive(Serialize, Deserialize)]
struct Sum(u64);
impl Message for Sum {
    type To = Sums;
    const NAME: &'static str = "sum";
    const VERSION: u16 = 1;
}
impl Ask for Sum {
    type Reply = ();
    type Error = Never;
}

struct SumsActor;
impl Actor for SumsActor {
    type Capability = Sums;
    type Settings = BTreeMap<String, String>;
    type Shared = ();

    fn schema() -> Option<Schema> {
        Some(Schema::new(vec![Box::new(SumsTable)]))
    }
    async fn share(_: Self::Settings, _: &mut Start) -> Result<(), StartError> {
        Ok(())
    }
    async fn start((): &(), _: &mut Start) -> Result<Self, StartError> {
        Ok(Self)
    }
    fn handles(h: &mut Handles<Self>) {
        h.ask::<Sum>();
    }
}
impl Handle<Sum> for SumsActor {
    async fn handle(&mut self, Sum(most): Sum, cx: &mut Cx) -> Result<(), Fault> {
        let tx = cx.begin().await?;
        let sum = format!(
            "INSERT INTO sums WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {most}) SELECT sum(i) FROM n"
        );
        tx.execute_unprepared(&sum).await?;
        Ok(tx.commit().await?)
    }
}

struct SumsTable;
impl MigrationName for SumsTable {
    fn name(&self) -> &str {
        "sums"
    }
}
#[async_trait::async_trait]
impl MigrationTrait for SumsTable {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared("CREATE TABLE sums (sum BIGINT)").await.map(drop)
    }
}

#[test]
fn a_statement_that_stops_its_thread_is_named_and_is_interrupted_in_time() {
    log::keep();
    let mut config = config("statements", None);
    config.settings.node.watchdog_ms = WATCHDOG_MS;
    config.settings.store.transaction_limit_ms = TRANSACTION_MS;
    config.settings.ask.timeout_ms = 60_000;
    let node = TestNode::try_start(Roster::new().host::<SumsActor>(), &["sums"], config).expect("the node starts");
    let client = node.client();
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    assert_eq!(runtime.block_on(client.ask(Sum(10))), Ok(()));
    let ended = runtime.block_on(client.ask(Sum(100_000_000_000)));
    let Err(AskError::Failed(failure)) = &ended else { panic!("nothing of it is committed: {ended:?}") };
    assert!(failure.detail.contains("store.transaction_limit_ms"), "{failure}");
    let line = log::wait_for_line(&["blocks its arbiter", "sums.sum.v1"]);
    assert!(line.contains("ERROR"), "{line}");
    assert_eq!(runtime.block_on(client.ask(Sum(10))), Ok(()), "the next one has a connection");
    assert!(runtime.block_on(NodeStatus::of(client)).blocked_arbiters >= 1);
}
