//! How databases behave, on SQLite always and on PostgreSQL where `ESSAIM_TEST_POSTGRES` names a database.

#[cfg(feature = "postgres")]
mod budget;
mod cut;
mod group;
mod in_place;
mod migrations;
mod model;
mod models;
mod opening;
mod outage;
#[cfg(feature = "postgres")]
mod proxy;
mod riding;
#[cfg(feature = "postgres")]
mod servers;
mod tables;
mod transactions;

use super::testing::bench;
