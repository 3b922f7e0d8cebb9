//! Somebody who may publish on the bridge's server, and does not know the cluster's secret: frames with a principal of their own
//! choice, frames that they have recorded, also changed or for another node. All are refused, counted and told of.

use std::collections::BTreeMap;
use std::time::Duration;

use essaim_contract::Principal;
use redis::Commands;

use crate::golden::frames::{Ask, ask, frame};
use crate::support::{ADMIN_EMAIL, ADMIN_PASSWORD, Cluster, PATIENCE, Redis, eventually};

const SECRET: &str = "no-one-who-publishes-forgeries-knows-this-one";

/// The configuration of a cluster with a secret.
fn with_secret(redis: &Redis) -> Cluster {
    Cluster::of("config/split.toml").over(redis).set("bridge.secret", SECRET).start()
}

type Frame = (String, Vec<u8>);

/// Frames that nodes publish while something is done, each with its channel, until those are among them that are looked for.
fn recorded(redis: &Redis, act: impl FnOnce(), looked_for: &[&dyn Fn(&Frame) -> bool]) -> Vec<Frame> {
    let mut listener = redis.connection();
    listener.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    let mut subscription = listener.as_pubsub();
    subscription.psubscribe("*").expect("redis takes a subscriber");
    act();
    let mut frames = Vec::new();
    loop {
        let message = subscription.get_message().expect("nodes publish");
        frames.push((message.get_channel_name().to_string(), message.get_payload_bytes().to_vec()));
        if looked_for.iter().all(|is| frames.iter().any(is)) {
            return frames;
        }
    }
}

fn contains(bytes: &[u8], part: &str) -> bool {
    bytes.windows(part.len()).any(|window| window == part.as_bytes())
}

#[test]
fn who_may_publish_on_the_server_is_nobody_in_the_cluster_and_what_was_recorded_has_no_second_effect() {
    let redis = Redis::start();
    let mut cluster = with_secret(&redis);
    let (api, shop_admin) = (cluster.api(), cluster.node("shop").admin());
    let admin = api.logged_in(ADMIN_EMAIL, ADMIN_PASSWORD);
    let channel_of = |node: &str| redis.wait_for_channel(&format!(":inbox:{node}:"));
    let (shop, identity) = (channel_of("shop"), channel_of("identity"));
    let is_create = |(channel, frame): &Frame| *channel == shop && contains(frame, "catalog.create.v1");
    let is_heartbeat = |(channel, _): &Frame| channel.ends_with(":broadcast");
    let frames = recorded(&redis, || drop(admin.product("TEA", 450, 5)), &[&is_create, &is_heartbeat]);
    let (_, create) = frames.iter().find(|frame| is_create(frame)).expect("it was recorded");
    let (broadcast, heartbeat) = frames.iter().find(|frame| is_heartbeat(frame)).expect("it was recorded");
    let refused = || -> BTreeMap<String, u64> {
        let status = shop_admin.get("/status").is(200);
        let counts = status["refused_frames"].as_object().expect("they are counted").clone();
        counts.into_iter().map(|(why, count)| (why, count.as_u64().expect("a count"))).collect()
    };
    let before = refused();

    let product = essaim_catalog_contract::CreateProduct {
        id: "01890a5d-ac96-774b-bcce-b302099a8057".into(),
        sku: "FORGED".into(),
        name: "Forged".into(),
        price_cents: 1,
        currency: "EUR".into(),
        stock: 5,
    };
    let body = rmp_serde::to_vec_named(&product).expect("it can be encoded").into();
    let principal = Some(Principal::new("mallory", ["admin"]));
    let unsigned = frame(1, Ask { body, principal, ..ask(1, "catalog.create.v1", "") });
    let mut changed = create.clone();
    let at = changed.windows(3).position(|part| part == b"TEA").expect("the message is in the frame");
    changed[at..at + 3].copy_from_slice(b"TEE");
    let mut publisher = redis.connection();
    let sent: [(&str, &[u8]); 5] =
        [(&shop, &unsigned), (&shop, &changed), (&shop, create), (&identity, create), (broadcast, heartbeat)];
    for (channel, frame) in sent {
        let receivers: u64 = publisher.publish(channel, frame).expect("redis takes a frame");
        assert!(receivers > 0, "{channel}");
    }
    let more = |why: &str| refused()[why].saturating_sub(before[why]);
    eventually("the forgeries to be counted", || {
        ((more("untagged"), more("forged"), more("repeated")) == (1, 1, 2)).then_some(())
    });
    let at_identity = cluster.node("identity").admin();
    eventually("a frame for another node to be counted", || {
        (at_identity.get("/status").is(200)["refused_frames"]["forged"] == 1).then_some(())
    });
    let metrics = shop_admin.get("/metrics").is(200).text;
    assert!(metrics.contains(r#"essaim_wire_refused_frames_total{reason="untagged"} 1"#), "{metrics}");
    let told = |line: &String| line.contains("a frame was refused");
    let lines: Vec<_> = cluster.node("shop").process().lines().into_iter().filter(told).collect();
    assert!(lines.len() == 2 && lines.iter().any(|line| line.contains("it is not signed")), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains(SECRET)), "{lines:#?}");
    let products = admin.get("/products").is(200);
    let skus: Vec<_> = products["items"].as_array().expect("a page").iter().map(|item| item["sku"].clone()).collect();
    assert_eq!(skus, ["TEA"], "nothing was created by a forgery");
    // What goes on between the nodes is believed all the while.
    admin.within(Duration::from_secs(10)).product("TEE", 450, 5);
    cluster.stop();
}
