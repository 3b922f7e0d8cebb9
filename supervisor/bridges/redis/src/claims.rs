//! The claims of a node: on its name, and on each capability that may have one host only.
//!
//! A claim is a key with a lease whose value names its holder: the epoch and the cluster of a node. A name is taken over at once
//! if the former node's inbox has no subscriber (it was killed), else when its lease ends (it is stopped, or cut off). Epochs rise
//! with the server's clock, so that they rise even if the server loses all data. A lease is a promise of the server's clock: one
//! whose key is lost before its time still holds, and the claim is written back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use essaim_base::Env;
use essaim_config::{Settings, without_password};
use essaim_protocol::wire::{ClaimError, Renewal};
use redis::aio::MultiplexedConnection;
use redis::{RedisError, Script};
use tokio::time::Instant;

use super::cluster::{Cluster, STANDING};
use super::out_of_memory::ALSO_WHEN_FULL;

/// How often a claim that another node holds is tried again within a lease.
const TRIES_PER_LEASE: u32 = 20;

/// The time in ms within which the node of this key releases its claims, if it has said so under this epoch: else 0.
const RELEASES: &str = r"
local function releases(key, epoch)
  local by, at = string.match(redis.call('GET', key) or '', '^(%d+) (%d+)$')
  if not by or by ~= epoch then return 0 end
  local time = redis.call('TIME')
  return math.max(0, tonumber(at) - time[1] * 1000 - math.floor(time[2] / 1000))
end
";

/// KEYS: the name, its epoch counter, when it is released. ARGV: lease in ms, cluster, what the channel of the name's inbox begins and
/// ends with around the cluster. Returns {epoch, '', 0}, or {0, cluster of the holder, time in ms within which it releases the name}.
const TAKE_NAME: &str = r"
local holder = redis.call('GET', KEYS[1])
if holder then
  local epoch, cluster = string.match(holder, '^(%d+) (%S+)$')
  local inbox = epoch and ARGV[3] .. cluster .. ARGV[4] .. epoch
  if not inbox or redis.call('PUBSUB', 'NUMSUB', inbox)[2] > 0 then
    return {0, cluster or '', epoch and releases(KEYS[3], epoch) or 0}
  end
end
local time = redis.call('TIME')
local last = tonumber(string.match(redis.call('GET', KEYS[2]) or '', '^%d+')) or 0
local epoch = string.format('%d', math.max(time[1] * 1000 + math.floor(time[2] / 1000), last + 1))
local claim = epoch .. ' ' .. ARGV[2]
redis.call('SET', KEYS[2], claim)
redis.call('SET', KEYS[1], claim, 'PX', ARGV[1])
return {tonumber(epoch), '', 0}";

/// KEYS: the cluster, the name, its epoch counter, claims. ARGV: lease in ms, own epoch, own name, the cluster, when it was
/// last seen, when the lease was last renewed. Returns {outcome, the other one, now, what was lost before its time}; the outcome is a standing, `superseded` or
/// `claimed`.
///
/// Of two hosts that both have a lease on a capability, because the server has lost the first one's, the first one goes on: its
/// epoch is lower.
static RENEW: LazyLock<Script> = LazyLock::new(|| {
    let renew = r"
local lease, own, name, cluster, seen = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], tonumber(ARGV[5])
local shown = string.format('%.0f', now)
local how, there = standing(KEYS[1], cluster, seen)
if how ~= 'held' and how ~= 'restored' then return {how, there, shown, ''} end
local holds = now < tonumber(ARGV[6]) + lease * 1000
local function epoch_of(key)
  local epoch, whose, node = string.match(redis.call('GET', key) or '', '^(%d+) (%S+) ?(.*)$')
  if whose == cluster then return tonumber(epoch), node end
end
local holder, last = epoch_of(KEYS[2]), epoch_of(KEYS[3])
if (holder or 0) > own or (last or 0) > own then return {'superseded', '', shown, ''} end
local gone = {}
if not last then gone[#gone + 1] = 'the epoch' end
if not holder and holds then gone[#gone + 1] = 'the name' end
for i = 4, #KEYS do
  local epoch, node = epoch_of(KEYS[i])
  if epoch and node ~= name and (epoch < own or not holds) then return {'claimed', KEYS[i] .. ' ' .. node, shown, ''} end
  if node ~= name and holds then gone[#gone + 1] = KEYS[i] end
end
local claim = ARGV[2] .. ' ' .. cluster
redis.call('SET', KEYS[2], claim, 'PX', lease)
redis.call('SET', KEYS[3], claim)
for i = 4, #KEYS do redis.call('SET', KEYS[i], claim .. ' ' .. name, 'PX', lease) end
return {how, there, shown, table.concat(gone, ', ')}";
    Script::new(&format!("{ALSO_WHEN_FULL}{STANDING}{renew}"))
});

/// KEYS: the claim. ARGV: lease in ms, own epoch and cluster, own name, what stands before a node's name in the key of its release.
/// Returns the holder, and the time in ms within which it releases the claim.
const TAKE_CLAIM: &str = r"
local epoch, holder = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+) %S+ (.*)$')
if holder and holder ~= ARGV[3] then return {holder, releases(ARGV[4] .. holder, epoch)} end
redis.call('SET', KEYS[1], ARGV[2] .. ' ' .. ARGV[3], 'PX', ARGV[1])
return {ARGV[3], 0}";

/// KEYS: when the node's claims are released. ARGV: its epoch, the time in ms within which that is.
const ANNOUNCE_RELEASE: &str = r"
local time = redis.call('TIME')
local at = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[2]
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. string.format('%.0f', at), 'PX', ARGV[2])";

/// KEYS: the name, claims. ARGV: own epoch and cluster, own name.
const RELEASE: &str = r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
for i = 2, #KEYS do
  if redis.call('GET', KEYS[i]) == ARGV[1] .. ' ' .. ARGV[2] then redis.call('DEL', KEYS[i]) end
end
return 1";

pub struct Claims {
    cluster: Arc<Cluster>,
    namespace: String,
    node: String,
    url: String,
    epoch: u64,
    lease: Duration,
    /// The time of the last renewal, in microseconds since 1970 by the server's clock.
    renewed_us: AtomicU64,
    /// Capabilities that may have one live host only.
    exclusive: Vec<String>,
}

impl Claims {
    /// No claims yet: see [`Claims::take`].
    pub fn new(cluster: Arc<Cluster>, settings: &Settings, exclusive: Vec<String>) -> Self {
        let (namespace, node) = (settings.bridge.namespace.clone(), settings.node.name.clone());
        let (url, lease) = (without_password(&settings.bridge.url), Duration::from_millis(settings.members.lease_ms));
        let renewed_us = cluster.seen_us().into();
        Self { cluster, namespace, node, url, epoch: 0, lease, renewed_us, exclusive }
    }

    /// Takes the name and every claim, waiting at most one lease for those that a dead node left behind.
    pub async fn take(&mut self, connection: &mut MultiplexedConnection, env: &Env) -> Result<u64, ClaimError> {
        let url = self.url.clone();
        let unreachable = |e: RedisError| ClaimError::Unreachable { url: url.clone(), reason: e.to_string() };
        let pause = self.lease / TRIES_PER_LEASE;
        let mut wait = Wait { until: env.now() + self.lease + 2 * pause, is_told: false };
        loop {
            let script = Script::new(&format!("{ALSO_WHEN_FULL}{RELEASES}{TAKE_NAME}"));
            let mut take = script.prepare_invoke();
            take.key(self.name_key()).key(self.epoch_key()).key(self.release_key(&self.node));
            let (before, after) = self.cluster.channels().around_cluster(&self.node);
            take.arg(self.lease.as_millis() as u64).arg(self.cluster.identity()).arg(before).arg(after);
            let (epoch, holder, releases_ms): (u64, String, u64) =
                take.invoke_async(connection).await.map_err(unreachable)?;
            if epoch > 0 {
                self.epoch = epoch;
                break;
            }
            let is_there = format!("a node of the name `{}` is still there", self.node);
            if !wait.goes_on(releases_ms, &is_there, env) {
                return Err(self.name_taken(&holder));
            }
            tokio::time::sleep(pause).await;
        }
        for capability in self.exclusive.clone() {
            loop {
                let script = Script::new(&format!("{ALSO_WHEN_FULL}{RELEASES}{TAKE_CLAIM}"));
                let mut take = script.prepare_invoke();
                take.key(self.claim_key(&capability)).arg(self.lease.as_millis() as u64);
                take.arg(self.record()).arg(&self.node).arg(self.release_key(""));
                let (holder, releases_ms): (String, u64) = take.invoke_async(connection).await.map_err(unreachable)?;
                if holder == self.node {
                    break;
                }
                let is_there = format!("the node `{holder}` still has `{capability}`");
                if !wait.goes_on(releases_ms, &is_there, env) {
                    self.release(connection).await;
                    return Err(ClaimError::Taken(claim_taken(&capability, &holder)));
                }
                tokio::time::sleep(pause).await;
            }
        }
        Ok(self.epoch)
    }

    /// Renews all claims for another lease, and writes back those that the server has lost.
    ///
    /// # Errors
    /// If the server does not answer, or refuses.
    pub async fn renew(&self, connection: &mut MultiplexedConnection, env: &Env) -> Result<Renewal, RedisError> {
        let mut renew = RENEW.prepare_invoke();
        renew.key(self.cluster.key()).key(self.name_key()).key(self.epoch_key());
        for capability in &self.exclusive {
            renew.key(self.claim_key(capability));
        }
        renew.arg(self.lease.as_millis() as u64).arg(self.epoch).arg(&self.node);
        renew.arg(self.cluster.identity()).arg(self.cluster.seen_us());
        renew.arg(self.renewed_us.load(Ordering::Relaxed));
        let (how, other, now_us, gone): (String, String, u64, String) = renew.invoke_async(connection).await?;
        Ok(match how.as_str() {
            "superseded" => Renewal::Superseded,
            "claimed" => {
                let (key, holder) = other.split_once(' ').unwrap_or_default();
                let capability = key.strip_prefix(&self.claim_key("")).unwrap_or(key);
                Renewal::Displaced(claim_taken(capability, holder))
            }
            how => {
                let standing = self.cluster.stands(how, other, now_us, env);
                if let Some(reason) = self.cluster.end(&standing) {
                    return Ok(Renewal::Displaced(reason));
                }
                self.renewed_us.store(now_us, Ordering::Relaxed);
                if !gone.is_empty() {
                    let (node, cluster, url) = (&self.node, self.cluster.identity(), &self.url);
                    tracing::error!(
                        url,
                        node,
                        cluster,
                        gone,
                        "the bridge's server has forgotten claims of this node: was it flushed, or may it evict keys? It is \
                         told again"
                    );
                }
                Renewal::Held
            }
        })
    }

    /// Tells who waits for these claims that they are released within this time.
    pub async fn announce_release(&self, within: Duration, connection: &mut MultiplexedConnection) {
        let script = Script::new(&format!("{ALSO_WHEN_FULL}{ANNOUNCE_RELEASE}"));
        let mut announce = script.key(self.release_key(&self.node));
        announce.arg(self.epoch).arg(within.as_millis().max(1) as u64);
        if let Err(error) = announce.invoke_async::<()>(connection).await {
            tracing::debug!(%error, "who waits for the claims could not be told that they will be released");
        }
    }

    pub async fn release(&self, connection: &mut MultiplexedConnection) {
        let script = Script::new(RELEASE);
        let mut release = script.prepare_invoke();
        release.key(self.name_key());
        for capability in &self.exclusive {
            release.key(self.claim_key(capability));
        }
        if let Err(error) = release.arg(self.record()).arg(&self.node).invoke_async::<u8>(connection).await {
            tracing::debug!(%error, "the claims could not be given back; they end with their lease");
        }
        self.cluster.leave();
    }

    /// The value of a claim of this node.
    fn record(&self) -> String {
        format!("{} {}", self.epoch, self.cluster.identity())
    }

    fn name_taken(&self, cluster: &str) -> ClaimError {
        let node = &self.node;
        let whose = match cluster == self.cluster.identity() || cluster.is_empty() {
            true => String::new(),
            false => format!(" in the cluster {cluster}"),
        };
        ClaimError::Taken(format!(
            "a live node is already called `{node}`{whose}; stop it, or give this one another name (node.name)"
        ))
    }

    fn name_key(&self) -> String {
        format!("{}:node:{}", self.namespace, self.node)
    }

    fn release_key(&self, node: &str) -> String {
        format!("{}:release:{node}", self.namespace)
    }

    fn epoch_key(&self) -> String {
        format!("{}:epoch:{}", self.namespace, self.node)
    }

    fn claim_key(&self, capability: &str) -> String {
        format!("{}:claim:{capability}", self.namespace)
    }
}

/// The wait for claims of others.
struct Wait {
    until: Instant,
    is_told: bool,
}

impl Wait {
    /// Whether it goes on: for one lease, or for as long as a holder that drains may take.
    fn goes_on(&mut self, releases_ms: u64, is_there: &str, env: &Env) -> bool {
        let now = env.now();
        self.until = self.until.max(now + Duration::from_millis(releases_ms));
        if now >= self.until {
            return false;
        }
        if !std::mem::replace(&mut self.is_told, true) {
            match releases_ms {
                0 => tracing::warn!("{is_there}; waiting for its lease to end"),
                ms => tracing::info!("{is_there} and drains; waiting for its end, which may take {ms} ms"),
            }
        }
        true
    }
}

fn claim_taken(capability: &str, holder: &str) -> String {
    format!(
        "`{capability}` keeps its data in SQLite, so it has one live host, and node `{holder}` is it; give the \
         capability a PostgreSQL database (capabilities.{capability}.database), or host it in one node"
    )
}
