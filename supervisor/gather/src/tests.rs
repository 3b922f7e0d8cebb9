//! The store by itself: bounds, restarts, and files that do not work.

use std::sync::Arc;
use std::time::Duration;

use essaim_base::Env;
use essaim_base::measure::Outcome;
use essaim_base::outages::{Dependency, Outages};
use essaim_config::{Settings, TraceConfig};
use essaim_store::testing::Directory;
use essaim_trace::{Cursor, Filter, Half, MessageKind, MessageRecord, Recorder, TraceId};

use crate::{FILE, GatheredStore, NodePage, StoredPage, StoredQuestion};

/// Enough for all records of a test.
const LARGE: u64 = 256 << 20;

struct Bench {
    directory: Directory,
    settings: Settings,
    outages: Outages,
    env: Env,
}

impl Bench {
    fn new(change: impl FnOnce(&mut TraceConfig)) -> Self {
        let (directory, mut settings, env) = (Directory::new(), Settings::default(), Env::system());
        settings.node.data_dir = directory.path().to_path_buf();
        settings.trace.store_records_per_second = 1_000_000;
        settings.trace.store_bytes = LARGE;
        change(&mut settings.trace);
        Self { directory, settings, outages: Outages::new(env.clone()), env }
    }

    fn store(&self) -> Arc<GatheredStore> {
        GatheredStore::of(&self.settings, &self.env, &self.outages).expect("a single process stores its own")
    }

    fn file(&self) -> std::path::PathBuf {
        self.directory.path().join(FILE)
    }
}

fn record(span_id: u64) -> MessageRecord {
    let trace_id = TraceId((u128::from(span_id) / 10).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834));
    MessageRecord {
        span_id,
        message_id: Some(format!("message-{span_id}").into()),
        key: Some(format!("key-{}", span_id / 10).into()),
        at_us: Env::system().wall().as_micros() as u64,
        ran_us: 10,
        attempt: 1,
        bytes: 100,
        ..MessageRecord::of(Half::Handled, MessageKind::Command, trace_id, "orders.place.v1", "orders", "shop")
    }
}

/// A cursor that has read so many records of a node.
fn cursor(records: u64) -> Cursor {
    let recorder = Recorder::new("shop", &TraceConfig::default(), &Env::system(), 1);
    (0..records).for_each(|span| recorder.write(record(span)));
    recorder.end()
}

fn page_of(records: Vec<MessageRecord>) -> NodePage {
    NodePage { node: "shop".into(), records, missed: 0, next: Cursor::default() }
}

async fn add(store: &GatheredStore, spans: impl IntoIterator<Item = u64>) {
    store.add(page_of(spans.into_iter().map(record).collect())).await.unwrap();
}

/// All that a filter takes, in pages of so many records.
async fn found(store: &GatheredStore, conditions: &[&str], most: u32) -> Vec<u64> {
    let filter = Filter::of(conditions).unwrap();
    let (mut spans, mut after) = (Vec::new(), 0);
    loop {
        let question = StoredQuestion { filter: filter.clone(), after, most };
        let StoredPage { records, next, .. } = store.page(&question, 1 << 20).await.unwrap();
        assert!(records.len() <= most as usize);
        spans.extend(records.iter().map(|record| record.span_id));
        let Some(next) = next else { return spans };
        assert!(next > after, "each page goes on");
        after = next;
    }
}

#[tokio::test]
async fn records_are_found_by_trace_id_key_time_and_any_condition_page_by_page() {
    let bench = Bench::new(|_| {});
    let store = bench.store();
    add(&store, 10..2_500).await;
    assert_eq!(found(&store, &[], 500).await, (10..2_500).collect::<Vec<_>>());
    let trace = format!("trace={}", record(123).trace_id);
    assert_eq!(found(&store, &[&trace], 3).await, (120..130).collect::<Vec<_>>());
    assert_eq!(found(&store, &["id=message-77"], 9).await, [77]);
    assert_eq!(found(&store, &["key=key-8"], 4).await, (80..90).collect::<Vec<_>>());
    assert_eq!(found(&store, &["span=00000000000000ff"], 4).await, [255]);
    assert_eq!(found(&store, &["at>1h", "key=key-8"], 99).await, (80..90).collect::<Vec<_>>());
    assert_eq!(found(&store, &["at<1h"], 99).await, [0; 0]);
    // An answer has its size, too, and at least one record.
    let question = StoredQuestion { most: 100, ..StoredQuestion::default() };
    let page = store.page(&question, 1).await.unwrap();
    assert_eq!((page.records.len(), page.next, page.cursors.len()), (1, Some(1), 0));
}

#[tokio::test]
async fn a_reader_sees_what_is_added_meanwhile_and_ends_with_the_places_behind_all_that_it_saw() {
    let bench = Bench::new(|_| {});
    let store = bench.store();
    add(&store, 0..20).await;
    let question = StoredQuestion { most: 15, ..StoredQuestion::default() };
    let first = store.page(&question, 1 << 20).await.unwrap();
    let next = cursor(3);
    let late = NodePage { records: vec![record(20)], next: next.clone(), ..page_of(Vec::new()) };
    store.add(late).await.unwrap();
    let rest = StoredQuestion { after: first.next.unwrap(), ..question };
    let rest = store.page(&rest, 1 << 20).await.unwrap();
    assert_eq!(rest.records.last().map(|record| record.span_id), Some(20));
    assert_eq!((rest.next, rest.cursors.get("shop")), (None, Some(&next)));
}

#[tokio::test]
async fn a_restart_keeps_the_records_and_where_each_node_was_read_to() {
    let bench = Bench::new(|_| {});
    let next = cursor(7);
    {
        let store = bench.store();
        assert!(store.prepare().await.unwrap().is_empty());
        let page = NodePage { next: next.clone(), missed: 3, ..page_of(vec![record(1)]) };
        store.add(page).await.unwrap();
        let figures = store.figures();
        assert_eq!((figures.gathered, figures.dropped, figures.missed), (1, 0, 3));
        assert!(figures.bytes > 0);
    }
    let store = bench.store();
    assert_eq!(store.prepare().await.unwrap().get("shop"), Some(&next));
    assert_eq!(found(&store, &[], 9).await, [1]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(bench.file()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "keys may be personal");
    }
}

#[tokio::test]
async fn the_file_stays_within_its_bytes_and_the_oldest_records_go() {
    const MOST: u64 = 8 << 20;
    let bench = Bench::new(|trace| trace.store_bytes = MOST);
    let store = bench.store();
    for first in (0..60_000).step_by(500) {
        add(&store, first..first + 500).await;
        assert!(std::fs::metadata(bench.file()).unwrap().len() <= MOST, "after {first} records");
    }
    assert!(store.figures().bytes <= 2 * MOST, "{:?}", store.figures());
    let spans = found(&store, &[], 500).await;
    assert_eq!(spans.last(), Some(&59_999));
    assert!(spans[0] > 30_000 && spans.len() > 5_000, "{} from {}", spans.len(), spans[0]);
    assert_eq!(found(&store, &["key=key-1"], 9).await, [0; 0]);
    // A lower bound makes the file smaller.
    drop(store);
    let mut lower = bench;
    lower.settings.trace.store_bytes = MOST / 2;
    let store = lower.store();
    for _ in 0..20 {
        store.prepare().await.unwrap();
    }
    assert!(std::fs::metadata(lower.file()).unwrap().len() <= MOST / 2);
    assert_eq!(found(&store, &[], 500).await.last(), Some(&59_999));
}

#[tokio::test]
async fn records_go_when_their_hours_are_over_by_this_nodes_clock_whatever_theirs_says() {
    let directory = Directory::new();
    let mut settings = Settings::default();
    settings.node.data_dir = directory.path().to_path_buf();
    settings.trace.store_hours = 2;
    let at = |hours: u64| {
        let env = Env::simulated(1, Duration::from_secs(3_600 * (500_000 + hours)));
        (GatheredStore::of(&settings, &env, &Outages::new(env.clone())).unwrap(), env)
    };
    let clocks = [(1, 0), (2, 1), (3, u64::MAX), (4, 500_000 * 3_600_000_000)];
    {
        let (store, _) = at(0);
        store.prepare().await.unwrap();
        let records = clocks.map(|(span, at_us)| MessageRecord { at_us, ..record(span) });
        store.add(page_of(records.to_vec())).await.unwrap();
        assert_eq!(found(&store, &[], 9).await, [1, 2, 3, 4]);
        assert_eq!(found(&store, &["at>1h"], 9).await, [3, 4], "of the future is not old");
    }
    {
        let (store, _) = at(1);
        store.prepare().await.unwrap();
        store.add(page_of(vec![record(5)])).await.unwrap();
        assert_eq!(found(&store, &[], 9).await.len(), 5);
    }
    let (store, _) = at(3);
    store.prepare().await.unwrap();
    assert_eq!(found(&store, &[], 9).await, [5]);
}

#[tokio::test(start_paused = true)]
async fn over_the_rate_failed_and_slow_records_go_first_and_what_is_dropped_is_counted() {
    let mut rates = crate::rate::Rates::new(10, 1_000);
    let now = tokio::time::Instant::now;
    let storm = |from: u64| (from..from + 200).map(record).collect::<Vec<_>>();
    let admitted = rates.admit("shop", storm(0), now());
    assert_eq!(admitted.len(), 75, "a quarter is left for what matters");
    let traces: std::collections::BTreeSet<_> = admitted.iter().map(|record| record.trace_id).collect();
    assert_eq!(traces.len(), 8, "all of a trace is kept as long as there is room");
    let mut second = storm(200);
    second[150].outcome = Outcome::Failed;
    second[199].ran_us = 1_000_000;
    let spans: Vec<_> = rates.admit("shop", second, now()).iter().map(|record| record.span_id).collect();
    assert_eq!(spans, [350, 399]);
    assert_eq!(rates.admit("front", storm(0), now()).len(), 75, "each node has its own");
    tokio::time::advance(Duration::from_secs(4)).await;
    assert_eq!(rates.admit("shop", storm(0), now()).len(), 38, "ten a second, less the two");
    let bench = Bench::new(|trace| trace.store_records_per_second = 10);
    tokio::time::resume();
    let store = bench.store();
    store.add(page_of(storm(0))).await.unwrap();
    assert_eq!((store.figures().gathered, store.figures().dropped), (75, 125));
}

#[tokio::test]
async fn a_file_that_does_not_work_is_an_outage_until_it_does() {
    let bench = Bench::new(|_| {});
    std::fs::write(bench.file(), "this is no database, and it is longer than a header of one would be. ".repeat(99))
        .unwrap();
    let store = bench.store();
    let error = store.prepare().await.unwrap_err().to_string();
    assert!(error.contains("move it away"), "{error}");
    let status = bench.outages.status();
    assert!(status[0].cause.contains("move it away") && !status[0].is_needed, "{status:?}");
    assert!(store.add(page_of(vec![record(1)])).await.is_err());
    assert_eq!(store.figures().gathered, 0);
    std::fs::remove_file(bench.file()).unwrap();
    store.prepare().await.unwrap();
    assert!(bench.outages.has(&Dependency::records()), "nothing could be added yet");
    store.add(page_of(vec![record(1)])).await.unwrap();
    assert!(!bench.outages.has(&Dependency::records()));
    // One that is moved away while it is open is noticed.
    std::fs::remove_file(bench.file()).unwrap();
    add(&store, [2]).await;
    assert_eq!(found(&store, &[], 9).await, [2]);
    let second = bench.store();
    let held = second.prepare().await.unwrap_err().to_string();
    assert!(held.contains("is in use by"), "{held}");
}

#[tokio::test]
async fn a_damaged_file_is_an_outage_and_reading_says_so() {
    let bench = Bench::new(|_| {});
    {
        let store = bench.store();
        add(&store, 0..2_000).await;
    }
    // Its connections close on their own threads, and take the journal into the file.
    while std::fs::exists(format!("{}-wal", bench.file().display())).unwrap() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // What is behind the first page is overwritten.
    let mut content = std::fs::read(bench.file()).unwrap();
    content[4_096..].fill(0xa5);
    std::fs::write(bench.file(), content).unwrap();
    let store = bench.store();
    let error = store.prepare().await.unwrap_err().to_string();
    assert!(error.contains("damaged"), "{error}");
    assert!(bench.outages.has(&Dependency::records()));
    let error = store.page(&StoredQuestion { most: 9, ..StoredQuestion::default() }, 1 << 20).await.unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
}

#[test]
fn the_node_that_is_named_stores_and_a_single_process_its_own() {
    let mut settings = Settings::default();
    let own = settings.node.name.clone();
    assert_eq!(settings.store_node(), Some(&*own));
    settings.bridge.url = "redis://127.0.0.1".into();
    assert_eq!(settings.store_node(), None);
    settings.trace.store_node = "front".into();
    assert_eq!(settings.store_node(), Some("front"));
    settings.trace.store_bytes = 0;
    assert_eq!(settings.store_node(), None);
}
