//! A server whose memory is used up.

use essaim_store::testing::Directory;

use super::clusters::{contents, join, settings};
use super::*;

#[tokio::test]
async fn on_a_full_server_leases_are_kept_frames_are_carried_and_nodes_come_and_go() {
    let Some(server) = Server::start(&[]).await else { return };
    let (data, other_data) = (Directory::new(), Directory::new());
    let (wire, me) = join(&settings(&server, 0, "shop", data.path()), &["catalog"]).await.unwrap();
    server.command::<()>("CONFIG SET maxmemory 1").await;
    assert_eq!(wire.renew().await, Renewal::Held);
    assert_eq!(wire.publish(&me.inbox, Bytes::from_static(b"frame")).await, Ok(1));

    let of_other = settings(&server, 0, "other", other_data.path());
    for _ in 0..2 {
        let (other, other_me) = join(&of_other, &["orders"]).await.unwrap();
        assert_eq!(other.renew().await, Renewal::Held);
        assert_eq!(other.publish(&me.inbox, Bytes::from_static(b"frame")).await, Ok(1));
        assert_eq!(wire.publish(&other_me.inbox, Bytes::from_static(b"frame")).await, Ok(1));
        other.release().await;
    }

    let before = contents(&server).await;
    for (key, _) in &before {
        assert_eq!(server.command::<u64>(&format!("DEL {key}")).await, 1);
        assert_eq!(wire.renew().await, Renewal::Held);
        if !key.contains("other") {
            assert_eq!(server.command::<u64>(&format!("EXISTS {key}")).await, 1, "{key} was forgotten");
        }
    }
}
