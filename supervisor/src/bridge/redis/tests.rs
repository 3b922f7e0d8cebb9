//! What connects a node to a server, and which cluster it then belongs to.

use super::log::tests::server::Server;
use super::*;
use crate::store::testing::Directory;

mod clusters;

#[test]
fn a_password_is_never_shown() {
    assert_eq!(without_password("redis://user:p%40ss@host:6379/1"), "redis://host:6379/1");
    assert_eq!(without_password("redis://host:6379"), "redis://host:6379");
}

#[test]
fn every_connection_speaks_resp3() {
    for url in ["redis://h:1", "redis://h:1/2", "redis://h:1?protocol=resp3"] {
        let client = client(url).expect(url);
        assert!(format!("{:?}", client.get_connection_info()).contains("RESP3"), "{url}");
    }
}
