//! What a full server still does.
//!
//! A server whose memory is used up and that evicts nothing (`maxmemory`, `noeviction`) refuses whatever may need memory. Of a
//! script it refuses the first write alone, so that nothing is half done: once a script has written, all of it is done. So
//! each script begins with a write that needs no memory, and leases, acknowledgements, registrations and what nodes tell a
//! server never fail for want of it. An append alone begins with one that needs some, so nothing of it is stored then.

/// The beginning of a script that is done on a full server too: it writes, and changes nothing.
pub(super) const ALSO_WHEN_FULL: &str = "redis.call('DEL', KEYS[1] .. ':nothing')\n";

/// Notes whether the server is full, before anything is written: a write that may need memory, and changes nothing.
pub(super) const IS_FULL: &str = r"
local full = redis.pcall('SETRANGE', KEYS[1] .. ':nothing', 0, '')
full = type(full) == 'table' and string.find(full.err, 'OOM', 1, true) and 1 or 0
";
