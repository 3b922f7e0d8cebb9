//! A node's records: rings that its threads write into, and readers at any time.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use essaim_base::Env;
use essaim_base::lock::Mutex;
use essaim_base::task::{TaskName, Tasks};
use essaim_base::trace::TraceContext;
use essaim_config::TraceConfig;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::clock::Clock;
use crate::export::ExportCounts;
use crate::filter::Filter;
use crate::record::{Half, MessageKind, MessageRecord, TraceId};
use crate::ring::Ring;
use crate::sampler::Sampler;
use crate::text::Text;

/// How often the share of kept traces follows what is written.
const ADAPTS: Duration = Duration::from_secs(1);
/// A burst that fills this part of a ring between two looks halves the share at once.
const BURST: u64 = 4;

/// The records of one node.
pub struct Recorder {
    env: Env,
    node: Text,
    clock: Clock,
    config: TraceConfig,
    sampler: Sampler,
    /// One for each thread that runs handlers and one for the node's own; others share them.
    rings: Box<[Mutex<WrittenRing>]>,
    /// Tells this life of the node from its others, whose positions mean nothing here.
    life: String,
    exports: ExportCounts,
}

struct WrittenRing {
    ring: Ring,
    /// Bytes written since the share was last looked at, and since it was last halved.
    written: u64,
    burst: u64,
}

/// Where a reader of a node's records has come to. The default is the beginning.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cursor {
    /// The life of the node that was read.
    life: String,
    /// The next position in each ring.
    positions: Vec<u64>,
}

impl Cursor {
    /// At these positions, in this life of a node.
    pub fn at(life: &str, positions: Vec<u64>) -> Self {
        Self { life: life.into(), positions }
    }

    /// The positions, if they are of this life.
    pub fn positions_of(&self, life: &str) -> &[u64] {
        if self.life == life { &self.positions } else { &[] }
    }
}

/// Some records of a node, and where the next ones begin.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Page {
    pub records: Vec<MessageRecord>,
    pub next: Cursor,
    /// Records that were gone before they were read.
    pub missed: u64,
}

thread_local! {
    static THREAD: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The number of this thread among those that have written records.
fn thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    THREAD.get().unwrap_or_else(|| {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        THREAD.set(Some(number));
        number
    })
}

impl Recorder {
    /// A node's recorder, with a ring for each of so many threads.
    pub fn new(node: &str, config: &TraceConfig, env: &Env, threads: usize) -> Arc<Self> {
        let ring = || Mutex::new(WrittenRing { ring: Ring::of(config.ring_bytes as usize), written: 0, burst: 0 });
        Arc::new(Self {
            env: env.clone(),
            node: node.into(),
            clock: Clock::of(env),
            config: config.clone(),
            sampler: Sampler::new(config.ring_bytes > 0),
            rings: (0..threads.max(1)).map(|_| ring()).collect(),
            life: env.id().to_string(),
            exports: ExportCounts::default(),
        })
    }

    /// Has the share of kept traces follow what is written, as long as the node lives.
    pub fn start(self: &Arc<Self>, tasks: &Tasks) {
        let recorder = Arc::downgrade(self);
        tasks.restarted(TaskName::of_node("records"), move || {
            let recorder = recorder.clone();
            async move {
                loop {
                    tokio::time::sleep(ADAPTS).await;
                    let Some(recorder) = recorder.upgrade() else { return };
                    recorder.adapt();
                }
            }
        });
    }

    /// A new trace, of which it is decided here whether it is kept.
    #[inline]
    pub fn root(&self) -> TraceContext {
        self.decide(TraceContext::root(&self.env))
    }

    /// A trace that begins here, or comes from outside, with the decision whether it is kept: what somebody upstream records is.
    #[inline]
    pub fn decide(&self, trace: TraceContext) -> TraceContext {
        TraceContext { kept: self.is_on() && (trace.sampled || self.sampler.keeps(&trace)), ..trace }
    }

    /// Whether anything is recorded at all (`trace.ring_bytes`).
    #[inline]
    pub fn is_on(&self) -> bool {
        self.config.ring_bytes > 0
    }

    /// Whether a handler that ran for so long is slow, so that its record is kept in any case.
    pub fn is_slow(&self, ran: Duration) -> bool {
        let limit_ms = self.config.slow_ms;
        limit_ms > 0 && ran.as_millis() >= u128::from(limit_ms)
    }

    /// The share of new traces that is kept now, in `0.0..=1.0`.
    pub fn share(&self) -> f64 {
        self.sampler.share()
    }

    /// The node that is written about.
    pub fn node(&self) -> &Text {
        &self.node
    }

    pub fn now(&self) -> Instant {
        self.env.now()
    }

    /// A moment, in microseconds since 1970.
    pub fn us(&self, at: Instant) -> u64 {
        self.clock.us(at)
    }

    /// The half of a message's sender, with what all of them tell: when it was sent, and within which trace.
    pub fn sent(
        &self,
        kind: MessageKind,
        trace: &TraceContext,
        name: impl Into<Text>,
        capability: impl Into<Text>,
        at: Instant,
    ) -> MessageRecord {
        let (trace_id, node) = (TraceId(trace.trace_id), self.node.clone());
        let record = MessageRecord::of(Half::Sent, kind, trace_id, name, capability, node);
        MessageRecord { parent_id: trace.span_id, at_us: self.us(at), ..record }
    }

    /// The half of a message's handler, with what all of them tell: its own span with the one that sent the message, and when that was
    /// admitted.
    pub fn handled(
        &self,
        kind: MessageKind,
        (trace, parent_id): (&TraceContext, u64),
        name: impl Into<Text>,
        capability: impl Into<Text>,
        at: Instant,
    ) -> MessageRecord {
        let (trace_id, node) = (TraceId(trace.trace_id), self.node.clone());
        let record = MessageRecord::of(Half::Handled, kind, trace_id, name, capability, node);
        MessageRecord { span_id: trace.span_id, parent_id, at_us: self.us(at), ..record }
    }

    /// Keeps a record.
    pub fn write(&self, record: MessageRecord) {
        if !self.is_on() {
            return;
        }
        let mut written = self.rings[thread() % self.rings.len()].lock();
        let bytes = record.footprint() as u64;
        written.ring.push(record);
        written.written += bytes;
        written.burst += bytes;
        if written.burst > self.config.ring_bytes / BURST {
            written.burst = 0;
            self.sampler.halve();
        }
    }

    /// The records behind a cursor that a filter takes, at most so many: the oldest of each ring first.
    pub fn page(&self, after: &Cursor, filter: &Filter, most: usize) -> Page {
        let known = after.positions_of(&self.life);
        let now_us = self.us(self.now());
        let mut page = Page { next: Cursor { life: self.life.clone(), positions: Vec::new() }, ..Page::default() };
        for (index, ring) in self.rings.iter().enumerate() {
            let ring = &ring.lock().ring;
            let from = known.get(index).copied().unwrap_or(0);
            page.missed += if known.is_empty() { 0 } else { ring.gone_since(from) };
            let mut position = ring.end();
            let begin = from.max(ring.first());
            for (offset, record) in ring.since(from).enumerate() {
                if page.records.len() == most {
                    position = begin + offset as u64;
                    break;
                }
                if filter.takes_at(record, now_us) {
                    page.records.push(record.clone());
                }
            }
            page.next.positions.push(position);
        }
        page
    }

    /// All records of a trace.
    pub fn trace(&self, id: TraceId) -> Vec<MessageRecord> {
        let of_ring = |ring: &Mutex<WrittenRing>| -> Vec<MessageRecord> {
            ring.lock().ring.since(0).filter(|record| record.trace_id == id).cloned().collect()
        };
        self.rings.iter().flat_map(of_ring).collect()
    }

    /// The end of all rings: behind it is what is written from now on.
    pub fn end(&self) -> Cursor {
        let positions = self.rings.iter().map(|ring| ring.lock().ring.end()).collect();
        Cursor { life: self.life.clone(), positions }
    }

    /// What is counted of the export of records.
    pub fn exports(&self) -> &ExportCounts {
        &self.exports
    }

    /// Bytes that the rings take now.
    pub fn bytes(&self) -> usize {
        self.rings.iter().map(|ring| ring.lock().ring.bytes()).sum()
    }

    /// Looks at what the busiest ring was given in the last [`ADAPTS`].
    fn adapt(&self) {
        let written = self.rings.iter().map(|ring| {
            let mut ring = ring.lock();
            ring.burst = 0;
            std::mem::take(&mut ring.written)
        });
        let most = written.max().unwrap_or(0);
        self.sampler.follow(most, self.config.ring_bytes / self.config.ring_seconds.max(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::sample;

    fn recorder(bytes: usize) -> Arc<Recorder> {
        let config = TraceConfig { ring_bytes: bytes as u64, ring_seconds: 10, ..TraceConfig::default() };
        Recorder::new("a", &config, &Env::simulated(1, Duration::from_secs(1)), 2)
    }

    fn spans(page: &Page) -> Vec<u64> {
        page.records.iter().map(|record| record.span_id).collect()
    }

    #[test]
    fn a_reader_goes_on_where_it_was_and_learns_what_it_missed() {
        let recorder = recorder(10 * sample(1).footprint());
        let all = Filter::default();
        (1..=4).for_each(|span| recorder.write(sample(span)));
        let first = recorder.page(&Cursor::default(), &all, 3);
        assert_eq!(spans(&first), [1, 2, 3]);
        let second = recorder.page(&first.next, &all, 3);
        assert_eq!((spans(&second), second.missed), (vec![4], 0));
        (5..=30).for_each(|span| recorder.write(sample(span)));
        let third = recorder.page(&second.next, &all, 99);
        assert_eq!((spans(&third), third.missed), ((21..=30).collect(), 16));
        let rest = recorder.page(&third.next, &all, 2);
        assert_eq!((spans(&rest), rest.missed, &rest.next), (vec![], 0, &recorder.end()));
    }

    #[test]
    fn a_reader_of_an_earlier_life_begins_anew() {
        let (before, now) = (recorder(9_999), recorder(9_999));
        (1..=9).for_each(|span| before.write(sample(span)));
        now.write(sample(1));
        assert_eq!(spans(&now.page(&before.end(), &Filter::default(), 9)), [0; 0], "the seeds are the same");
        let other = Cursor { life: "other".into(), ..before.end() };
        assert_eq!(spans(&now.page(&other, &Filter::default(), 9)), [1]);
    }

    #[test]
    fn the_records_of_all_threads_are_a_trace() {
        let recorder = recorder(9_999);
        std::thread::scope(|scope| {
            for span in 1..=4 {
                let recorder = &recorder;
                scope.spawn(move || recorder.write(sample(span)));
            }
        });
        recorder.write(MessageRecord { trace_id: TraceId(8), ..sample(9) });
        let mut found: Vec<_> = recorder.trace(TraceId(7)).iter().map(|record| record.span_id).collect();
        found.sort_unstable();
        assert_eq!(found, [1, 2, 3, 4]);
    }

    #[test]
    fn a_storm_takes_the_memory_of_the_rings_and_fewer_traces_are_kept() {
        let recorder = recorder(100 * sample(1).footprint());
        assert_eq!(recorder.share(), 1.0);
        (0..10_000).for_each(|span| recorder.write(sample(span)));
        assert!(recorder.bytes() <= 100 * sample(1).footprint());
        assert!(recorder.share() < 0.001, "{}", recorder.share());
        (0..40).for_each(|_| recorder.adapt());
        assert_eq!(recorder.share(), 1.0, "it is over");
    }

    #[test]
    fn without_a_ring_nothing_is_kept() {
        let recorder = recorder(0);
        recorder.write(sample(1));
        assert!(!recorder.root().kept && !recorder.decide(TraceContext { sampled: true, ..recorder.root() }).kept);
        assert!(recorder.page(&Cursor::default(), &Filter::default(), 9).records.is_empty());
    }
}
