//! The log over Redis Streams.
//!
//! A partition is one stream, and it has no consumer group: its one owner reads by position, which changes nothing, and
//! acknowledging deletes entries in a script that checks the owner's epoch. So a stream holds exactly the entries that are not
//! acknowledged, entries that a dead owner had read are still there, and nothing is trimmed. Facts that must be consistent are
//! written by one script. Scripts touch keys of several partitions: one server, not a cluster; Redis 6.2 or newer.
//!
//! The log has connections of its own. One carries all commands, pipelined; reads that wait have one each, since a
//! command behind one that blocks would wait with it, and so have appends that wait for replicas.

mod acknowledge;
mod append;
mod dead_letters;
mod durability;
pub(super) use durability::{ServerAnswers, weaker_than};
mod heartbeat;
mod keys;
mod known_log;
mod link;
mod measure;
mod parse;
mod read;
mod registry;
pub(super) mod replicas;
mod restore;
mod retire;
mod scripts;
mod wrong_type;

#[cfg(test)]
pub(super) mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use essaim_base::Env;
use essaim_base::outages::Dependency;
use essaim_base::task::{TaskName, Tasks};
use essaim_config::{Durability, Settings};
use essaim_protocol::log::{
    Acknowledge, Acknowledged, Append, AppendError, Appended, DeadLetterPage, Entry, HostHeartbeat, Log, LogError,
    OwnedPartition, Partition, PartitionCount, Reading, Registry, Retired, Subscription,
};
use essaim_protocol::wire::ClaimError;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use self::keys::Keys;
use self::known_log::KnownLog;
use self::link::Link;
use self::read::Readers;
use self::replicas::Replicas;
use self::restore::AppendRoom;
use super::Cluster;
use super::command_error::advice;
use super::endpoint::Endpoint;

/// The log on a Redis server.
pub struct RedisLog {
    keys: Keys,
    env: Env,
    link: Link,
    readers: Readers,
    durability: Durability,
    /// The replicas that must have each append, if any must.
    replicas: Option<Replicas>,
    cluster: Arc<Cluster>,
    known: KnownLog,
    /// The time in which nodes restore a server's lost records: each live node is heard within it.
    grace: Duration,
}

impl RedisLog {
    /// Connects to the server of `bridge.url`. Once connected, it connects again by itself for as long as it lives, to a
    /// server that knows this cluster or none.
    ///
    /// # Errors
    /// If the server does not answer, or cannot be a bridge.
    pub async fn connect(
        settings: &Settings,
        cluster: Arc<Cluster>,
        env: Env,
        tasks: &Tasks,
    ) -> Result<Self, ClaimError> {
        let endpoint = Arc::new(Endpoint::of(settings)?);
        let (keys, grace) = (Keys::new(&settings.bridge.namespace), Duration::from_millis(settings.members.silent_ms));
        let readers = Readers::new(endpoint.clone(), settings, env.clone());
        let outages = tasks.outages();
        let link = |dependency| {
            let (endpoint, cluster, registry) = (endpoint.clone(), cluster.clone(), keys.registry());
            Link::connect(endpoint, settings, cluster, (registry, grace), (dependency, outages), &env)
        };
        let (durability, known) = (settings.store.durability, KnownLog::default());
        let commands = link(Dependency::log(true)).await?;
        tasks.restarted_anywhere(TaskName::of_node("log"), commands.keeper());
        let mut replicas = None;
        if durability == Durability::Replicated {
            let appends = link(Dependency::appends()).await?;
            tasks.restarted_anywhere(TaskName::of_node("log-appends"), appends.keeper());
            replicas = Some(Replicas::new(appends, settings, outages.clone()));
        }
        Ok(Self { link: commands, keys, env, readers, durability, replicas, cluster, known, grace })
    }
}

impl Log for RedisLog {
    fn settle(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn registry(&self) -> BoxFuture<'_, Result<Arc<Registry>, LogError>> {
        registry::registry(self).boxed()
    }

    fn register<'a>(
        &'a self,
        capability: &'a str,
        partitions: u32,
        subscriptions: &'a [(String, Subscription)],
    ) -> BoxFuture<'a, Result<(), LogError>> {
        registry::register(self, capability, partitions, subscriptions).boxed()
    }

    fn unsubscribe<'a>(&'a self, event: &'a str, capability: &'a str) -> BoxFuture<'a, Result<bool, LogError>> {
        registry::unsubscribe(self, event, capability).boxed()
    }

    fn retire<'a>(&'a self, capability: &'a str) -> BoxFuture<'a, Result<Retired, LogError>> {
        retire::retire(self, capability).boxed()
    }

    fn append<'a>(
        &'a self,
        registry: u64,
        most: u64,
        appends: &'a [Append],
    ) -> BoxFuture<'a, Result<Vec<Appended>, AppendError>> {
        append::append(self, registry, most, appends).boxed()
    }

    fn heartbeat<'a>(&'a self, heartbeat: &'a HostHeartbeat) -> BoxFuture<'a, Result<Vec<OwnedPartition>, LogError>> {
        heartbeat::heartbeat(self, heartbeat).boxed()
    }

    fn read<'a>(
        &'a self,
        readings: &'a [Reading],
        patience: Duration,
    ) -> BoxFuture<'a, Result<Vec<(Partition, Vec<Entry>)>, LogError>> {
        read::read(self, readings, patience).boxed()
    }

    fn acknowledge<'a>(
        &'a self,
        acknowledges: &'a [Acknowledge],
    ) -> BoxFuture<'a, Result<Vec<Acknowledged>, LogError>> {
        acknowledge::acknowledge(self, acknowledges).boxed()
    }

    fn identity(&self) -> BoxFuture<'_, Result<String, LogError>> {
        registry::identity(self).boxed()
    }

    fn appended<'a>(&'a self, partition: &'a Partition) -> BoxFuture<'a, Result<u64, LogError>> {
        measure::appended(self, partition).boxed()
    }

    fn raise<'a>(&'a self, partition: &'a Partition, appended: u64) -> BoxFuture<'a, Result<(), LogError>> {
        restore::raise(self, partition, appended).boxed()
    }

    fn check(&self) -> BoxFuture<'_, Result<(), LogError>> {
        async move {
            match restore::check(self).await? {
                AppendRoom::Some => Ok(()),
                AppendRoom::None => Err(LogError::OutOfMemory(advice("OOM nothing that needs memory is taken"))),
            }
        }
        .boxed()
    }

    fn counts<'a>(&'a self, capability: &'a str) -> BoxFuture<'a, Result<Vec<PartitionCount>, LogError>> {
        measure::counts(self, capability).boxed()
    }

    fn dead_count<'a>(&'a self, capability: &'a str) -> BoxFuture<'a, Result<u64, LogError>> {
        dead_letters::dead_count(self, capability).boxed()
    }

    fn dead<'a>(
        &'a self,
        capability: &'a str,
        from: Option<&'a str>,
        most: u32,
    ) -> BoxFuture<'a, Result<DeadLetterPage, LogError>> {
        dead_letters::dead(self, capability, from, most).boxed()
    }

    fn dead_with<'a>(
        &'a self,
        capability: &'a str,
        ids: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<(String, Bytes)>, LogError>> {
        dead_letters::dead_with(self, capability, ids).boxed()
    }

    fn forget<'a>(
        &'a self,
        capability: &'a str,
        letters: &'a [(String, Bytes)],
    ) -> BoxFuture<'a, Result<u64, LogError>> {
        dead_letters::forget(self, capability, letters).boxed()
    }

    fn weaker_than_configured(&self) -> BoxFuture<'_, Option<String>> {
        durability::weaker_than_configured(self).boxed()
    }
}
