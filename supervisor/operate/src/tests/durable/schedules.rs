//! Schedules of a node, in simulated time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use essaim_base::Env;
use essaim_config::Config;
use essaim_contract::{Capability, Command, Message};
use essaim_core::{Actor, Apply, Cx, Fault, Handles, Roster, Start, StartError};
use essaim_durable::schedule::{Missed, Schedule};
use essaim_store::testing::Directory;
use essaim_store::{Schema, tables};
use sea_orm::{ConnectionTrait, Statement};
use serde::{Deserialize, Serialize};
use tokio::task::LocalSet;

use crate::Node;

/// 2026-10-25T00:29:58Z: in Paris, where the clocks go back at 01:00 UTC, it is 02:29:58 for the first time.
const NIGHT_MS: u64 = 1_792_888_198_000;

struct Alarm;
impl Capability for Alarm {
    const NAME: &'static str = "alarm";
}

/// Rings.
#[derive(Serialize, Deserialize)]
struct Ring;
impl Message for Ring {
    type To = Alarm;
    const NAME: &'static str = "ring";
    const VERSION: u16 = 1;
}
impl Command for Ring {}

struct AlarmActor;
impl Actor for AlarmActor {
    type Capability = Alarm;
    type Settings = BTreeMap<String, String>;
    type Shared = ();
    fn schema() -> Option<Schema> {
        Some(Schema::new(Vec::new()))
    }
    async fn share(_: Self::Settings, _: &mut Start) -> Result<(), StartError> {
        Ok(())
    }
    async fn start((): &(), _: &mut Start) -> Result<Self, StartError> {
        Ok(Self)
    }
    fn handles(h: &mut Handles<Self>) {
        let paris = |name, cron: &str| Schedule::new(name, cron).zone("Europe/Paris");
        h.command::<Ring>()
            .schedule(paris("fixed", "30 2 * * *").missed(Missed::All), || Ring)
            .schedule(paris("steps", "*/30 2 * * *").missed(Missed::All), || Ring)
            .schedule(Schedule::new("skipping", "0 * * * *").missed(Missed::Skip), || Ring)
            .schedule(Schedule::new("making-up", "0 * * * *"), || Ring)
            .schedule(Schedule::new("busy", "*/10 * * * * *").missed(Missed::Skip), || Ring);
    }
}
impl Apply<Ring> for AlarmActor {
    async fn apply(&mut self, _: Ring, _: &mut Cx) -> Result<(), Fault<String>> {
        Ok(())
    }
}

/// Runs a node for a while of the (paused) clock; then the ids of what it has applied, each with how often it was stored.
async fn live(env: &Env, directory: &Arc<Directory>, time: Duration) -> Vec<String> {
    let mut config = Config::default();
    let settings = &mut config.settings;
    (settings.node.arbiters, settings.node.watchdog_ms, settings.node.control_thread) = (1, 0, false);
    settings.node.data_dir = directory.path().to_path_buf();
    settings.trace.store_bytes = 0;
    let local = LocalSet::new();
    let (ids, held) = local
        .run_until(async {
            let roster = Roster::new().host::<AlarmActor>();
            let node = Node::start(&roster, &["alarm"], config, env.clone()).await.unwrap();
            node.up().await;
            tokio::time::sleep(time).await;
            let database = node.bus().host("alarm").unwrap().database().unwrap();
            let sql = "SELECT id FROM essaim_inbox ORDER BY id, msg_offset";
            let found = Statement::from_string(database.reads().get_database_backend(), sql);
            let rows = database.reads().query_all_raw(found).await.unwrap();
            let ids: Vec<String> = rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect();
            let handled: u64 =
                tables::ledger::read(database.reads()).await.unwrap().iter().map(|l| l.fence.tally.handled).sum();
            assert_eq!(handled, ids.len() as u64, "nothing was stored twice");
            node.drain().await;
            let mut settings = essaim_config::Settings::default();
            settings.node.data_dir = directory.path().to_path_buf();
            (ids, settings)
        })
        .await;
    drop(local);
    while essaim_store::held("log", &held).is_some() || essaim_store::held("alarm", &held).is_some() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    ids
}

/// The planned moments of one schedule, in seconds since the night's beginning.
fn of(ids: &[String], schedule: &str) -> Vec<i64> {
    let name = format!("alarm.{schedule}/");
    let planned = ids.iter().filter_map(|id| id.strip_prefix(&name)?.parse::<i64>().ok());
    planned.map(|ms| (ms - NIGHT_MS as i64) / 1_000).collect()
}

#[tokio::test(start_paused = true)]
async fn a_schedule_fires_once_for_each_planned_moment_across_restarts_and_changes_of_the_clocks() {
    let directory = Arc::new(Directory::new());
    let env = Env::simulated(1, Duration::from_millis(NIGHT_MS));
    let ids = live(&env, &directory, Duration::from_secs(5)).await;
    assert_eq!((of(&ids, "fixed"), of(&ids, "steps"), of(&ids, "busy")), (vec![2], vec![2], vec![2]));
    assert!(of(&ids, "making-up").is_empty());
    // A restart within a minute loses nothing.
    tokio::time::sleep(Duration::from_secs(20)).await;
    let ids = live(&env, &directory, Duration::from_secs(5)).await;
    let busy = of(&ids, "busy");
    assert!(busy.starts_with(&[2, 12, 22]) && busy.windows(2).all(|pair| pair[1] - pair[0] == 10), "{busy:?}");
    // Three hours later: it was 02:30 again, and three full hours have passed.
    tokio::time::sleep(Duration::from_secs(3 * 3_600)).await;
    let ids = live(&env, &directory, Duration::from_secs(5)).await;
    assert_eq!(of(&ids, "fixed"), [2], "a time that comes twice fires the first time");
    assert_eq!(of(&ids, "steps"), [2, 1_802, 3_602], "steps fire both times, and all are made up for");
    assert_eq!(of(&ids, "making-up"), [9_002], "the last one is made up for");
    assert!(of(&ids, "skipping").is_empty());
    let longest = of(&ids, "busy").windows(2).map(|pair| pair[1] - pair[0]).max();
    assert!(longest > Some(3_000), "what was missed is left out: {longest:?}");
}

/// An actor whose schedules are as a test wants them.
macro_rules! alarm {
    ($name:ident, $schema:expr, $handles:expr) => {
        struct $name;
        impl Actor for $name {
            type Capability = Alarm;
            type Settings = BTreeMap<String, String>;
            type Shared = ();
            fn schema() -> Option<Schema> {
                $schema
            }
            async fn share(_: Self::Settings, _: &mut Start) -> Result<(), StartError> {
                Ok(())
            }
            async fn start((): &(), _: &mut Start) -> Result<Self, StartError> {
                Ok(Self)
            }
            fn handles(h: &mut Handles<Self>) {
                let declare: fn(&mut Handles<Self>) = $handles;
                declare(h);
            }
        }
        impl Apply<Ring> for $name {
            async fn apply(&mut self, _: Ring, _: &mut Cx) -> Result<(), Fault<String>> {
                Ok(())
            }
        }
    };
}

fn daily(name: &'static str) -> Schedule {
    Schedule::new(name, "0 3 * * *")
}

alarm!(Bare, None, |h| {
    h.command::<Ring>().schedule(daily("nightly"), || Ring);
});
alarm!(Deaf, Some(Schema::new(Vec::new())), |h| {
    h.schedule(daily("nightly"), || Ring);
});
alarm!(Garbled, Some(Schema::new(Vec::new())), |h| {
    h.command::<Ring>().schedule(Schedule::new("nightly", "61 * * * *"), || Ring);
});
alarm!(Lost, Some(Schema::new(Vec::new())), |h| {
    h.command::<Ring>().schedule(daily("nightly").zone("Atlantis"), || Ring);
});
alarm!(Twice, Some(Schema::new(Vec::new())), |h| {
    h.command::<Ring>().schedule(daily("nightly"), || Ring).schedule(daily("nightly"), || Ring);
});
alarm!(Loud, Some(Schema::new(Vec::new())), |h| {
    h.command::<Ring>().schedule(daily("NOW!"), || Ring);
});

#[test]
fn a_schedule_that_cannot_be_kept_is_refused_by_name() {
    fn refused<A: Actor>() -> String {
        Handles::<A>::of_actor().timetables().err().map(|e| e.to_string()).unwrap_or_default()
    }
    for (told, words) in [
        (refused::<Bare>(), "`alarm` cannot keep the schedule `nightly`: it has no database"),
        (refused::<Deaf>(), "it does not apply `alarm.ring.v1`"),
        (refused::<Garbled>(), "`61 * * * *` is no cron expression"),
        (refused::<Lost>(), "`Atlantis` is no time zone"),
        (refused::<Twice>(), "another one has that name"),
        (refused::<Loud>(), "its name must be of a-z, 0-9 and -"),
    ] {
        assert!(told.contains(words), "`{words}` is not in: {told}");
    }
}
