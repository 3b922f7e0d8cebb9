//! What a server has forgotten of its nodes, and clusters that meet in one database.

use std::path::Path;

use essaim_protocol::wire::ClaimError;

use super::*;

/// Longer than any test.
const LEASE: u64 = 60_000;

/// The settings of a node whose data is there, over a database of a server.
pub fn settings(server: &Server, database: u32, node: &str, data: &Path) -> Settings {
    let mut settings = Settings::default();
    settings.bridge.url = format!("{}/{database}", server.url());
    settings.node.name = node.into();
    settings.node.data_dir = data.into();
    settings.members.lease_ms = LEASE;
    settings
}

pub async fn join(settings: &Settings, exclusive: &[&str]) -> Result<(RedisWire, Identity), ClaimError> {
    let exclusive = exclusive.iter().map(|c| c.to_string()).collect();
    let (wire, me, _events) = RedisWire::join(settings, exclusive, Env::system(), &Tasks::without_node()).await?;
    Ok((wire, me))
}

/// The keys of a database, with what is in them.
pub async fn contents(server: &Server) -> Vec<(String, String)> {
    let mut keys: Vec<String> = server.command("KEYS *").await;
    keys.sort();
    let mut all = Vec::new();
    for key in keys {
        let value: String = match server.command::<String>(&format!("TYPE {key}")).await.as_str() {
            "hash" => server.command(&format!("HGET {key} identity")).await,
            _ => server.command(&format!("GET {key}")).await,
        };
        all.push((key, value));
    }
    all
}

#[tokio::test]
async fn whatever_a_server_forgets_of_a_node_is_there_again_after_its_next_renewal() {
    let Some(server) = Server::start(&[]).await else { return };
    let data = Directory::new();
    let (wire, _) = join(&settings(&server, 0, "shop", data.path()), &["catalog", "orders"]).await.unwrap();
    let before = contents(&server).await;
    let keys: Vec<_> = before.iter().map(|(key, _)| key.as_str()).collect();
    let expected =
        ["essaim:claim:catalog", "essaim:claim:orders", "essaim:cluster", "essaim:epoch:shop", "essaim:node:shop"];
    assert_eq!(keys, expected);
    for key in keys {
        assert_eq!(server.command::<u64>(&format!("DEL {key}")).await, 1);
        assert_eq!(wire.renew().await, Renewal::Held);
        assert_eq!(contents(&server).await, before, "{key} was forgotten");
    }
    server.command::<()>("FLUSHALL").await;
    assert_eq!(wire.renew().await, Renewal::Held);
    assert_eq!(contents(&server).await, before);
}

#[tokio::test]
async fn a_node_that_starts_over_a_server_that_has_forgotten_gives_way_and_joins_the_cluster_that_comes_back() {
    let Some(server) = Server::start(&[]).await else { return };
    let (old_data, new_data) = (Directory::new(), Directory::new());
    let (old, old_me) = join(&settings(&server, 0, "shop", old_data.path()), &["catalog"]).await.unwrap();
    assert_eq!(old.renew().await, Renewal::Held);
    server.command::<()>("FLUSHALL").await;
    let of_new = settings(&server, 0, "other", new_data.path());
    let (new, new_me) = join(&of_new, &["catalog"]).await.unwrap();
    assert_ne!(new_me.cluster, old_me.cluster);
    assert_eq!(new.renew().await, Renewal::Held);

    assert_eq!(old.renew().await, Renewal::Held);
    assert_eq!(old.renew().await, Renewal::Held);
    let why = match new.renew().await {
        Renewal::Displaced(why) => why,
        other => panic!("{other:?}"),
    };
    assert!(why.contains(&old_me.cluster) && why.contains("start again"), "{why}");
    new.release().await;
    drop(new);
    let mut impatient = of_new.clone();
    impatient.members.lease_ms = 100;
    let refused = join(&impatient, &["catalog"]).await.err();
    assert!(matches!(&refused, Some(ClaimError::Taken(why)) if why.contains("`shop`")), "{refused:?}");
    let (_, again) = join(&of_new, &[]).await.unwrap();
    assert_eq!(again.cluster, old_me.cluster);
    assert_eq!(old.renew().await, Renewal::Held);
}

#[tokio::test]
async fn a_node_of_a_name_that_was_forgotten_stays_and_the_one_that_took_it_gives_way() {
    let Some(server) = Server::start(&[]).await else { return };
    let (old_data, new_data) = (Directory::new(), Directory::new());
    let (old, _) = join(&settings(&server, 0, "shop", old_data.path()), &[]).await.unwrap();
    server.command::<()>("FLUSHALL").await;
    let (new, _) = join(&settings(&server, 0, "shop", new_data.path()), &[]).await.unwrap();
    assert_eq!(old.renew().await, Renewal::Held);
    assert!(matches!(new.renew().await, Renewal::Displaced(_)));
    assert_eq!(old.renew().await, Renewal::Held);
}

#[tokio::test]
async fn two_clusters_that_have_run_apart_are_refused_where_they_meet() {
    let Some(server) = Server::start(&[]).await else { return };
    let (one_data, other_data) = (Directory::new(), Directory::new());
    let (one, one_me) = join(&settings(&server, 0, "shop", one_data.path()), &[]).await.unwrap();
    let (other, other_me) = join(&settings(&server, 1, "store", other_data.path()), &[]).await.unwrap();
    assert_eq!((one.renew().await, other.renew().await), (Renewal::Held, Renewal::Held));
    // The name of the server leads elsewhere by now.
    server.command::<()>("SWAPDB 0 1").await;
    for (wire, theirs) in [(&one, &other_me.cluster), (&other, &one_me.cluster)] {
        let renewal = wire.renew().await;
        let named = |why: &String| why.contains(theirs) && why.contains("not merged");
        assert!(matches!(&renewal, Renewal::Displaced(why) if named(why)), "{renewal:?}");
    }
    server.command::<()>("SWAPDB 0 1").await;
    assert_eq!((one.renew().await, other.renew().await), (Renewal::Held, Renewal::Held));
    one.release().await;
    other.release().await;

    // Nor are they merged by a start with another URL.
    for (database, node, data, own, there) in [
        (1, "shop", &one_data, &one_me.cluster, &other_me.cluster),
        (0, "store", &other_data, &other_me.cluster, &one_me.cluster),
    ] {
        let settings = settings(&server, database, node, data.path());
        let file = data.path().join(format!("{node}.cluster"));
        let refused = join(&settings, &[]).await.err();
        let Some(ClaimError::Taken(why)) = refused else { panic!("{refused:?}") };
        assert!(why.contains(own.as_str()) && why.contains(there.as_str()), "{why}");
        assert!(why.contains(&file.display().to_string()), "{why}");
        std::fs::remove_file(file).unwrap();
        assert_eq!(&join(&settings, &[]).await.unwrap().1.cluster, there, "as that says");
    }
}

#[tokio::test]
async fn a_cluster_whose_server_is_replaced_by_an_empty_one_stays_what_it_is() {
    let Some(server) = Server::start(&[]).await else { return };
    let data = Directory::new();
    let settings = settings(&server, 0, "shop", data.path());
    let (wire, me) = join(&settings, &[]).await.unwrap();
    wire.renew().await;
    wire.release().await;
    server.command::<()>("FLUSHALL").await;
    assert_eq!(join(&settings, &[]).await.unwrap().1.cluster, me.cluster);
}

#[tokio::test]
async fn a_cluster_that_was_begun_anew_while_a_node_was_away_is_joined() {
    let Some(server) = Server::start(&[]).await else { return };
    let (data, other_data) = (Directory::new(), Directory::new());
    let away = settings(&server, 0, "shop", data.path());
    let (wire, _) = join(&away, &[]).await.unwrap();
    wire.release().await;
    server.command::<()>("FLUSHALL").await;
    let (_, new) = join(&settings(&server, 0, "other", other_data.path()), &[]).await.unwrap();
    assert_eq!(join(&away, &[]).await.unwrap().1.cluster, new.cluster);
}

#[tokio::test]
async fn a_capability_that_was_taken_while_its_claim_was_forgotten_goes_back_to_its_first_host() {
    let Some(server) = Server::start(&[]).await else { return };
    let data = Directory::new();
    let (first, _) = join(&settings(&server, 0, "shop", data.path()), &["catalog"]).await.unwrap();
    server.command::<()>("DEL essaim:claim:catalog").await;
    let (second, _) = join(&settings(&server, 0, "other", data.path()), &["catalog"]).await.unwrap();
    assert_eq!(first.renew().await, Renewal::Held);
    let renewal = second.renew().await;
    assert!(matches!(&renewal, Renewal::Displaced(why) if why.contains("`shop` is it")), "{renewal:?}");
    assert_eq!(first.renew().await, Renewal::Held);
}

#[tokio::test]
async fn a_capability_whose_lease_has_ended_is_its_next_hosts() {
    let Some(server) = Server::start(&[]).await else { return };
    let data = Directory::new();
    let mut asleep = settings(&server, 0, "shop", data.path());
    asleep.members.lease_ms = 100;
    let (first, _) = join(&asleep, &["catalog"]).await.unwrap();
    // It waits for the lease to end.
    let (second, _) = join(&settings(&server, 0, "other", data.path()), &["catalog"]).await.unwrap();
    let renewal = first.renew().await;
    assert!(matches!(&renewal, Renewal::Displaced(why) if why.contains("`other` is it")), "{renewal:?}");
    assert_eq!(second.renew().await, Renewal::Held);
}
