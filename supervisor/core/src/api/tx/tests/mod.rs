//! What the author of an actor sees of transactions.

mod effects;
mod outdates;
