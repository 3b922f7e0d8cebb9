//! Who may use a node name, and who may host a capability that must have one host.
//!
//! A claim is a key with a lease. A name is taken over at once when nobody is subscribed to the old node's inbox (it
//! was killed), else when its lease ends (it is stopped, or cut off). Epochs rise with the server's clock, so that
//! they rise even over a server that forgot everything.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{RedisError, Script};

use crate::Env;
use crate::bridge::{ClaimError, Renewal};

/// How often a claim that is held by another is tried again until the lease ends.
const TRIES_PER_LEASE: u32 = 20;

/// KEYS: the name, its epoch counter. ARGV: lease in ms, prefix of the name's inboxes. Gives {epoch} or {0, holder}.
const TAKE_NAME: &str = r"
local holder = redis.call('GET', KEYS[1])
if holder then
  local listening = redis.call('PUBSUB', 'NUMSUB', ARGV[2] .. holder)
  if listening[2] > 0 then return {0, tonumber(holder)} end
end
local time = redis.call('TIME')
local epoch = math.max(time[1] * 1000 + math.floor(time[2] / 1000), tonumber(redis.call('GET', KEYS[2]) or 0) + 1)
redis.call('SET', KEYS[2], string.format('%d', epoch))
redis.call('SET', KEYS[1], string.format('%d', epoch), 'PX', ARGV[1])
return {epoch}";

/// KEYS: the name, its epoch counter, claims. ARGV: lease in ms, own epoch, own name. 1 held, 0 superseded.
const RENEW: &str = r"
local holder = tonumber(redis.call('GET', KEYS[1]) or 0)
local last = tonumber(redis.call('GET', KEYS[2]) or 0)
local own = tonumber(ARGV[2])
if holder > own or last > own then return 0 end
for i = 3, #KEYS do
  local claim = redis.call('GET', KEYS[i])
  if claim and claim ~= ARGV[3] then return 0 end
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[1])
redis.call('SET', KEYS[2], ARGV[2])
for i = 3, #KEYS do redis.call('SET', KEYS[i], ARGV[3], 'PX', ARGV[1]) end
return 1";

/// KEYS: the claim. ARGV: lease in ms, own name. Gives the holder.
const TAKE_CLAIM: &str = r"
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[2] then return holder end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[1])
return ARGV[2]";

/// KEYS: the name, claims. ARGV: own epoch, own name.
const RELEASE: &str = r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
for i = 2, #KEYS do
  if redis.call('GET', KEYS[i]) == ARGV[2] then redis.call('DEL', KEYS[i]) end
end
return 1";

/// The channel of a node's inbox.
pub fn inbox(namespace: &str, node: &str, epoch: u64) -> String {
    format!("{namespace}:inbox:{node}:{epoch}")
}

pub struct Claims {
    namespace: String,
    node: String,
    epoch: u64,
    lease: Duration,
    /// Capabilities that may have one live host.
    exclusive: Vec<String>,
}

impl Claims {
    pub fn new(namespace: &str, node: &str, lease: Duration, exclusive: Vec<String>) -> Self {
        Self { namespace: namespace.into(), node: node.into(), epoch: 0, lease, exclusive }
    }

    /// Takes the name and every claim, waiting at most one lease for those that a dead node left behind.
    pub async fn take(
        &mut self,
        connection: &mut MultiplexedConnection,
        env: &Env,
        url: &str,
    ) -> Result<u64, ClaimError> {
        let unreachable = |e: RedisError| ClaimError::Unreachable { url: url.to_string(), reason: e.to_string() };
        let pause = self.lease / TRIES_PER_LEASE;
        let patience = env.now() + self.lease + 2 * pause;
        let mut told = false;
        loop {
            let script = Script::new(TAKE_NAME);
            let mut take = script.prepare_invoke();
            take.key(self.name_key()).key(self.epoch_key()).arg(self.lease.as_millis() as u64);
            let taken: Vec<u64> = take.arg(self.inbox_prefix()).invoke_async(connection).await.map_err(unreachable)?;
            match taken[..] {
                [epoch] => {
                    self.epoch = epoch;
                    break;
                }
                _ if env.now() >= patience => return Err(self.name_taken()),
                _ if !told => {
                    told = true;
                    tracing::warn!(
                        node = self.node,
                        "a node of this name is still there; waiting for its lease to end"
                    );
                }
                _ => {}
            }
            tokio::time::sleep(pause).await;
        }
        for capability in self.exclusive.clone() {
            loop {
                let script = Script::new(TAKE_CLAIM);
                let mut take = script.prepare_invoke();
                take.key(self.claim_key(&capability)).arg(self.lease.as_millis() as u64).arg(&self.node);
                let holder: String = take.invoke_async(connection).await.map_err(unreachable)?;
                if holder == self.node {
                    break;
                }
                if env.now() >= patience {
                    self.release(connection).await;
                    return Err(claim_taken(&capability, &holder));
                }
                tokio::time::sleep(pause).await;
            }
        }
        Ok(self.epoch)
    }

    pub async fn renew(&self, connection: &mut MultiplexedConnection) -> Renewal {
        let script = Script::new(RENEW);
        let mut renew = script.prepare_invoke();
        renew.key(self.name_key()).key(self.epoch_key());
        for capability in &self.exclusive {
            renew.key(self.claim_key(capability));
        }
        renew.arg(self.lease.as_millis() as u64).arg(self.epoch).arg(&self.node);
        match renew.invoke_async::<u8>(connection).await {
            Ok(1) => Renewal::Held,
            Ok(_) => Renewal::Superseded,
            Err(error) => {
                tracing::debug!(%error, "the lease could not be renewed");
                Renewal::Unanswered
            }
        }
    }

    pub async fn release(&self, connection: &mut MultiplexedConnection) {
        let script = Script::new(RELEASE);
        let mut release = script.prepare_invoke();
        release.key(self.name_key());
        for capability in &self.exclusive {
            release.key(self.claim_key(capability));
        }
        if let Err(error) = release.arg(self.epoch).arg(&self.node).invoke_async::<u8>(connection).await {
            tracing::debug!(%error, "the claims could not be given back; they end with their lease");
        }
    }

    fn name_taken(&self) -> ClaimError {
        ClaimError::Taken(format!(
            "a live node is already called `{}`; stop it, or give this one another name (node.name)",
            self.node
        ))
    }

    fn name_key(&self) -> String {
        format!("{}:node:{}", self.namespace, self.node)
    }

    fn epoch_key(&self) -> String {
        format!("{}:epoch:{}", self.namespace, self.node)
    }

    fn claim_key(&self, capability: &str) -> String {
        format!("{}:claim:{capability}", self.namespace)
    }

    fn inbox_prefix(&self) -> String {
        format!("{}:inbox:{}:", self.namespace, self.node)
    }
}

fn claim_taken(capability: &str, holder: &str) -> ClaimError {
    ClaimError::Taken(format!(
        "`{capability}` keeps its data in SQLite, so it has one live host, and node `{holder}` is it; give the \
         capability a PostgreSQL database (capabilities.{capability}.database), or host it in one node"
    ))
}
