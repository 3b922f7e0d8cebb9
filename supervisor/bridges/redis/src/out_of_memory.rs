//! Scripts on a server that is out of memory.
//!
//! Such a server (`maxmemory` reached, `noeviction`) refuses each command that may need memory. Of a script it refuses the first
//! write alone: once a script has written, all its writes are executed. So each script begins with a write that needs no memory,
//! and leases, acknowledgements, registrations and restored records never fail for want of memory. An append alone begins with
//! a write that needs some, so that nothing of it is stored then.

/// The beginning of a script that runs on a full server too: a write that changes nothing.
pub(super) const ALSO_WHEN_FULL: &str = "redis.call('DEL', KEYS[1] .. ':nothing')\n";

/// Finds out whether the server is full, before anything is written: by a write that may need memory and changes nothing.
pub(super) const IS_FULL: &str = r"
local full = redis.pcall('SETRANGE', KEYS[1] .. ':nothing', 0, '')
full = type(full) == 'table' and string.find(full.err, 'OOM', 1, true) and 1 or 0
";
