//! The scripts about the registry.

use std::sync::LazyLock;

use redis::Script;

use super::RESTORING;

/// Whether the server has lost a registry of which nothing is left: the cluster's record says so, or nodes are subscribed whose
/// cluster is lost, too.
const FORGOTTEN: &str = r"
local function forgotten(cluster, channels, own)
  if redis.call('HEXISTS', cluster, 'log') == 1 then return true end
  for _, channel in ipairs(redis.call('PUBSUB', 'CHANNELS', channels)) do
    if channel ~= own then return true end
  end
  return false
end
";

/// Gives a log its identity, if it has none. A log that begins although there was another is young: until the restore has ended,
/// the older one may be restored over it.
const IDENTIFY: &str = r"
local function identify(registry, cluster, old, new, run, grace, channels, own)
  local known = redis.call('HMGET', registry, 'identity', 'version')
  if known[1] then return known[1] end
  local began = not known[2]
  local identity = not began and redis.call('GET', old) or new
  redis.call('HSET', registry, 'identity', identity, 'run', run)
  if began and forgotten(cluster, channels, own) then
    tell(registry, grace)
    redis.call('HSET', registry, 'young', '1')
  end
  redis.call('HSET', cluster, 'log', identity)
  return identity
end
";

/// Records a change of the registry. Its version is the rank until the next change, also when it is restored under a higher
/// version: senders that know the version before read it again.
const CHANGE: &str = r"
local function change(registry, version)
  redis.call('HSET', registry, 'version', version)
  redis.call('HDEL', registry, 'rank')
end
";

/// KEYS: registry, cluster. ARGV: grace in µs, the pattern of all broadcast channels, the own one. Returns {the registry, µs
/// until it is complete}.
pub static LOOK: LazyLock<Script> = LazyLock::new(|| {
    let look = r"
local all = redis.call('HGETALL', KEYS[1])
if #all == 0 and forgotten(KEYS[2], ARGV[2], ARGV[3]) then return {all, tonumber(ARGV[1])} end
return {all, left(KEYS[1])}";
    Script::new(&format!("{RESTORING}{FORGOTTEN}{look}"))
});

/// KEYS: registry, cluster, where the identity was once. ARGV: a new identity, the server process, grace in µs, channels as
/// above. Returns the identity.
pub static IDENTITY: LazyLock<Script> = LazyLock::new(|| {
    let identity = "return identify(KEYS[1], KEYS[2], KEYS[3], unpack(ARGV))";
    Script::new(&format!("{RESTORING}{FORGOTTEN}{IDENTIFY}{identity}"))
});

/// KEYS: registry, cluster, where the identity was once. ARGV: capability, partitions, what [`IDENTITY`] takes; event and
/// subscription of each. Returns µs to wait; 0 if it is registered.
pub static REGISTER: LazyLock<Script> = LazyLock::new(|| {
    let register = r"
if left(KEYS[1]) > 0 and redis.call('HEXISTS', KEYS[1], 'young') == 0 then return left(KEYS[1]) end
identify(KEYS[1], KEYS[2], KEYS[3], unpack(ARGV, 3, 7))
local version = redis.call('HGET', KEYS[1], 'version') or '0'
local next = string.format('%.0f', math.max(version + 1, now))
local new = redis.call('HSETNX', KEYS[1], 'partitions:' .. ARGV[1], ARGV[2])
for i = 8, #ARGV, 2 do
  local whose = ARGV[1] .. ':' .. ARGV[i]
  if redis.call('HGET', KEYS[1], 'subscription:' .. whose) ~= ARGV[i + 1] then
    redis.call('HSET', KEYS[1], 'subscription:' .. whose, ARGV[i + 1])
    redis.call('HSETNX', KEYS[1], 'since:' .. whose, next)
    new = 1
  end
end
if new == 1 then change(KEYS[1], next) end
return 0";
    Script::new(&format!("{RESTORING}{FORGOTTEN}{IDENTIFY}{CHANGE}{register}"))
});

/// KEYS: registry. ARGV: capability, event. Returns {µs to wait, 1 if there was a subscription}.
pub static UNSUBSCRIBE: LazyLock<Script> = LazyLock::new(|| {
    let unsubscribe = r"
if left(KEYS[1]) > 0 then return {left(KEYS[1]), 0} end
local whose = ARGV[1] .. ':' .. ARGV[2]
redis.call('HDEL', KEYS[1], 'since:' .. whose)
if redis.call('HDEL', KEYS[1], 'subscription:' .. whose) == 0 then return {0, 0} end
local version = redis.call('HGET', KEYS[1], 'version') or '0'
change(KEYS[1], string.format('%.0f', math.max(version + 1, now)))
return {0, 1}";
    Script::new(&format!("{RESTORING}{CHANGE}{unsubscribe}"))
});

/// KEYS: registry, owners, hosts, handles, state, dead letters; stream and counts of each partition. ARGV: capability,
/// partitions. Returns {'telling', µs to wait}, {'changed', 0} if it has another number of them, {'hosted', host} or {'done', messages}.
///
/// Only epochs are left, higher than any before, so that an owner that was paused meanwhile acknowledges nothing. The registry
/// records when it was retired, so that records from before are not restored.
pub static RETIRE: LazyLock<Script> = LazyLock::new(|| {
    let retire = r"
local registry, owners, hosts, handles = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
if left(registry) > 0 then return {'telling', left(registry)} end
if (redis.call('HGET', registry, 'partitions:' .. ARGV[1]) or '0') ~= ARGV[2] then return {'changed', 0} end
local hosting = redis.call('HGETALL', handles)
for i = 1, #hosting, 2 do
  local leaving = string.match(hosting[i + 1], '^leaving')
  local ends = tonumber(redis.call('HGET', hosts, hosting[i]) or now + 1)
  if ends > now and not leaving then return {'hosted', hosting[i]} end
end
local messages = redis.call('HLEN', KEYS[6])
for i = 7, #KEYS, 2 do
  messages = messages + math.max(0, tonumber(redis.call('HGET', KEYS[i + 1], 'waiting') or 0))
  redis.call('UNLINK', KEYS[i], KEYS[i + 1])
end
redis.call('UNLINK', hosts, handles, KEYS[5], KEYS[6])
for _, field in ipairs(redis.call('HKEYS', registry)) do
  for _, whose in ipairs({'subscription:' .. ARGV[1] .. ':', 'since:' .. ARGV[1] .. ':'}) do
    if string.sub(field, 1, #whose) == whose then redis.call('HDEL', registry, field) end
  end
end
redis.call('HDEL', registry, 'partitions:' .. ARGV[1])
for number = 0, tonumber(ARGV[2]) - 1 do
  local last = string.match(redis.call('HGET', owners, number) or '0', '^%d+')
  redis.call('HSET', owners, number, string.format('%.0f ', math.max(last + 1, now)))
end
local version = redis.call('HGET', registry, 'version') or '0'
local next = string.format('%.0f', math.max(version + 1, now))
change(registry, next)
redis.call('HSET', registry, 'retired:' .. ARGV[1], next)
return {'done', messages}";
    Script::new(&format!("{RESTORING}{CHANGE}{retire}"))
});
