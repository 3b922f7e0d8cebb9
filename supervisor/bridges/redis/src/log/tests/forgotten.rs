//! A server that goes on running and has forgotten a key, or all of them.

use std::collections::BTreeMap;

use essaim_protocol::log::PartitionCount;
use redis::aio::PubSub;

use super::super::known_log::DeadLetterCounts;
use super::*;

/// The hosts of two capabilities, each with a log of its own, on a server of the test's own.
struct Shops {
    server: Server,
    /// Hosts `shop`, which has a database of its own.
    shop: RedisLog,
    /// Hosts `stock`, which has none and subscribes to an event of the shop.
    stock: RedisLog,
    /// Their nodes hear each other.
    _heard: PubSub,
}

/// What must be the same after the server has forgotten it.
#[derive(Debug, PartialEq)]
struct ServerContents {
    identity: String,
    partitions: BTreeMap<String, u32>,
    subscriptions: Vec<(String, Vec<String>)>,
    epochs: Vec<(u32, u64)>,
    counts: Vec<(String, u32, u64, Tally)>,
}

impl Shops {
    async fn open() -> Option<Self> {
        let server = Server::start(&[]).await?;
        let shop = on(&server).await;
        let stock = beside(&server, &shop).await;
        let client = redis::Client::open(server.url()).unwrap();
        let mut heard = client.get_async_pubsub().await.unwrap();
        heard.subscribe(shop.cluster.channels().broadcast()).await.unwrap();
        let shops = Self { server, shop, stock, _heard: heard };
        shops.shop.register("shop", 2, &[]).await.unwrap();
        shops.stock.register("stock", 3, &[("shop.sold.v1".into(), Subscription::default())]).await.unwrap();
        shops.heartbeat().await;
        for number in 0..2 {
            for text in ["a", "b", "c"] {
                store(&shops.shop, number, text).await.unwrap();
            }
        }
        assert_eq!(shops.tell_stock("x").await, 0);
        assert_eq!(shops.tell_stock("y").await, 1);
        let epoch = shops.epochs().await.into_iter().find(|(number, _)| *number == 0).unwrap().1;
        let reading = Reading { partition: of_stock(0), after: Position::default(), most: 1 };
        let first = shops.stock.read(&[reading], LONG).await.unwrap()[0].1[0].position;
        let handled = Acknowledge { partition: of_stock(0), ..done(0, epoch, vec![first]) };
        assert_eq!(shops.stock.acknowledge(&[handled]).await.unwrap(), [Acknowledged::Done]);
        shops.check().await;
        Some(shops)
    }

    async fn heartbeat(&self) -> (Vec<OwnedPartition>, Vec<OwnedPartition>) {
        let stock = HostHeartbeat { capability: Arc::from("stock"), ..heartbeat("b:1") };
        (self.shop.heartbeat(&heartbeat("a:1")).await.unwrap(), self.stock.heartbeat(&stock).await.unwrap())
    }

    /// The epochs of the partitions of `stock`.
    async fn epochs(&self) -> Vec<(u32, u64)> {
        let owned = self.heartbeat().await.1;
        owned.iter().map(|owned| (owned.number, owned.epoch)).collect()
    }

    /// Both look, as they do with every heartbeat.
    async fn check(&self) {
        self.shop.check().await.unwrap();
        self.stock.check().await.unwrap();
    }

    /// Appends a message for `stock`, as its publisher does; the offset.
    async fn tell_stock(&self, text: &str) -> u64 {
        let until = Instant::now() + LONG;
        loop {
            let registry = self.shop.registry().await.unwrap();
            assert!(registry.subscriptions["shop.sold.v1"].contains_key("stock"), "the event would be nobody's");
            let append = Append { to: of_stock(0), ..append(0, 1, text) };
            match self.shop.append(registry.version, u64::MAX, &[append]).await {
                Ok(appended) => match appended[..] {
                    [Appended::Stored { first }] => return first,
                    ref other => panic!("{other:?}"),
                },
                Err(AppendError::Stale) => assert!(Instant::now() < until, "the registry changes again and again"),
                Err(error) => panic!("{error}"),
            }
        }
    }

    async fn contents(&self) -> ServerContents {
        let registry = self.shop.registry().await.unwrap();
        let subscribers = |all: &BTreeMap<String, Subscription>| all.keys().cloned().collect();
        let mut counts = Vec::new();
        for capability in ["shop", "stock"] {
            let of = |c: PartitionCount| (capability.to_string(), c.number, c.appended, c.tally);
            counts.extend(self.shop.counts(capability).await.unwrap().into_iter().map(of));
        }
        ServerContents {
            identity: self.stock.identity().await.unwrap(),
            partitions: registry.partitions.clone(),
            subscriptions: registry
                .subscriptions
                .iter()
                .map(|(event, all)| (event.clone(), subscribers(all)))
                .collect(),
            epochs: self.epochs().await,
            counts,
        }
    }

    /// The names of the log's keys, without what they share.
    async fn keys(&self) -> Vec<String> {
        let (prefix, own) = (self.shop.keys.registry().replace("registry", ""), "registry".to_string());
        let keys: Vec<String> = self.server.command(&format!("KEYS {prefix}*")).await;
        let mut keys: Vec<_> = keys.into_iter().map(|key| key.replace(&prefix, "")).collect();
        assert!(keys.contains(&own));
        keys.sort();
        keys
    }

    async fn forget(&self, key: &str) {
        let key = self.shop.keys.registry().replace("registry", key);
        assert_eq!(self.server.command::<u64>(&format!("DEL {key}")).await, 1, "{key}");
    }
}

fn of_stock(number: u32) -> Partition {
    Partition { capability: "stock".into(), number }
}

#[tokio::test]
async fn each_key_that_is_gone_is_there_again_after_the_next_look_and_all_goes_on() {
    let Some(shops) = Shops::open().await else { return };
    let before = shops.contents().await;
    let keys = shops.keys().await;
    assert!(keys.len() >= 14, "{keys:?}");
    for key in &keys {
        shops.forget(key).await;
        shops.check().await;
        assert_eq!(shops.contents().await, before, "{key} was forgotten");
        // What has no entries needs no key.
        let is_stream = |key: &str| key.rsplit_once(':').is_some_and(|(_, last)| last.parse::<u32>().is_ok());
        let lasting = |keys: &[String]| keys.iter().filter(|key| !is_stream(key)).cloned().collect::<Vec<_>>();
        assert_eq!(lasting(&shops.keys().await), lasting(&keys), "{key} was forgotten");
    }
    assert_eq!(shops.tell_stock("z").await, 2);
    assert_eq!(store(&shops.shop, 1, "d").await, Ok(3));
}

#[tokio::test]
async fn each_key_that_is_gone_is_there_again_at_its_next_use() {
    for key in ["registry", "stock:0:counts", "stock:owners", "stock:hosts", "stock:handles", "stock:state", "stock:0"]
    {
        let Some(shops) = Shops::open().await else { return };
        let epochs = shops.epochs().await;
        shops.forget(key).await;
        assert_eq!(shops.tell_stock("z").await, 2, "{key} was forgotten");
        assert_eq!(shops.epochs().await, epochs, "{key} was forgotten");
        let reading = Reading { partition: of_stock(0), after: Position::default(), most: 8 };
        let found = shops.stock.read(&[reading], LONG).await.unwrap();
        let last = found[0].1.last().unwrap();
        assert_eq!((last.first, &last.batch[..]), (2, &b"z"[..]), "{key} was forgotten");
    }
}

#[tokio::test]
async fn what_is_counted_is_not_what_a_server_has_forgotten_although_no_heartbeat_came_since() {
    let Some(shops) = Shops::open().await else { return };
    let before = shops.contents().await.counts;
    for key in ["shop:0:counts", "stock:0:counts", "registry"] {
        shops.forget(key).await;
        assert_eq!(shops.contents().await.counts, before, "{key} was forgotten");
    }
}

#[tokio::test]
async fn a_server_that_was_flushed_is_told_all_and_all_goes_on() {
    let Some(shops) = Shops::open().await else { return };
    let before = shops.contents().await;
    for command in ["FLUSHALL", "FLUSHDB"] {
        shops.server.command::<()>(command).await;
        shops.check().await;
        let after = shops.contents().await;
        assert_eq!(after, before, "{command}");
    }
    let counts = shops.shop.counts("stock").await.unwrap();
    assert_eq!(counts[0].waiting, 0, "what waited is lost");
    assert_eq!(shops.tell_stock("z").await, 2);
    assert_eq!(texts(&shops.shop, 0).await, [""; 0]);
}

#[tokio::test]
async fn nobody_publishes_for_nobody_right_after_a_flush_whoever_is_first() {
    let Some(shops) = Shops::open().await else { return };
    shops.server.command::<()>("FLUSHALL").await;
    // The publisher knows all, and looks before it stores.
    let known = shops.shop.known.read().version;
    let append = Append { to: of_stock(0), ..append(0, 1, "z") };
    assert_eq!(shops.shop.append(known, u64::MAX, &[append]).await, Err(AppendError::Stale));
    assert_eq!(shops.tell_stock("z").await, 2);

    // One that has just started knows nothing, and waits for those who do.
    shops.server.command::<()>("FLUSHALL").await;
    let new = beside(&shops.server, &shops.shop).await;
    let told = async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        shops.check().await;
    };
    let (registry, ()) = tokio::join!(new.registry(), told);
    let registry = registry.unwrap();
    assert!(registry.subscriptions.get("shop.sold.v1").is_some_and(|all| all.contains_key("stock")), "{registry:?}");
}

#[tokio::test]
async fn what_one_registers_over_a_server_that_was_flushed_is_registered_with_the_log_that_comes_back() {
    let Some(shops) = Shops::open().await else { return };
    let identity = shops.shop.identity().await.unwrap();
    shops.server.command::<()>("FLUSHALL").await;
    let new = beside(&shops.server, &shops.shop).await;
    new.register("bell", 1, &[("shop.sold.v1".into(), Subscription::default())]).await.unwrap();
    shops.check().await;
    let registry = shops.shop.registry().await.unwrap();
    assert_eq!(registry.subscriptions["shop.sold.v1"].keys().collect::<Vec<_>>(), ["stock"], "the older log is back");
    new.check().await.unwrap();
    assert_eq!(new.identity().await.unwrap(), identity);
    let registry = shops.shop.registry().await.unwrap();
    assert_eq!(registry.subscriptions["shop.sold.v1"].keys().collect::<Vec<_>>(), ["bell", "stock"]);
}

#[tokio::test]
async fn of_what_nodes_know_the_last_state_counts_and_no_union() {
    let Some(shops) = Shops::open().await else { return };
    shops.shop.registry().await.unwrap();
    shops.stock.register("stock", 3, &[("shop.closed.v1".into(), Subscription::default())]).await.unwrap();
    assert!(shops.stock.unsubscribe("shop.sold.v1", "stock").await.unwrap());
    for first in [&shops.shop, &shops.stock] {
        shops.server.command::<()>("FLUSHALL").await;
        first.check().await.unwrap();
        shops.check().await;
        let registry = shops.shop.registry().await.unwrap();
        assert_eq!(registry.subscriptions.keys().collect::<Vec<_>>(), ["shop.closed.v1"]);
    }
}

#[tokio::test]
async fn what_is_acknowledged_after_a_flush_is_counted_once() {
    let Some(shops) = Shops::open().await else { return };
    let reading = Reading { partition: of_stock(0), after: Position::default(), most: 8 };
    let read = shops.stock.read(&[reading], LONG).await.unwrap().remove(0).1;
    let epoch = shops.epochs().await[0].1;
    shops.server.command::<()>("FLUSHALL").await;
    shops.check().await;
    let handled = Acknowledge { partition: of_stock(0), ..done(0, epoch, vec![read[0].position]) };
    assert_eq!(shops.stock.acknowledge(&[handled]).await.unwrap(), [Acknowledged::Done]);
    let count = &shops.shop.counts("stock").await.unwrap()[0];
    assert_eq!((count.appended, count.tally.handled, count.waiting), (2, 2, 0));
}

#[tokio::test]
async fn hosts_keep_what_they_own_whichever_of_their_keys_is_gone() {
    let Some(server) = Server::start(&[]).await else { return };
    let log = on(&server).await;
    let other = beside(&server, &log).await;
    log.register("shop", 4, &[]).await.unwrap();
    let hosts = [(&log, "a:1"), (&other, "b:1")];
    for _ in 0..2 {
        for (log, host) in hosts {
            let wanted = log.heartbeat(&heartbeat(host)).await.unwrap().into_iter().filter(|owned| owned.wanted);
            let given_up = wanted.map(|owned| owned.number).collect();
            log.heartbeat(&HostHeartbeat { given_up, ..heartbeat(host) }).await.unwrap();
        }
    }
    let all = async || {
        let mut all = Vec::new();
        for (log, host) in hosts {
            all.push(log.heartbeat(&heartbeat(host)).await.unwrap());
        }
        all
    };
    let before = all().await;
    assert!(before.iter().all(|owned| owned.len() == 2), "{before:?}");
    for keys in [&["owners"][..], &["hosts"], &["handles"], &["state"], &["owners", "hosts", "handles", "state"]] {
        for first in 0..2 {
            for key in keys {
                server
                    .command::<()>(&format!("DEL {}", log.keys.registry().replace("registry", &format!("shop:{key}"))))
                    .await;
            }
            let (log, host) = hosts[first];
            assert_eq!(log.heartbeat(&heartbeat(host)).await.unwrap(), before[first], "{keys:?} were forgotten");
            assert_eq!(all().await, before, "{keys:?} were forgotten");
        }
    }
}

#[tokio::test]
async fn of_a_server_that_has_gone_back_the_highest_is_counted_once() {
    let Some(shops) = Shops::open().await else { return };
    let counts = shops.shop.keys.counts(&of_stock(0));
    // As a server that is restarted without its last second.
    shops.server.command::<()>(&format!("HSET {counts} appended 1 handled 0")).await;
    shops.check().await;
    shops.check().await;
    let count = &shops.shop.counts("stock").await.unwrap()[0];
    assert_eq!((count.appended, count.tally.handled), (2, 1));
    // As one that was counted anew before anybody noticed.
    shops.server.command::<()>(&format!("DEL {counts}")).await;
    shops.server.command::<()>(&format!("HSET {counts} appended 1 born 7 waiting 1")).await;
    shops.check().await;
    shops.check().await;
    assert_eq!(shops.shop.counts("stock").await.unwrap()[0].appended, 3);
}

#[tokio::test]
async fn what_a_database_knows_to_be_applied_was_appended() {
    let Some(shops) = Shops::open().await else { return };
    shops.stock.raise(&of_stock(1), 7).await.unwrap();
    assert_eq!(shops.shop.appended(&of_stock(1)).await, Ok(7));
    shops.stock.raise(&of_stock(1), 5).await.unwrap();
    assert_eq!(shops.shop.counts("stock").await.unwrap()[1].appended, 7);
}

#[tokio::test]
async fn it_is_noticed_whether_dead_letters_are_gone_or_were_forgotten_on_purpose() {
    let Some(shops) = Shops::open().await else { return };
    let epoch = shops.epochs().await[0].1;
    let bury = async |id: &str| {
        let dead = vec![(id.to_string(), Bytes::from_static(b"letter"))];
        let buried = Acknowledge { partition: of_stock(0), dead, ..done(0, epoch, Vec::new()) };
        shops.stock.acknowledge(&[buried]).await.unwrap();
        shops.stock.check().await.unwrap();
    };
    let capability = Arc::from("stock");
    bury("a").await;
    shops.shop.forget("stock", &[("a".into(), Bytes::from_static(b"letter"))]).await.unwrap();
    let state = shops.shop.keys.state("stock");
    assert_eq!(shops.server.command::<u64>(&format!("HGET {state} emptied")).await, 1);
    assert_eq!(
        shops.stock.known.letters(&capability, DeadLetterCounts { emptied: 1, ..DeadLetterCounts::default() }),
        0
    );
    bury("b").await;
    shops.forget("stock:dead").await;
    assert_eq!(
        shops.stock.known.letters(&capability, DeadLetterCounts { emptied: 1, ..DeadLetterCounts::default() }),
        1
    );
    shops.stock.check().await.unwrap();
}
