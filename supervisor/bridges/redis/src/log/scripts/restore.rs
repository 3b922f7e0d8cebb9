//! The scripts that restore lost records.

use std::sync::LazyLock;

use redis::Script;

use super::super::super::out_of_memory::IS_FULL;
use super::RESTORING;

/// The server's registry compared with the known one, by identity and rank: `fine`; `other` if it is of an older log; `behind` if
/// there is none, a younger log's, or an older state of the same.
const STANDING: &str = r"
local function standing(registry, own, rank)
  local there = redis.call('HMGET', registry, 'identity', 'version', 'rank')
  if own == '' then return 'fine' end
  if there[1] and there[1] < own then return 'other' end
  if there[1] ~= own or not there[2] or tonumber(there[3] or there[2]) < rank then return 'behind' end
  return 'fine'
end
";

/// KEYS: registry. ARGV: the server process, grace in µs.
///
/// A new server process may have lost its last second: nodes restore the records that they know before anything rests on
/// them.
pub static ARRIVE: LazyLock<Script> = LazyLock::new(|| {
    let arrive = r"
local known = redis.call('HMGET', KEYS[1], 'version', 'run')
if ARGV[1] == '' or not known[1] or known[2] == ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'run', ARGV[1])
tell(KEYS[1], ARGV[2])
return 1";
    Script::new(&format!("{RESTORING}{arrive}"))
});

/// KEYS: registry, counts. ARGV: grace in µs.
///
/// A stream without counts has lost them, or another program has added to it: nodes that know the counts restore them.
pub static RECOUNT: LazyLock<Script> = LazyLock::new(|| {
    let recount = "redis.call('HSETNX', KEYS[2], 'appended', '0')\ntell(KEYS[1], ARGV[1])\nreturn 1";
    Script::new(&format!("{RESTORING}{recount}"))
});

/// KEYS: registry, cluster; stream and counts of each partition; dead letters and state of each capability. ARGV: identity and
/// rank of the registry that is known; number of partitions, how many messages are known to have been appended to each; the
/// capabilities. Returns {1 if the server is full, standing, version, end of the restore; of each partition its counts, since when, and 1 if
/// they are lower than known or its waiting messages are lost; of each capability the number of dead letters, how often the last one
/// was deleted on purpose, and when it was retired last}.
pub static CHECK: LazyLock<Script> = LazyLock::new(|| {
    let check = r"
local registry = redis.call('HMGET', KEYS[1], 'version', 'telling', 'identity')
if registry[3] then redis.call('HSETNX', KEYS[2], 'log', registry[3]) end
local answer = {full, standing(KEYS[1], ARGV[1], tonumber(ARGV[2])), registry[1] or '0', registry[2] or '0'}
local capabilities = 3 + 2 * ARGV[3]
for i = 3, capabilities - 1, 2 do
  -- What somebody else keeps under our name says nothing.
  local counts = redis.pcall('HMGET', KEYS[i + 1], 'appended', 'handled', 'duplicates', 'dead', 'expired', 'born', 'waiting')
  if counts.err then counts = {ARGV[(i + 5) / 2]} end
  local gone = tonumber(counts[1] or 0) < tonumber(ARGV[(i + 5) / 2])
  if not gone and tonumber(counts[7] or 0) > 0 then gone = redis.call('EXISTS', KEYS[i]) == 0 end
  for k = 1, 6 do answer[#answer + 1] = counts[k] or '0' end
  answer[#answer + 1] = gone and 1 or 0
end
for i = capabilities, #KEYS, 2 do
  answer[#answer + 1] = redis.call('HLEN', KEYS[i])
  answer[#answer + 1] = redis.call('HGET', KEYS[i + 1], 'emptied') or '0'
  answer[#answer + 1] = redis.call('HGET', KEYS[1], 'retired:' .. ARGV[(i + 5) / 2]) or '0'
end
return answer";
    Script::new(&format!("{IS_FULL}{RESTORING}{STANDING}{check}"))
});

/// KEYS: registry, cluster; stream and counts of each partition. ARGV: the server process, grace in µs, identity and rank of
/// the registry that is known, number of its fields; fields and values; of each partition its capability, appended, since
/// when it was counted, waiting, parked, the fields of a tally, and the last position that was read, or nothing. Returns {1 if
/// the registry was restored, the number of partitions, the number of lost messages}.
///
/// A count that has begun anew is added to the known one. The outcomes of messages are known to the owner of their partition alone,
/// so they are added also where another node has restored the number of messages. A subscription begins anew, since entries of the
/// log may be lost: a subscriber from the earliest retained event gets the retained events again.
pub static RESTORE: LazyLock<Script> = LazyLock::new(|| {
    let tell = r"
local registry, own, rank, at = KEYS[1], ARGV[3], tonumber(ARGV[4]), 6
local told, partitions, messages = 0, 0, 0
local stands = standing(registry, own, rank)
if stands == 'other' then return {0, 0, 0} end
if stands == 'behind' then
  local known = redis.call('HMGET', registry, 'version', 'telling')
  local version = string.format('%.0f', math.max((known[1] or 0) + 1, rank + 1, now))
  redis.call('DEL', registry)
  redis.call('HSET', registry, 'identity', own, 'version', version, 'rank', ARGV[4], 'run', ARGV[1])
  if known[2] then redis.call('HSET', registry, 'telling', known[2]) end
  for _ = 1, tonumber(ARGV[5]) do
    local is_since = string.sub(ARGV[at], 1, 6) == 'since:'
    redis.call('HSET', registry, ARGV[at], is_since and version or ARGV[at + 1])
    at = at + 2
  end
  redis.call('HSET', KEYS[2], 'log', own)
  told = 1
else
  at = at + 2 * tonumber(ARGV[5])
end
local function count(counts, known, born, there, first)
  local anew = not there[1] or (born ~= '0' and there[2] ~= born)
  local counted = tonumber(there[1] or 0)
  -- What has begun anew and is no less is another count.
  if anew and counted >= known then return end
  local function more(field, most)
    local counted = tonumber(redis.call('HGET', counts, field) or 0)
    return anew and counted + most or math.max(counted, most), counted
  end
  local appended = more('appended', known)
  if counted < known then redis.call('HSET', counts, 'appended', string.format('%.0f', appended), 'born', born) end
  if not there[1] then
    redis.call('HSET', counts, 'parked', ARGV[first], 'waiting', math.max(0, more('waiting', tonumber(ARGV[first - 1]))))
  end
  local left = appended - math.max(0, tonumber(redis.call('HGET', counts, 'waiting') or 0))
  -- Handled come last: what waits comes again, and counts then.
  for k = 4, 1, -1 do
    local field = ({'handled', 'duplicates', 'dead', 'expired'})[k]
    local most, counted = more(field, tonumber(ARGV[first + k]))
    most = math.max(counted, math.min(most, left))
    if most > counted then redis.call('HSET', counts, field, string.format('%.0f', most)) end
    left = left - most
  end
end
for i = 3, #KEYS, 2 do
  local stream, counts, capability, known = KEYS[i], KEYS[i + 1], ARGV[at], tonumber(ARGV[at + 1])
  local retired = tonumber(redis.call('HGET', registry, 'retired:' .. capability) or 0)
  if redis.call('HEXISTS', registry, 'partitions:' .. capability) == 1 and retired <= rank then
    local there = redis.pcall('HMGET', counts, 'appended', 'born')
    local is_less = not there.err and tonumber(there[1] or 0) < known
    if not there.err then count(counts, known, ARGV[at + 2], there, at + 4) end
    local waiting = 0
    local is_counted = not there.err and redis.call('HEXISTS', counts, 'appended') == 1
    if is_counted and redis.call('EXISTS', stream) == 0 then
      waiting = tonumber(redis.call('HGET', counts, 'waiting') or 0)
      redis.call('HSET', counts, 'waiting', '0', 'lost', math.floor(now / 1000))
    end
    if is_counted and ARGV[at + 9] ~= '' then
      -- Positions go on where they were, also by a clock that is behind: its reader looks behind the last one.
      local id = redis.pcall('XADD', stream, ARGV[at + 9], 'c', '0')
      if type(id) ~= 'table' then redis.call('XDEL', stream, id) end
    end
    if is_less or waiting > 0 then partitions, messages = partitions + 1, messages + waiting end
  end
  at = at + 10
end
if told + partitions > 0 then tell(registry, ARGV[2]) end
return {told, partitions, messages}";
    Script::new(&format!("{RESTORING}{STANDING}{tell}"))
});
