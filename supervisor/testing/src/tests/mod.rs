//! What the runtime does for an actor, as the harness shows it.

mod transactions;
