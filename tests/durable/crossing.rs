//! Two versions of a capability side by side, of which each handles something that the other does not.

use std::borrow::Cow;
use std::collections::BTreeMap;

use essaim::config::Config;
use essaim::store::Schema;
use essaim::{Actor, Apply, Cx, Fault, Handles, Roster, Start, StartError};
use essaim_contract::{Capability, Command, Message};
use serde::{Deserialize, Serialize};
use tokio::runtime::Builder;

use super::probe::Probe;
use super::stage::said;
use crate::errors::{TestNode, config};
use crate::support::{Postgres, Redis, Scratch, essaim, eventually, free_port};

/// Messages of each kind.
const EACH: usize = 12;

macro_rules! message {
    ($message:ident, $name:literal) => {
        #[derive(Serialize, Deserialize)]
        pub struct $message(pub usize);
        impl Message for $message {
            type To = Mixed;
            const NAME: &'static str = $name;
            const VERSION: u16 = 1;
            fn key(&self) -> Option<Cow<'_, str>> {
                Some(format!("{}", self.0 % 5).into())
            }
        }
        impl Command for $message {}
    };
}

macro_rules! version {
    ($actor:ident, $schema:expr, $($message:ident),+) => {
        pub struct $actor(Probe);
        impl Actor for $actor {
            type Capability = Mixed;
            type Settings = BTreeMap<String, String>;
            type Shared = Probe;
            fn schema() -> Option<Schema> {
                $schema
            }
            async fn share(_: Self::Settings, start: &mut Start) -> Result<Probe, StartError> {
                start.provided::<Probe>().map(|p| (*p).clone()).ok_or_else(|| StartError::new("the test provides it"))
            }
            async fn start(probe: &Probe, _: &mut Start) -> Result<Self, StartError> {
                Ok(Self(probe.clone()))
            }
            fn handles(h: &mut Handles<Self>) {
                h$(.command::<$message>())+;
            }
        }
        $(impl Apply<$message> for $actor {
            async fn apply(&mut self, m: $message, _: &mut Cx) -> Result<(), Fault<String>> {
                self.0.apply(stringify!($message), &m.0.to_string())
            }
        })+
    };
}

/// A capability, its messages and its two versions, with a database or without.
macro_rules! versions {
    ($module:ident, $name:literal, $schema:expr) => {
        mod $module {
            use super::*;

            pub struct Mixed;
            impl Capability for Mixed {
                const NAME: &'static str = $name;
            }
            message!(Old, "old");
            message!(Both, "both");
            message!(New, "new");
            version!(First, $schema, Old, Both);
            version!(Second, $schema, Both, New);
        }
    };
}

versions!(bare, "mixed", None);
versions!(kept, "mixed", Some(Schema::new(Vec::new())));

fn node(name: &str, redis: &Redis, database: &str, data: &Scratch, port: u16) -> Config {
    let mut config = config(name, Some(&redis.url()));
    let settings = &mut config.settings;
    settings.node.admin_listen = format!("127.0.0.1:{port}");
    settings.node.data_dir = data.path().to_path_buf();
    (settings.durable.partitions, settings.durable.attempts) = (2, 2);
    (settings.durable.backoff_first_ms, settings.durable.backoff_most_ms) = (20, 100);
    settings.capabilities.entry("mixed".into()).or_default().database = database.into();
    config
}

macro_rules! crossing {
    ($module:ident, $database:expr) => {{
        let (redis, probe, data, ports) =
            (Redis::start(), Probe::default(), Scratch::new("crossing"), [free_port(), free_port()]);
        let database: String = $database;
        let start = |roster: Roster, name: &str, port| {
            TestNode::try_start(roster.provide(probe.clone()), &["mixed"], node(name, &redis, &database, &data, port))
                .expect("the node starts")
        };
        let first = start(Roster::new().host::<$module::First>(), "first", ports[0]);
        let second = start(Roster::new().host::<$module::Second>(), "second", ports[1]);
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        for n in 0..EACH {
            runtime.block_on(first.client().send($module::Old(n))).expect("it is stored");
            runtime.block_on(first.client().send($module::Both(n))).expect("it is stored");
            runtime.block_on(first.client().send($module::New(n))).expect("it is stored");
        }
        let all = || {
            ["Old", "Both", "New"].map(|kind| {
                let found = probe.applied().into_iter().filter(|a| a.starts_with(kind));
                found.collect::<std::collections::BTreeSet<_>>().len()
            })
        };
        eventually("every message to find its version", || (all() == [EACH; 3]).then_some(()));
        // With the first version the handler of its message goes for good.
        drop(first);
        runtime.block_on(second.client().send($module::Old(EACH))).expect("it is stored");
        let dead = || {
            let mut list = essaim();
            list.args(["dead", "list", "--json", "--url", &format!("127.0.0.1:{}", ports[1])]);
            let letters: serde_json::Value = serde_json::from_str(&said(&mut list).text).ok()?;
            letters["letters"].as_array().filter(|all| !all.is_empty()).cloned()
        };
        let letters = eventually("a dead letter", dead);
        assert_eq!((letters.len(), &letters[0]["reason"]), (1, &"unsupported".into()), "{letters:?}");
    }};
}

#[test]
fn without_a_database_each_message_finds_the_version_that_handles_it() {
    crossing!(bare, String::new());
}

#[test]
fn on_postgres_each_message_finds_the_version_that_handles_it() {
    let database = Postgres::shared().database();
    crossing!(kept, database.url().to_string());
}
