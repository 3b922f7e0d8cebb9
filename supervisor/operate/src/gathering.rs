//! Gathering: the node that stores message records reads the rings of all nodes, again and again.

use std::sync::{Arc, Weak};
use std::time::Duration;

use essaim_base::backoff::Backoff;
use essaim_base::task::TaskName;
use essaim_core::node::bus::Bus;
use essaim_gather::{GatherError, GatheredStore, NodePage};
use essaim_trace::Filter;
use tokio::time::timeout;

use crate::api::MOST_RECORDS;
use crate::records::Question;
use crate::requests::Operator;

/// Pages of each node in one turn, at most: what a storm leaves behind waits for the next one.
const PAGES_AT_ONCE: usize = 10;
/// A page with fewer records is the last one of a turn. One that is cut to fit into a message may be shorter than was asked for.
const FULL_PAGE: usize = MOST_RECORDS as usize / 4;
/// How long the end of a node waits for its last records to be stored.
const LAST_TURN: Duration = Duration::from_secs(3);
/// The pauses while the file does not work.
const BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(30) };

/// Begins to gather, if this node stores. All that the task knows is in the file.
pub(crate) fn begin(bus: &Arc<Bus>) {
    if bus.gathered.is_none() {
        return;
    }
    let weak = Arc::downgrade(bus);
    bus.tasks.restarted(TaskName::of_node("gather"), move || gather(weak.clone()));
}

async fn gather(bus: Weak<Bus>) {
    let mut failures = 0;
    loop {
        let pause = {
            let Some(bus) = bus.upgrade() else { return };
            let Some(gathered) = bus.gathered.clone() else { return };
            failures = turn(&Operator::of(&bus), &gathered).await.map_or(failures + 1, |()| 0);
            let interval = Duration::from_millis(bus.settings.trace.store_interval_ms);
            if failures == 0 { interval } else { BACKOFF.delay(failures, &bus.env).max(interval) }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Stores what this node has recorded since the last turn, its end included: nobody can ask it afterwards.
pub(crate) async fn store_last(bus: &Bus) {
    let Some(gathered) = &bus.gathered else { return };
    let store = async {
        let _turn = gathered.turn().await;
        let node = bus.settings.node.name.clone();
        let after = gathered.prepare().await?.remove(&node).unwrap_or_default();
        let page = bus.recorder.page(&after, &Filter::default(), usize::MAX);
        gathered.add(NodePage { node, records: page.records, missed: page.missed, next: page.next }).await?;
        gathered.settle().await
    };
    // A file that does not work is an outage, which the log has told.
    if timeout(LAST_TURN, store).await.is_err() {
        let limit_ms = LAST_TURN.as_millis() as u64;
        tracing::warn!(limit_ms, "the last message records were not stored in time");
    }
}

/// Reads what nodes have written since the last turn. A node that does not answer keeps its records, and is asked again.
async fn turn(operator: &Operator, gathered: &GatheredStore) -> Result<(), GatherError> {
    let _turn = gathered.turn().await;
    let mut after = gathered.prepare().await?;
    for _ in 0..PAGES_AT_ONCE {
        let question = |node: &str| Question {
            filter: Filter::default(),
            after: after.get(node).cloned().unwrap_or_default(),
            from_now: false,
            most: MOST_RECORDS,
        };
        let mut more = false;
        for (node, page) in operator.ask_nodes(question).await {
            let Ok(page) = page else { continue };
            if after.get(&node) == Some(&page.next) {
                continue;
            }
            more |= page.records.len() >= FULL_PAGE;
            after.insert(node.clone(), page.next.clone());
            gathered.add(NodePage { node, records: page.records, missed: page.missed, next: page.next }).await?;
        }
        if !more {
            break;
        }
    }
    Ok(())
}
