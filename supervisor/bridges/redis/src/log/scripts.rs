//! The scripts: each writes facts that must be consistent.
//!
//! A server that is out of memory runs them all but an append (`out_of_memory.rs`). Numbers are exact up to 2^53 in Lua, which microseconds since 1970
//! reach in the year 2255.
//!
//! # Layout
//! - here: messages. `registry`: where they go; `owners`: hosts and owners of partitions; `restore`: lost records.

pub mod owners;
pub mod registry;
pub mod restore;

use std::sync::LazyLock;

use redis::{Cmd, Script};

use super::super::out_of_memory::ALSO_WHEN_FULL;

/// The common beginning of scripts: a write that a full server executes, the time, and functions that return the µs left of a
/// restore and start one unless one is going on. During a restore nothing is appended, granted or changed.
pub const RESTORING: &str = r"
redis.call('DEL', KEYS[1] .. ':nothing')
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local function left(registry)
  return math.max(0, tonumber(redis.call('HGET', registry, 'telling') or 0) - now)
end
local function tell(registry, grace)
  if left(registry) > 0 then return false end
  redis.call('HSET', registry, 'telling', string.format('%.0f', now + grace))
  redis.call('HDEL', registry, 'young')
  return true
end
";

/// KEYS: registry; stream and counts of each append. ARGV: version, most; count, batch, `!` if it is urgent, and the known
/// number of messages appended before, of each append. Returns {'stale'}, {'telling', µs}, {'forgotten', counts
/// that are missing beside a stream, or nothing}, {'refused', why}, {'torn', why} or {'done', stored, first or waiting, …}.
pub static APPEND: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local registry = redis.call('HMGET', KEYS[1], 'version', 'telling')
if registry[2] then
  local time = redis.call('TIME')
  local left = tonumber(registry[2]) - time[1] * 1000000 - time[2]
  if left > 0 then return {'telling', left} end
end
if (registry[1] or '0') ~= ARGV[1] then return {'stale'} end
local most, answer, written, at = tonumber(ARGV[2]), {'done'}, false, 3
for i = 2, #KEYS, 2 do
  local appended = redis.pcall('HGET', KEYS[i + 1], 'appended')
  if type(appended) == 'table' then return {'refused', appended.err} end
  if tonumber(appended or 0) < tonumber(ARGV[2 * i + 2]) then return {'forgotten', ''} end
  if not appended and redis.call('EXISTS', KEYS[i]) == 1 then return {'forgotten', KEYS[i + 1]} end
end
for i = 2, #KEYS, 2 do
  local count, batch, urgent = tonumber(ARGV[at]), ARGV[at + 1], ARGV[at + 2] == '!'
  at = at + 4
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
    if not known[1] then redis.call('HSET', KEYS[i + 1], 'born', string.match(id, '^%d+')) end
    answer[#answer + 1] = 1
    answer[#answer + 1] = appended
  end
end
return answer",
    )
});

/// KEYS: stream, counts, owners and dead letters of each. ARGV of each: number, epoch, the four fields of a tally, parked
/// messages, number of positions, number of foreign ones, positions, foreign ones, number of dead letters, id and bytes of each
/// dead letter. Returns 1, or 0 if fenced, for each.
///
/// Entries that follow each other, as they mostly do, are looked up 64 at a time, the others one by one, and each once.
/// An acknowledgement is executed as a whole or not at all. So one whose positions are all gone is a repetition: its tally is
/// already added, and its dead letters are stored, or deleted since. That is not so of positions from before the server lost the
/// stream (`lost`, in milliseconds since 1970).
pub static ACKNOWLEDGE: LazyLock<Script> = LazyLock::new(|| {
    let acknowledge = r"
local answer, at = {}, 1
for i = 1, #KEYS, 4 do
  local stream, counts = KEYS[i], KEYS[i + 1]
  local epoch = string.match(redis.call('HGET', KEYS[i + 2], ARGV[at]) or '0', '^%d+')
  local fenced, tally, many = tonumber(epoch) > tonumber(ARGV[at + 1]), at + 1, tonumber(ARGV[at + 7])
  local parked, others = ARGV[at + 6], tonumber(ARGV[at + 8])
  local known = redis.call('HMGET', counts, 'parked', 'lost')
  local lost, gone = tonumber(known[2] or 0), false
  at = at + 9
  local last = at + many + others
  if fenced then
    answer[#answer + 1] = 0
  else
    local counted, found, removed, messages, foreign = {}, {}, 0, 0, 0
    for k = at, at + many - 2, 64 do
      local to = ARGV[math.min(k + 63, at + many - 1)]
      for _, entry in ipairs(redis.call('XRANGE', stream, ARGV[k], to, 'COUNT', 64)) do
        counted[entry[1]] = tonumber(entry[2][2])
      end
    end
    for k = at, at + many - 1 do
      local count = counted[ARGV[k]]
      if count == nil then
        local entry = redis.call('XRANGE', stream, ARGV[k], ARGV[k])[1]
        count = entry and tonumber(entry[2][2])
      end
      if count then
        messages = messages + count
        found[#found + 1] = ARGV[k]
      elseif lost > 0 and tonumber(string.match(ARGV[k], '^%d+')) <= lost then
        gone = true
      end
      counted[ARGV[k]] = false
    end
    for k = 1, #found, 1000 do
      removed = removed + redis.call('XDEL', stream, unpack(found, k, math.min(k + 999, #found)))
    end
    for k = at + many, at + many + others - 1 do foreign = foreign + redis.call('XDEL', stream, ARGV[k]) end
    if (known[1] or '0') ~= parked then redis.call('HSET', counts, 'parked', parked) end
    if messages > 0 then redis.call('HINCRBY', counts, 'waiting', -messages) end
    if foreign > 0 then redis.call('HINCRBY', counts, 'appended', foreign) end
    if removed + foreign > 0 or many + others == 0 or gone then
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
return answer";
    Script::new(&format!("{ALSO_WHEN_FULL}{acknowledge}"))
});

/// KEYS: stream, counts, owners, hosts. ARGV: number, beginning of the page, entries in it. Returns {entries, bytes,
/// messages, last position, appended, handled, duplicates, dead, expired, owner}; the batches stay on the server.
pub static MEASURE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local page = redis.call('XRANGE', KEYS[1], ARGV[2], '+', 'COUNT', ARGV[3])
local bytes, messages, last = 0, 0, ''
for _, entry in ipairs(page) do
  local fields = entry[2]
  -- What is not as we write it is no message that was appended; as `Entry::counted` has it.
  if #fields >= 6 and fields[1] == 'c' and fields[3] == 'f' and fields[5] == 'b' then
    local count = tonumber(string.match(fields[2], '^%d+$') or '0')
    local first = tonumber(string.match(fields[4], '^%d+$') or '1e21')
    if count >= 1 and count < 1000000 and first < 1099511627776 then messages = messages + count end
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

/// KEYS: dead letters, state. ARGV: id and bytes of each. Returns the number of those that were there and are deleted. That none
/// is left is recorded, or the server would seem to have lost them.
pub static FORGET: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local forgotten = 0
for i = 1, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then
    forgotten = forgotten + redis.call('HDEL', KEYS[1], ARGV[i])
  end
end
if forgotten > 0 and redis.call('EXISTS', KEYS[1]) == 0 then redis.call('HINCRBY', KEYS[2], 'emptied', 1) end
return forgotten",
    )
});

/// The call of a script, without its arguments.
pub fn call(script: &Script, keys: &[String]) -> Cmd {
    let mut call = redis::cmd("EVALSHA");
    call.arg(script.get_hash()).arg(keys.len()).arg(keys);
    call
}
