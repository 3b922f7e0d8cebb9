//! Nonsense on a node's inbox: the node goes on, logs it once, and does nothing twice.

use std::time::Duration;

use essaim::Env;
use redis::Commands;
use serde::Serialize;

use crate::golden::frames::{Ask, ask, converse, frame};
use crate::support::{Cluster, Redis, Scratch, eventually, repository};

/// Sources of unreadable frames that a node names in its log; it counts the others.
const NAMED_SOURCES: usize = 64;
/// What reading absurd frames may cost, in KiB.
const MOST_GROWTH_KIB: u64 = 64 << 10;

/// One process that hosts the catalogue, named as the node that [`converse`] talks to.
fn catalogue(redis: &Redis, scratch: &Scratch) -> Cluster {
    let topology = scratch.write("far.toml", "[nodes.far]\nhosts = [\"catalog\"]\n");
    Cluster::of(&topology.display().to_string()).over(redis).start()
}

fn bytes_of(value: &impl Serialize) -> serde_bytes::ByteBuf {
    rmp_serde::to_vec_named(value).expect("it can be encoded").into()
}

/// The first page of products, asked for under that id.
fn list(id: u64) -> Vec<u8> {
    let message = essaim_catalog_contract::ListProducts { limit: 10, cursor: None };
    frame(1, Ask { body: bytes_of(&message), ..ask(id, "catalog.list.v1", "") })
}

/// Good frames by a sender that is called `evil`, so that they are not taken for those of the test itself.
fn corpus() -> Vec<Vec<u8>> {
    let files = std::fs::read_dir(repository().join("fuzz/corpus/frame")).expect("there is a corpus");
    let mut paths: Vec<_> = files.map(|f| f.expect("the corpus can be read").path()).collect();
    paths.sort();
    let read = |path| {
        let mut bytes = std::fs::read(path).expect("the corpus can be read");
        for at in 0..bytes.len().saturating_sub(4) {
            if bytes[at..].starts_with(b"tool") {
                bytes[at..at + 4].copy_from_slice(b"evil");
            }
        }
        bytes
    };
    paths.into_iter().map(read).collect()
}

/// Frames that are none, nearly some, or say more than they hold.
fn nonsense(seed: u64, count: usize) -> Vec<Vec<u8>> {
    let (env, corpus) = (Env::simulated(seed, Duration::ZERO), corpus());
    let below = |limit: usize| (env.random() % limit.max(1) as u64) as usize;
    let made = (0..count).map(|number| {
        let mut bytes = corpus[below(corpus.len())].clone();
        let at = below(bytes.len());
        match number % 4 {
            0 => return (0..below(400)).map(|_| env.random() as u8).collect(),
            1 => bytes.truncate(at),
            2 => bytes[at] ^= 1 << below(8),
            _ => {}
        }
        bytes
    });
    made.collect()
}

#[test]
fn nonsense_on_an_inbox_is_counted_and_told_of_once_and_the_node_goes_on() {
    let (redis, scratch) = (Redis::start(), Scratch::new("nonsense"));
    let mut cluster = catalogue(&redis, &scratch);
    let inbox = redis.wait_for_channel(":inbox:far:");
    let pid = cluster.node("far").process().pid();
    let (before, frames) = (most_memory_kib(pid), nonsense(1, 4_000));
    let mut publisher = redis.connection();
    let garbage = frames.iter().filter(|f| essaim::fuzz::frame(f).is_none()).count() as u64;
    assert!(garbage > 1_000, "{garbage} of the frames are nonsense");
    let channels = inbox.split(":inbox:").next().expect("it is an inbox");
    for channel in [&inbox, &format!("{channels}:broadcast")] {
        for frame in &frames {
            let _: u64 = publisher.publish(channel, &frame[..]).expect("redis takes a frame");
        }
    }
    let admin = cluster.node("far").admin();
    let counted = || admin.get("/status").is(200)["unreadable_frames"].as_u64().unwrap_or_default();
    eventually("the nonsense to be counted", || (counted() >= 2 * garbage).then_some(()));
    let answered = converse(&redis, "far", &[list(1)], 1);
    assert_eq!(answered.len(), 1, "the node still answers");
    let grown = most_memory_kib(pid).saturating_sub(before);
    assert!(grown < MOST_GROWTH_KIB, "{grown} KiB more");
    let process = cluster.node("far").process();
    let lines = process.lines();
    let told = lines.iter().filter(|line| line.contains("a frame cannot be read")).count();
    assert!((1..=NAMED_SOURCES).contains(&told), "{told} lines tell of it");
    let broken: Vec<_> = lines.iter().filter(|l| l.contains("panicked") || l.contains(" ERROR ")).collect();
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn an_ask_that_is_replayed_is_not_run_again() {
    let (redis, scratch) = (Redis::start(), Scratch::new("replay"));
    let cluster = catalogue(&redis, &scratch);
    let product = essaim_catalog_contract::CreateProduct {
        id: "01890a5d-ac96-774b-bcce-b302099a8057".into(),
        sku: "TEA".into(),
        name: "Tea".into(),
        price_cents: 450,
        currency: "EUR".into(),
        stock: 5,
    };
    let admin = Some(essaim_contract::Principal::new("tool", ["admin"]));
    let create = frame(1, Ask { body: bytes_of(&product), principal: admin, ..ask(1, "catalog.create.v1", "") });
    // Its effect cannot be seen twice, but every run is answered, and an id that is answered twice fails here.
    let mut frames = vec![create; 50];
    frames.push(list(2));
    let answers = converse(&redis, "far", &frames, 2);
    assert_eq!(answers.keys().copied().collect::<Vec<_>>(), [1, 2]);
    let created = String::from_utf8_lossy(&answers[&1]).into_owned();
    assert!(created.contains("reply") && created.contains("TEA"), "{created}");
    cluster.stop();
}

#[test]
fn an_ask_whose_content_is_absurd_is_refused_and_the_next_is_answered() {
    let (redis, scratch) = (Redis::start(), Scratch::new("absurd"));
    let mut cluster = catalogue(&redis, &scratch);
    let of = |id, body: Vec<u8>| frame(1, Ask { body: body.into(), ..ask(id, "catalog.list.v1", "") });
    // `{"other": …}` with lists in lists, which have to be read to be passed over.
    let deep = |depth: usize| [b"\x81\xa5other".to_vec(), vec![0x91; depth], vec![0xc0]].concat();
    let longest_wait = Ask { left: u64::MAX, at: u64::MAX, ..ask(5, "catalog.list.v9", "") };
    let frames = [
        of(1, deep(1_000)),
        of(2, deep(1_000_000)),
        of(3, b"\xdd\xff\xff\xff\xff".to_vec()),
        of(4, Vec::new()),
        frame(1, longest_wait),
        of(6, b"\xdf\xff\xff\xff\xff\xdb\xff\xff\xff\xff".to_vec()),
        list(7),
    ];
    let answers = converse(&redis, "far", &frames, frames.len());
    for (id, answer) in &answers {
        let text = String::from_utf8_lossy(answer);
        assert_eq!(text.contains("not_delivered"), *id != 7, "{id}: {text}");
    }
    assert!(!cluster.node("far").process().has_line("panicked"));
    cluster.stop();
}

/// The most memory that a process has had, in KiB.
pub fn most_memory_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).expect("Linux tells it");
    line.trim().trim_end_matches(" kB").parse().expect("it is a number")
}
