//! What the author of an actor sees of transactions.

mod effects;
mod left_open;
mod outdates;
mod paused;
