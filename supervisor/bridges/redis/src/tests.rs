//! What connects a node to a server, and which cluster it then belongs to.

use super::log::tests::server::Server;
use std::time::Duration;

use bytes::Bytes;
use essaim_base::Env;
use essaim_base::task::Tasks;
use essaim_config::{Settings, without_password};
use essaim_protocol::wire::{Identity, PublishError, Renewal, Wire, WireEvent, WireEvents};
use essaim_store::testing::Directory;

use super::wire::RedisWire;

mod clusters;
mod full;
mod replaced;

#[test]
fn a_password_is_never_shown() {
    assert_eq!(without_password("redis://user:p%40ss@host:6379/1"), "redis://host:6379/1");
    assert_eq!(without_password("redis://host:6379"), "redis://host:6379");
}
