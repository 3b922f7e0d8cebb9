//! The scripts about hosts and owners of partitions.

use std::sync::LazyLock;

use redis::Script;

use super::{ALSO_WHEN_FULL, RESTORING};

/// KEYS: registry, owners, hosts, handles, state. ARGV: capability, host, lease in µs, what it handles, the server
/// process, grace in µs; `given NUMBER`, `outrun NUMBER EPOCH` with the epoch that its database has seen, and `owned NUMBER
/// EPOCH` for each partition that the host owned by its last answer. Returns {version, partitions, owners, handles of the live hosts, µs
/// until anything may be granted, the number of records that the server had lost if this call has found that first}.
///
/// The version rises with every change on which an assignment may rest. The first call that sees that a lease has ended records
/// it, so that a host that comes back changes the version too. A new server process may have lost its last second, and epochs that
/// were given in it: all owners get new ones. Hosts could send no heartbeat while it was away, so all get another lease. Owners
/// restore their own records: nothing is granted until all have.
pub static HEARTBEAT: LazyLock<Script> = LazyLock::new(|| {
    let heartbeat = r"
local registry, owners, hosts, handles, state = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local own, lease, names, run, forgotten = ARGV[2], ARGV[3], ARGV[4], ARGV[5], 0
local changed = false
local function record(number)
  return string.match(redis.call('HGET', owners, number) or '', '^(%d+) (.*)$')
end
local function note(number, epoch, host)
  redis.call('HSET', owners, number, string.format('%.0f ', epoch) .. host)
  changed = true
end
local before = redis.call('HGET', state, 'run')
if run ~= '' and before ~= run then
  for _, number in ipairs(before and redis.call('HKEYS', owners) or {}) do
    local epoch, host = record(number)
    note(number, math.max(epoch + 1, now), host)
  end
  for _, host in ipairs(redis.call('HKEYS', hosts)) do
    redis.call('HSET', hosts, host, string.format('%.0f', now + lease))
  end
  redis.call('HSET', state, 'run', run)
  changed = true
end
local leases = redis.call('HGETALL', hosts)
for i = 1, #leases, 2 do
  if leases[i] ~= own and tonumber(leases[i + 1]) <= now then
    redis.call('HDEL', hosts, leases[i])
    redis.call('HDEL', handles, leases[i])
    changed = true
  elseif leases[i] ~= own and redis.call('HEXISTS', handles, leases[i]) == 0 then
    forgotten = forgotten + 1
  end
end
for _, host in ipairs(redis.call('HKEYS', handles)) do
  redis.call('HSETNX', hosts, host, string.format('%.0f', now + lease))
end
if redis.call('HLEN', owners) == 0 and redis.call('HDEL', state, 'granted') == 1 then forgotten = forgotten + 1 end
for i = 7, #ARGV do
  local what, number, seen = string.match(ARGV[i], '^(%a+) (%d+) ?(%d*)$')
  local epoch, host = record(number)
  seen = tonumber(seen) or 0
  if what == 'owned' then
    if (tonumber(epoch) or 0) < seen then
      note(number, seen, own)
      forgotten = forgotten + 1
    end
  elseif host == own then
    note(number, math.max(epoch, seen), '')
  end
end
if redis.call('HGET', handles, own) ~= names then
  redis.call('HSET', handles, own, names)
  changed = true
end
redis.call('HSET', hosts, own, string.format('%.0f', now + lease))
local version = redis.call('HGET', state, 'version') or '0'
if changed then
  version = string.format('%.0f', math.max(version + 1, now))
  redis.call('HSET', state, 'version', version)
end
local partitions = redis.call('HGET', registry, 'partitions:' .. ARGV[1]) or '0'
if forgotten == 0 or partitions == '0' or not tell(registry, ARGV[6]) then forgotten = 0 end
return {version, partitions, redis.call('HGETALL', owners), redis.call('HGETALL', handles), left(registry), forgotten}";
    Script::new(&format!("{RESTORING}{heartbeat}"))
});

/// KEYS: owners, state. ARGV: the version decided on; number and new owner of each. Returns the epochs, or nothing if
/// the version has changed.
///
/// Epochs rise with the server's clock, so that they rise even if the server loses all data.
pub static GRANT: LazyLock<Script> = LazyLock::new(|| {
    let grant = r"
if (redis.call('HGET', KEYS[2], 'version') or '0') ~= ARGV[1] then return {} end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local epochs = {}
for i = 2, #ARGV, 2 do
  local last = string.match(redis.call('HGET', KEYS[1], ARGV[i]) or '0', '^%d+')
  local epoch = string.format('%.0f', math.max(last + 1, now))
  redis.call('HSET', KEYS[1], ARGV[i], epoch .. ' ' .. ARGV[i + 1])
  epochs[#epochs + 1] = epoch
end
redis.call('HSET', KEYS[2], 'version', string.format('%.0f', math.max(ARGV[1] + 1, now)), 'granted', '1')
return epochs";
    Script::new(&format!("{ALSO_WHEN_FULL}{grant}"))
});
