//! How databases behave, on SQLite always and on PostgreSQL where `ESSAIM_TEST_POSTGRES` names a database.

mod bench;
mod group;
mod left_open;
mod migrations;
mod opening;
mod outage;
mod outdated_keys;
mod paused;
mod proxy;
mod servers;
mod tables;
mod transactions;
