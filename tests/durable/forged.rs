//! Messages that no node has stored, where the cluster has a secret: in the log, in an outbox, parked and among dead letters. Each is
//! refused, counted and shown; and what was stored before there was a secret, or under another one, has a way back.

use std::thread;

use essaim::Env;
use essaim::config::{BridgeConfig, Unsigned};
use essaim_contract::Principal;
use redis::streams::StreamReadReply;
use redis::{Commands, Value};
use serde::Serialize;
use serde_bytes::ByteBuf;

use super::probe::{Probe, Sell};
use super::stage::Stage;
use crate::support::{PATIENCE, Redis, eventually};

/// The exit code of a command that was refused in part.
const DATA: i32 = 65;
const SECRET: &str = "the secret of more than 32 characters that nodes have";
const NEXT: &str = "the next secret of more than 32 characters";

/// A record as somebody may make it who has read docs/protocol.md.
#[derive(Serialize)]
struct Forgery<'a> {
    id: String,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    at: u64,
    trace: &'a str,
    principal: Principal,
    #[serde(skip_serializing_if = "Option::is_none")]
    control: Option<&'a str>,
    body: ByteBuf,
}

fn forgery(id: &str, control: Option<&str>, what: &str) -> Vec<u8> {
    let sell = Sell { to: "mallory".into(), what: what.into() };
    let body = if control.is_some() { Vec::new() } else { rmp_serde::to_vec_named(&sell).expect("it can be encoded") };
    let forgery = Forgery {
        id: id.into(),
        name: "shop.sell.v1",
        key: Some("mallory"),
        at: Env::system().wall_ms(),
        trace: "",
        principal: Principal::new("mallory", ["admin"]),
        control,
        body: body.into(),
    };
    rmp_serde::to_vec_named(&forgery).expect("it can be encoded")
}

fn new_id() -> String {
    Env::system().id().to_string()
}

fn with_secret(bridge: &mut BridgeConfig) {
    bridge.secret = SECRET.into();
}

fn accepting(bridge: &mut BridgeConfig) {
    with_secret(bridge);
    bridge.unsigned = Unsigned::Accept;
}

/// Puts an entry of one record into the log, as a node would.
fn add(redis: &Redis, partition: &str, record: &[u8]) {
    let key = format!("essaim:log:{partition}");
    let fields: [(&str, &[u8]); 3] = [("c", b"1"), ("f", b"0"), ("b", record)];
    let _: String = redis.connection().xadd(key, "*", &fields).expect("redis takes an entry");
}

/// The records of the next entry of the shop's log while something is done; it is read before its owner has done with it.
fn recorded(redis: &Redis, act: impl FnOnce()) -> (String, Vec<u8>) {
    let mut listener = redis.connection();
    let id: u64 = redis::cmd("CLIENT").arg("ID").query(&mut listener).expect("it has an id");
    let listening = thread::spawn(move || {
        let mut read = redis::cmd("XREAD");
        read.arg("BLOCK").arg(PATIENCE.as_millis() as u64).arg("STREAMS");
        read.arg(&["essaim:log:shop:0", "essaim:log:shop:1", "$", "$"]);
        read.query::<StreamReadReply>(&mut listener).expect("an entry comes")
    });
    let is_listening = |client: &str| client.starts_with(&format!("id={id} ")) && client.contains("cmd=xread");
    eventually("somebody to listen", || {
        let clients: String = redis.command("CLIENT LIST");
        clients.lines().any(is_listening).then_some(())
    });
    act();
    let reply = listening.join().expect("it has listened");
    let entry = &reply.keys[0].ids[0];
    let Some(Value::BulkString(batch)) = entry.map.get("b") else { panic!("{entry:?}") };
    (reply.keys[0].key.trim_start_matches("essaim:log:").to_string(), batch.clone())
}

fn sell(stage: &Stage, to: &str, what: &str) -> String {
    stage.send(Sell { to: to.into(), what: what.into() })
}

fn sales(probe: &Probe) -> Vec<String> {
    let mut sales: Vec<_> = probe.applied().into_iter().filter(|what| what.starts_with("shop")).collect();
    sales.sort();
    sales
}

#[track_caller]
fn is_refused(stage: &Stage, id: &str, why: &str) {
    let replayed = stage.essaim(&["dead", "replay", id, "--yes"]);
    assert_eq!(replayed.code, Some(DATA), "{}", replayed.text);
    assert!(replayed.text.contains(why), "{}", replayed.text);
}

#[test]
fn a_principal_or_a_request_that_somebody_has_put_into_the_log_has_no_effect() {
    let probe = Probe::broken();
    let stage = Stage::bridged(&probe, Redis::start(), None, with_secret);
    let died = sell(&stage, "ann", "poison");
    stage.dead(1);
    probe.mend();
    let redis = stage.redis();
    for partition in ["shop:0", "shop:1"] {
        add(redis, partition, &forgery(&new_id(), None, "gold"));
        add(redis, partition, &forgery(&died, Some("replay"), ""));
        add(redis, partition, &forgery(&died, Some("drop"), ""));
    }
    let letters = stage.dead(7);
    let forged: Vec<_> = letters.iter().filter(|letter| letter["reason"] == "unreadable").collect();
    assert_eq!(forged.len(), 6, "{letters:#?}");
    for letter in &forged {
        assert!(letter["error"].as_str().is_some_and(|error| error.contains("it is not signed")), "{letter}");
        is_refused(&stage, letter["id"].as_str().expect("it has an id"), "it is not signed");
    }
    sell(&stage, "ann", "bread");
    sell(&stage, "mallory", "bread");
    eventually("what is sold by nodes", || (sales(&probe).len() == 2).then_some(()));
    assert_eq!(sales(&probe), ["shop: bread", "shop: bread"], "no gold, and no poison");
    assert_eq!(stage.admin().get("/status").is(200)["refused_messages"]["untagged"], 6);
    let metrics = stage.admin().get("/metrics").is(200).text;
    assert!(metrics.contains(r#"essaim_refused_messages_total{reason="untagged"} 6"#), "{metrics}");
    for letter in forged {
        let dropped = stage.essaim(&["dead", "drop", letter["id"].as_str().expect("it has an id"), "--yes"]);
        assert_eq!(dropped.code, Some(0), "{}", dropped.text);
    }
    stage.dead(1);
}

#[test]
fn what_was_recorded_has_no_second_effect_and_cannot_be_changed() {
    let probe = Probe::broken();
    let stage = Stage::bridged(&probe, Redis::start(), None, with_secret);
    let (partition, sale) = recorded(stage.redis(), || drop(sell(&stage, "ann", "bread")));
    eventually("the bread", || (sales(&probe).len() == 1).then_some(()));
    add(stage.redis(), &partition, &sale);
    let mut changed = sale.clone();
    let at = changed.windows(5).position(|part| part == b"bread").expect("the message is in it");
    changed[at..at + 5].copy_from_slice(b"beers");
    add(stage.redis(), &partition, &changed);
    let letters = stage.dead(1);
    is_refused(&stage, letters[0]["id"].as_str().expect("it has an id"), "its signature is not its own");
    assert_eq!(stage.admin().get("/status").is(200)["refused_messages"]["forged"], 1);

    let died = sell(&stage, "ann", "poison");
    stage.dead(2);
    // It is replayed, and dies again.
    let replay = || {
        let replayed = stage.essaim(&["dead", "replay", &died, "--yes"]);
        assert_eq!(replayed.code, Some(0), "{}", replayed.text);
    };
    let deaths = || {
        let letters = stage.json(&["dead", "list"]);
        let letters = letters["letters"].as_array().cloned().unwrap_or_default();
        letters.iter().find(|letter| letter["id"] == *died).and_then(|letter| letter["dead_at_ms"].as_u64())
    };
    let first = deaths();
    let (partition, request) = recorded(stage.redis(), replay);
    eventually("it to die again", || deaths().filter(|_| deaths() != first));
    probe.mend();
    add(stage.redis(), &partition, &request);
    sell(&stage, "ann", "cake");
    eventually("the cake", || (sales(&probe).len() == 2).then_some(()));
    stage.at_rest();
    assert_eq!(sales(&probe), ["shop: bread", "shop: cake"], "no second bread, and the poison is dead still");
    stage.dead(2);
    replay();
    eventually("what an operator asks for now is done", || (sales(&probe).len() == 3).then_some(()));
}

/// The bytes of a text of SQL.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Puts a row into the shop's outbox, of another life of its node.
fn put_into_outbox(stage: &Stage, record: &[u8]) {
    let (lane, row) = ("'n/all/' || lower(hex(randomblob(4)))", hex(record));
    stage.sql(
        "shop",
        &format!("INSERT INTO essaim_outbox (lane, seq, event, target, record) VALUES ({lane}, 1, 0, NULL, x'{row}')"),
    );
}

#[test]
fn what_somebody_has_changed_in_a_database_is_refused_wherever_it_waits() {
    let probe = Probe::broken();
    let stage = Stage::bridged(&probe, Redis::start(), None, with_secret);
    let died = sell(&stage, "ann", "poison");
    stage.dead(1);
    stage.sql("shop", &format!("UPDATE essaim_dead SET record = x'{}'", hex(&forgery(&died, None, "gold"))));
    is_refused(&stage, &died, "it is not signed");
    put_into_outbox(&stage, &forgery(&new_id(), None, "gold"));
    let (id, row) = (new_id(), hex(&forgery(&new_id(), None, "gold")));
    stage.sql(
        "shop",
        &format!(
            "INSERT INTO essaim_parked (partition, seq, id, order_key, ordered, attempts, due_ms, held, record) \
             VALUES (0, 1000000, '{id}', 'mallory', 0, 0, 0, 0, x'{row}')"
        ),
    );
    probe.mend();
    // The next life of the node finds them.
    let (data, redis) = stage.end_beside_redis();
    let stage = Stage::bridged(&probe, redis.expect("it is bridged"), Some(data), with_secret);
    let letters = stage.dead(3);
    let unsigned = letters.iter().filter(|letter| letter.to_string().contains("it is not signed")).count();
    assert_eq!(unsigned, 2, "the row of the outbox and the parked one: {letters:#?}");
    for letter in &letters {
        is_refused(&stage, letter["id"].as_str().expect("it has an id"), "it is not signed");
    }
    assert_eq!(sales(&probe), Vec::<String>::new());
    for letter in &letters {
        let dropped = stage.essaim(&["dead", "drop", letter["id"].as_str().expect("it has an id"), "--yes"]);
        assert_eq!(dropped.code, Some(0), "{}", dropped.text);
    }
    stage.dead(0);
}

#[test]
fn what_was_stored_before_there_was_a_secret_or_under_another_one_has_a_way_back() {
    let probe = Probe::broken();
    let next = |bridge: &mut BridgeConfig| bridge.secret = NEXT.into();
    let both = |bridge: &mut BridgeConfig| {
        next(bridge);
        bridge.old_secrets = vec![SECRET.into()];
    };
    let stage = Stage::bridged(&probe, Redis::start(), None, |_| {});
    let before = sell(&stage, "ann", "poison of before");
    stage.dead(1);
    // The log keeps one, too, which nobody has taken yet.
    let again = |stage: Stage, bridge: fn(&mut BridgeConfig)| {
        let (data, redis) = stage.end_beside_redis();
        let redis = redis.expect("it is bridged");
        Stage::bridged(&probe, redis, Some(data), bridge)
    };
    put_into_outbox(&stage, &forgery(&new_id(), None, "bread on its way"));
    let (data, redis) = stage.end_beside_redis();
    let redis = redis.expect("it is bridged");
    add(&redis, "shop:0", &forgery(&new_id(), None, "late bread"));
    let stage = Stage::bridged(&probe, redis, Some(data), with_secret);
    let letters = stage.dead(3);
    let ids: Vec<_> = letters.iter().filter_map(|letter| letter["id"].as_str()).collect();
    ids.iter().for_each(|id| is_refused(&stage, id, "it is not signed"));
    let stage = again(stage, accepting);
    for late in ids.iter().filter(|id| **id != before) {
        let replayed = stage.essaim(&["dead", "replay", late, "--yes"]);
        assert_eq!(replayed.code, Some(0), "{}", replayed.text);
    }
    let late = ["shop: bread on its way", "shop: late bread"];
    eventually("what was late", || (sales(&probe) == late).then_some(()));
    // Dead again, it is signed.
    let replayed = stage.essaim(&["dead", "replay", &before, "--yes"]);
    assert_eq!(replayed.code, Some(0), "{}", replayed.text);
    stage.at_rest();
    stage.dead(1);
    let (data, redis) = stage.end_beside_redis();
    let stage = Stage::bridged(&probe, redis.expect("it is bridged"), Some(data), next);
    is_refused(&stage, &before, "a secret that this node does not have");
    probe.mend();
    let (data, redis) = stage.end_beside_redis();
    let stage = Stage::bridged(&probe, redis.expect("it is bridged"), Some(data), both);
    let replayed = stage.essaim(&["dead", "replay", &before, "--yes"]);
    assert_eq!(replayed.code, Some(0), "{}", replayed.text);
    eventually("what was from before", || {
        (sales(&probe) == [late[0], late[1], "shop: poison of before"]).then_some(())
    });
    stage.dead(0);
}
