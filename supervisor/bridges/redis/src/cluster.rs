//! The cluster of a node.
//!
//! A cluster has an identity: a text that is made once, stored in its database of the server, and begins with the time at which
//! it was made. Every channel and every claim contains it. A server that loses its data does not change it: nodes that are up
//! write it back. If another identity is stored there, one rule decides which of the two stays. An identity made after ours was
//! last seen was made by a node that started on a server that had lost ours: ours is older and is written back, and that node
//! starts again. An identity from before is another cluster's: two clusters are never merged.

#[cfg(test)]
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use essaim_base::Env;
use essaim_config::{Settings, without_password};
use essaim_protocol::wire::ClaimError;
use redis::aio::MultiplexedConnection;
use redis::{RedisError, Script};

use super::channels::Channels;
use super::cluster_file::{ClusterFile, StoredCluster};
use super::out_of_memory::ALSO_WHEN_FULL;

/// The standing of an identity on the server: `held`, `restored`, `displaced` by the one that was stored before the server lost
/// it, or `foreign`; and the other identity, if there is one.
pub(super) const STANDING: &str = r"
local function standing(key, own, seen)
  local there = redis.call('HGET', key, 'identity')
  if there == own then return 'held', '' end
  if there and (tonumber(string.match(there, '^%d+')) or 0) <= seen then
    if redis.call('HEXISTS', key, 'instead of ' .. own) == 1 then return 'displaced', there end
    return 'foreign', there
  end
  redis.call('HSET', key, 'identity', own)
  if there then redis.call('HSET', key, 'instead of ' .. there, own) end
  return 'restored', there or ''
end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
";

/// KEYS: the cluster. ARGV: a name for a new one, the identity that the node has stored or nothing. Returns {identity, now, 1 if
/// it has replaced the stored one}.
const JOIN: &str = r"
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000000 + time[2])
local there = redis.call('HGET', KEYS[1], 'identity')
if not there then
  there = ARGV[2] ~= '' and ARGV[2] or now .. '-' .. ARGV[1]
  redis.call('HSET', KEYS[1], 'identity', there)
end
return {there, now, redis.call('HEXISTS', KEYS[1], 'instead of ' .. ARGV[2])}";

/// KEYS: the cluster. ARGV: the identity, when it was last seen. Returns {standing, the other identity, now}.
static CONFIRM: LazyLock<Script> = LazyLock::new(|| {
    let confirm = "local how, there = standing(KEYS[1], ARGV[1], tonumber(ARGV[2]))\n\
                   return {how, there, string.format('%.0f', now)}";
    Script::new(&format!("{ALSO_WHEN_FULL}{STANDING}{confirm}"))
});

/// The cluster of a node.
pub struct Cluster {
    key: String,
    identity: String,
    channels: Channels,
    /// The time at which it was last seen on the server, in microseconds since 1970 by the server's clock.
    seen_us: AtomicU64,
    memory: ClusterFile,
    /// The URL of the server, as it may be shown.
    url: String,
}

/// The standing of a node's cluster on its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    Held,
    /// The server had lost it, or had a younger one, and has it again.
    Restored,
    /// An older one has been written back: the node has to start again.
    Displaced(String),
    /// Another cluster was there before.
    Foreign(String),
}

impl Cluster {
    /// Joins the cluster whose identity the server has. If it has none, it gets the one that this node has stored, or a new one.
    ///
    /// # Errors
    /// If the server does not answer, or has the identity of another cluster that is older than this node's.
    pub(crate) async fn join(
        connection: &mut MultiplexedConnection,
        database: i64,
        (settings, memory): (&Settings, ClusterFile),
        env: &Env,
    ) -> Result<Self, ClaimError> {
        let url = without_password(&settings.bridge.url);
        let unreachable = |e: RedisError| ClaimError::Unreachable { url: url.clone(), reason: e.to_string() };
        let (key, remembered) = (format!("{}:cluster", settings.bridge.namespace), memory.read());
        let known = remembered.as_ref().map(|r| r.identity.as_str()).unwrap_or_default();
        let script = Script::new(&format!("{ALSO_WHEN_FULL}{JOIN}"));
        let mut join = script.prepare_invoke();
        join.key(&key).arg(format!("{:08x}", env.random() as u32)).arg(known);
        let (identity, now, is_successor): (String, u64, bool) =
            join.invoke_async(connection).await.map_err(unreachable)?;
        if let Some(StoredCluster { identity: own, seen_us }) = remembered.filter(|r| r.identity != identity) {
            if !is_successor && made_us(&identity) <= seen_us {
                return Err(ClaimError::Taken(memory.refusal(&own, &identity, &url)));
            }
            tracing::info!(
                before = own,
                now = identity,
                "the cluster of this node is gone; it joins the one that is there"
            );
        }
        let channels = Channels::new(&settings.bridge.namespace, &identity, database);
        Ok(Self { key, identity, channels, seen_us: now.into(), memory, url })
    }

    /// The cluster of a test's log.
    #[cfg(test)]
    pub(crate) async fn of(settings: &Settings) -> Result<Arc<Self>, ClaimError> {
        let endpoint = super::endpoint::Endpoint::of(settings)?;
        let mut connection = endpoint.connect(&endpoint.config()).await.expect("the server takes connections");
        let (database, env) = (endpoint.database(), Env::system());
        Self::join(&mut connection, database, (settings, ClusterFile::none()), &env).await.map(Arc::new)
    }

    /// The key of its identity.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    pub(crate) fn identity(&self) -> &str {
        &self.identity
    }

    /// The channels of its nodes.
    pub(crate) fn channels(&self) -> &Channels {
        &self.channels
    }

    /// The time at which the identity was last seen, in microseconds since 1970 by the server's clock.
    pub(crate) fn seen_us(&self) -> u64 {
        self.seen_us.load(Ordering::Relaxed)
    }

    /// Checks that the server has this cluster's identity, and writes it back if it has lost it.
    pub(crate) async fn confirm(
        &self,
        connection: &mut MultiplexedConnection,
        env: &Env,
    ) -> Result<Standing, RedisError> {
        let mut confirm = CONFIRM.prepare_invoke();
        confirm.key(&self.key).arg(&self.identity).arg(self.seen_us());
        let (how, there, now_us): (String, String, u64) = confirm.invoke_async(connection).await?;
        Ok(self.stands(&how, there, now_us, env))
    }

    /// Records what a script has found out about the identity.
    pub(crate) fn stands(&self, how: &str, there: String, now_us: u64, env: &Env) -> Standing {
        let standing = match how {
            "held" => Standing::Held,
            "restored" => {
                let (url, cluster) = (&self.url, &self.identity);
                tracing::error!(
                    url,
                    cluster,
                    instead_of = there,
                    "the bridge's server has forgotten this cluster: was it flushed, or may it evict keys? It is told again"
                );
                Standing::Restored
            }
            "displaced" => Standing::Displaced(there),
            _ => Standing::Foreign(there),
        };
        if matches!(standing, Standing::Held | Standing::Restored) {
            self.seen_us.fetch_max(now_us, Ordering::Relaxed);
            self.memory.keep(&self.identity, now_us, env.now());
        }
        standing
    }

    /// Stores the identity when the node leaves: it may not come back for long.
    pub(crate) fn leave(&self) {
        self.memory.write(&self.identity, self.seen_us());
    }

    /// The reason why the node has to end; `None` if it can go on.
    pub(crate) fn end(&self, standing: &Standing) -> Option<String> {
        let own = &self.identity;
        match standing {
            Standing::Held | Standing::Restored => None,
            Standing::Displaced(there) => {
                // The next start joins the cluster that it finds.
                self.memory.forget();
                Some(format!(
                    "the bridge's server had forgotten the cluster {there} when this node started, so that the cluster \
                     {own} was made; the older one is back, and this node has to start again to join it"
                ))
            }
            Standing::Foreign(there) => Some(format!(
                "this node belongs to the cluster {own}, and the database that bridge.url leads to is that of the \
                 cluster {there}, which was there before: two clusters are not merged; correct bridge.url, or where its \
                 name leads to"
            )),
        }
    }
}

/// The time at which an identity was made, in microseconds since 1970 by the clock of its server.
fn made_us(identity: &str) -> u64 {
    identity.split('-').next().and_then(|made| made.parse().ok()).unwrap_or(0)
}
