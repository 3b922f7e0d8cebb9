//! The scripts, in which whatever must be true together is written.
//!
//! A full server refuses the first write of a script if that one needs memory, and none after it. So a script that must
//! work then, because it frees memory or keeps leases, begins with a write that needs none; an append begins with one
//! that does, and nothing is half done. Numbers are exact up to 2^53 in Lua, which microseconds since 1970 reach in the
//! year 2255.

use std::sync::LazyLock;

use redis::{Cmd, Script};

/// KEYS: registry; stream and counts of each append. ARGV: version, most; count, batch and `!` if it is urgent of each append.
/// Gives {'stale'}, {'refused', why}, {'torn', why} or {'done', stored, first or waiting, …}.
pub static APPEND: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
if (redis.call('HGET', KEYS[1], 'version') or '0') ~= ARGV[1] then return {'stale'} end
local most, answer, written, at = tonumber(ARGV[2]), {'done'}, false, 3
for i = 2, #KEYS, 2 do
  local count, batch, urgent = tonumber(ARGV[at]), ARGV[at + 1], ARGV[at + 2] == '!'
  at = at + 3
  local known = redis.pcall('HMGET', KEYS[i + 1], 'appended', 'waiting', 'parked')
  if known.err then return {written and 'torn' or 'refused', known.err} end
  local appended, waiting = tonumber(known[1] or 0), math.max(0, tonumber(known[2] or 0))
  local all = waiting + tonumber(known[3] or 0)
  if all >= most and not urgent then
    answer[#answer + 1] = 0
    answer[#answer + 1] = all
  else
    local first = string.format('%.0f', appended)
    local id = redis.pcall('XADD', KEYS[i], '*', 'c', tostring(count), 'f', first, 'b', batch)
    if type(id) == 'table' then return {written and 'torn' or 'refused', id.err} end
    written = true
    redis.call('HSET', KEYS[i + 1], 'appended', string.format('%.0f', appended + count),
      'waiting', string.format('%.0f', waiting + count))
    answer[#answer + 1] = 1
    answer[#answer + 1] = appended
  end
end
return answer",
    )
});

/// KEYS: stream, counts, owners and dead letters of each. ARGV of each: number, epoch, the four fields of a tally, parked
/// messages, number of positions, number of foreign ones, positions, foreign ones, number of dead letters, id and bytes of each dead letter. Gives 1, or 0 if
/// fenced, for each.
///
/// Entries that follow each other, as they mostly do, are looked up 64 at a time, the others one by one, and each once.
/// An acknowledgement is done as a whole or not at all. So one whose positions are all gone is a repetition: what it
/// counts is counted, and what it keeps is kept already, or forgotten since.
pub static ACKNOWLEDGE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local answer, at = {}, 1
for i = 1, #KEYS, 4 do
  local stream, counts = KEYS[i], KEYS[i + 1]
  local epoch = string.match(redis.call('HGET', KEYS[i + 2], ARGV[at]) or '0', '^%d+')
  local fenced, tally, many = tonumber(epoch) > tonumber(ARGV[at + 1]), at + 1, tonumber(ARGV[at + 7])
  local parked, others = ARGV[at + 6], tonumber(ARGV[at + 8])
  at = at + 9
  local last = at + many + others
  if fenced then
    answer[#answer + 1] = 0
  else
    local known, found, removed, messages, foreign = {}, {}, 0, 0, 0
    for k = at, at + many - 2, 64 do
      local to = ARGV[math.min(k + 63, at + many - 1)]
      for _, entry in ipairs(redis.call('XRANGE', stream, ARGV[k], to, 'COUNT', 64)) do
        known[entry[1]] = tonumber(entry[2][2])
      end
    end
    for k = at, at + many - 1 do
      local count = known[ARGV[k]]
      if count == nil then
        local entry = redis.call('XRANGE', stream, ARGV[k], ARGV[k])[1]
        count = entry and tonumber(entry[2][2])
      end
      if count then
        messages = messages + count
        found[#found + 1] = ARGV[k]
      end
      known[ARGV[k]] = false
    end
    for k = 1, #found, 1000 do
      removed = removed + redis.call('XDEL', stream, unpack(found, k, math.min(k + 999, #found)))
    end
    for k = at + many, at + many + others - 1 do foreign = foreign + redis.call('XDEL', stream, ARGV[k]) end
    if many + others == 0 then redis.call('XDEL', stream, '0-0') end
    if (redis.call('HGET', counts, 'parked') or '0') ~= parked then redis.call('HSET', counts, 'parked', parked) end
    if messages > 0 then redis.call('HINCRBY', counts, 'waiting', -messages) end
    if foreign > 0 then redis.call('HINCRBY', counts, 'appended', foreign) end
    if removed + foreign > 0 or many + others == 0 then
      for k, field in ipairs({'handled', 'duplicates', 'dead', 'expired'}) do
        if ARGV[tally + k] ~= '0' then redis.call('HINCRBY', counts, field, ARGV[tally + k]) end
      end
      for k = 1, tonumber(ARGV[last]) do
        redis.call('HSET', KEYS[i + 3], ARGV[last + 2 * k - 1], ARGV[last + 2 * k])
      end
    end
    answer[#answer + 1] = 1
  end
  at = last + 1 + 2 * tonumber(ARGV[last])
end
return answer",
    )
});

/// KEYS: registry, owners, hosts, handles, state. ARGV: capability, host, lease in µs, what it handles, the server
/// process; numbers given up, those that are outrun with the epoch that their databases have seen. Gives {version, partitions, owners, handles of the live hosts}.
///
/// The version rises with whatever a decision about shares may rest on. That a lease has ended is noted by whoever sees
/// it first, so that a host that comes back changes the version too. A server process that is another than before may
/// have forgotten its last second, and epochs that it gave in it: all owners get new ones. And nobody could tend while
/// it was away, so all hosts get another lease.
pub static TEND: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local registry, owners, hosts, handles, state = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local own, names, run = ARGV[2], ARGV[4], ARGV[5]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local changed = redis.call('HDEL', hosts, '') > 0
if run ~= '' and redis.call('HGET', state, 'run') ~= run then
  local known = redis.call('HGETALL', owners)
  for i = 1, #known, 2 do
    local epoch, host = string.match(known[i + 1], '^(%d+) (.*)$')
    redis.call('HSET', owners, known[i], string.format('%.0f ', math.max(epoch + 1, now)) .. host)
  end
  for _, host in ipairs(redis.call('HKEYS', hosts)) do
    redis.call('HSET', hosts, host, string.format('%.0f', now + ARGV[3]))
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
  end
end
for i = 6, #ARGV do
  local number, seen = string.match(ARGV[i], '^(%d+) ?(%d*)$')
  local epoch, host = string.match(redis.call('HGET', owners, number) or '0 ', '^(%d+) (.*)$')
  if host == own then
    redis.call('HSET', owners, number, string.format('%.0f ', math.max(epoch, tonumber(seen) or 0)))
    changed = true
  end
end
if redis.call('HGET', handles, own) ~= names then
  redis.call('HSET', handles, own, names)
  changed = true
end
redis.call('HSET', hosts, own, string.format('%.0f', now + ARGV[3]))
local version = redis.call('HGET', state, 'version') or '0'
if changed then
  version = string.format('%.0f', math.max(version + 1, now))
  redis.call('HSET', state, 'version', version)
end
local partitions = redis.call('HGET', registry, 'partitions:' .. ARGV[1]) or '0'
return {version, partitions, redis.call('HGETALL', owners), redis.call('HGETALL', handles)}",
    )
});

/// KEYS: owners, state. ARGV: the version decided on; number and new owner of each. Gives the epochs, or nothing if the
/// version is another by now.
///
/// Epochs rise with the server's clock, so that they rise even over a server that forgot everything.
pub static GRANT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
if (redis.call('HGET', KEYS[2], 'version') or '0') ~= ARGV[1] then return {} end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
redis.call('HDEL', KEYS[1], '')
local epochs = {}
for i = 2, #ARGV, 2 do
  local last = string.match(redis.call('HGET', KEYS[1], ARGV[i]) or '0', '^%d+')
  local epoch = string.format('%.0f', math.max(last + 1, now))
  redis.call('HSET', KEYS[1], ARGV[i], epoch .. ' ' .. ARGV[i + 1])
  epochs[#epochs + 1] = epoch
end
redis.call('HSET', KEYS[2], 'version', string.format('%.0f', math.max(ARGV[1] + 1, now)))
return epochs",
    )
});

/// KEYS: registry. ARGV: capability, partitions; event and subscription of each. Gives 1 if anything is new.
pub static REGISTER: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
redis.call('HDEL', KEYS[1], 'retired:' .. ARGV[1])
local time, version = redis.call('TIME'), redis.call('HGET', KEYS[1], 'version') or '0'
local next = string.format('%.0f', math.max(version + 1, time[1] * 1000000 + time[2]))
local new = redis.call('HSETNX', KEYS[1], 'partitions:' .. ARGV[1], ARGV[2])
for i = 3, #ARGV, 2 do
  local whose = ARGV[1] .. ':' .. ARGV[i]
  if redis.call('HGET', KEYS[1], 'subscription:' .. whose) ~= ARGV[i + 1] then
    redis.call('HSET', KEYS[1], 'subscription:' .. whose, ARGV[i + 1])
    redis.call('HSETNX', KEYS[1], 'since:' .. whose, next)
    new = 1
  end
end
if new == 1 then redis.call('HSET', KEYS[1], 'version', next) end
return new",
    )
});

/// KEYS: registry. ARGV: capability, event. Gives 1 if there was a subscription.
pub static UNSUBSCRIBE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local whose = ARGV[1] .. ':' .. ARGV[2]
redis.call('HDEL', KEYS[1], 'since:' .. whose)
if redis.call('HDEL', KEYS[1], 'subscription:' .. whose) == 0 then return 0 end
local time, version = redis.call('TIME'), redis.call('HGET', KEYS[1], 'version') or '0'
local next = math.max(version + 1, time[1] * 1000000 + time[2])
redis.call('HSET', KEYS[1], 'version', string.format('%.0f', next))
return 1",
    )
});

/// KEYS: registry, owners, hosts, handles, state, dead letters; stream and counts of each partition. ARGV: capability,
/// partitions. Gives {'changed', 0} if it has another number of them, {'hosted', host} or {'done', messages}.
///
/// What is left are epochs, higher than any before: an owner that slept meanwhile acknowledges nothing. And the registry
/// notes it as retired, so that a node which remembers it does not register it again after a restart of the server.
pub static RETIRE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local registry, owners, hosts, handles = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
redis.call('HDEL', registry, '')
if (redis.call('HGET', registry, 'partitions:' .. ARGV[1]) or '0') ~= ARGV[2] then return {'changed', 0} end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local leases = redis.call('HGETALL', hosts)
for i = 1, #leases, 2 do
  local leaving = string.match(redis.call('HGET', handles, leases[i]) or '', '^leaving')
  if tonumber(leases[i + 1]) > now and not leaving then return {'hosted', leases[i]} end
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
redis.call('HSET', registry, 'version', next, 'retired:' .. ARGV[1], next)
return {'done', messages}",
    )
});

/// KEYS: stream, counts, owners, hosts. ARGV: number, beginning of the page, entries in it. Gives {entries, bytes,
/// messages, last position, appended, handled, duplicates, dead, expired, owner}; the batches stay on the server.
pub static MEASURE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local page = redis.call('XRANGE', KEYS[1], ARGV[2], '+', 'COUNT', ARGV[3])
local bytes, messages, last = 0, 0, ''
for _, entry in ipairs(page) do
  local fields = entry[2]
  local count = string.match(fields[2], '^%d+$')
  -- What is not as we write it is no message that was appended.
  if fields[1] == 'c' and fields[5] == 'b' and count and #count < 7 then
    messages = messages + tonumber(count)
  end
  for _, part in ipairs(fields) do bytes = bytes + #part end
  last = entry[1]
end
local answer = {#page, bytes, messages, last}
local counts = redis.call('HMGET', KEYS[2], 'appended', 'handled', 'duplicates', 'dead', 'expired')
for i = 1, 5 do answer[#answer + 1] = counts[i] or '0' end
local time, owner = redis.call('TIME'), redis.call('HGET', KEYS[3], ARGV[1]) or '0 '
local ends = redis.call('HGET', KEYS[4], string.match(owner, '^%d+ (.*)$'))
answer[#answer + 1] = ends and tonumber(ends) > time[1] * 1000000 + time[2] and owner or ''
return answer",
    )
});

/// KEYS: dead letters. ARGV: id and bytes of each. Gives how many of them were there, and are no more.
pub static FORGET: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local forgotten = 0
for i = 1, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then
    forgotten = forgotten + redis.call('HDEL', KEYS[1], ARGV[i])
  end
end
return forgotten",
    )
});

/// The call of a script, to which its arguments are added.
pub fn call(script: &Script, keys: &[String]) -> Cmd {
    let mut call = redis::cmd("EVALSHA");
    call.arg(script.get_hash()).arg(keys.len()).arg(keys);
    call
}
