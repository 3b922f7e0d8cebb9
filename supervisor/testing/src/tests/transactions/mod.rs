//! Transactions of handlers in a node with a database: what is left open, and what waits.

mod left_open;
mod paused;
