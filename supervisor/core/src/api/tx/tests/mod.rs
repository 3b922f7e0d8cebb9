//! What the author of an actor sees of transactions.

mod effects;
#[cfg(feature = "near")]
mod outdates;
