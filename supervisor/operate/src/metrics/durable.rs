//! What the log and the databases tell of durable messages. It has to be asked for: each source has a short limit, one that is
//! known to be away is not asked, and what does not answer is missing and said to be.

use std::sync::Arc;
use std::time::Duration;

use essaim_core::local::host::Host;
use essaim_core::node::bus::Bus;
use essaim_durable::Durable;
use essaim_protocol::log::PartitionCount;
use essaim_store::tables::{dead, ledger, outbox};
use futures_util::future::join_all;
use tokio::time::timeout;

use super::families::*;
use super::samples::Samples;
use crate::api::{DurableReport, LedgerLine};
use crate::host::ledger_lines;

/// How long a scrape waits for one source; it asks the sources of all capabilities at once.
const LIMIT: Duration = Duration::from_secs(1);

/// What was found of one capability.
pub struct DurableFigures {
    capability: Arc<str>,
    database: Source<DatabaseFigures>,
    log: Source<LogFigures>,
    ledger: Vec<LedgerLine>,
}

/// The answer of a source.
enum Source<T> {
    /// There is none: the capability has no database.
    Absent,
    /// It did not answer in time.
    Missing,
    Known(T),
}

struct DatabaseFigures {
    lines: Vec<ledger::LedgerLine>,
    dead: u64,
    outbox: u64,
}

struct LogFigures {
    partitions: Vec<PartitionCount>,
    dead: u64,
    /// This life of this node, as the log knows owners.
    host: String,
}

impl<T> Source<T> {
    fn is_missing(&self) -> bool {
        matches!(self, Self::Missing)
    }

    fn known(&self) -> Option<&T> {
        match self {
            Self::Known(figures) => Some(figures),
            Self::Absent | Self::Missing => None,
        }
    }
}

/// Asks the sources of all capabilities of this node that have durable messages, at once.
pub async fn ask(bus: &Bus) -> Vec<DurableFigures> {
    let Some(durable) = bus.durable() else { return Vec::new() };
    let hosts = bus.hosts().iter().filter(|host| host.database().is_some() || host.applies_durable());
    join_all(hosts.map(|host| of_capability(bus, durable, host))).await
}

async fn of_capability(bus: &Bus, durable: &Durable, host: &Host) -> DurableFigures {
    // The database first: what it has counted is acknowledged later, so that a message is seen twice rather than not.
    let database = of_database(host).await;
    let log = match bus.tasks.outages().has(&durable.dependency()) {
        true => Source::Missing,
        false => of_log(durable, &host.name).await,
    };
    let ledger = match (&database, &log) {
        (Source::Known(database), Source::Known(log)) => ledger_lines(&host.name, &database.lines, &log.partitions),
        (Source::Absent, Source::Known(log)) => ledger_lines(&host.name, &[], &log.partitions),
        _ => Vec::new(),
    };
    DurableFigures { capability: host.name.clone(), database, log, ledger }
}

async fn of_database(host: &Host) -> Source<DatabaseFigures> {
    let database = match host.database() {
        Some(database) if database.is_out() => return Source::Missing,
        Some(database) => database,
        None if host.has_started() => return Source::Absent,
        None => return Source::Missing,
    };
    let asked = async {
        let reads = database.reads();
        let lines = ledger::read(reads).await.ok()?;
        let dead = dead::count(reads).await.ok()?.values().sum();
        let outbox = outbox::count(reads, DurableReport::OUTBOX_COUNTED + 1).await.ok()?;
        Some(DatabaseFigures { lines, dead, outbox })
    };
    timeout(LIMIT, asked).await.ok().flatten().map_or(Source::Missing, Source::Known)
}

async fn of_log(durable: &Durable, capability: &str) -> Source<LogFigures> {
    let asked = async {
        let partitions = durable.log.counts(capability).await.ok()?;
        let dead = durable.log.dead_count(capability).await.ok()?;
        Some(LogFigures { partitions, dead, host: durable.host.clone() })
    };
    timeout(LIMIT, asked).await.ok().flatten().map_or(Source::Missing, Source::Known)
}

impl DurableFigures {
    /// Adds what was found, and what was not.
    pub fn add(&self, samples: &mut Samples) {
        let capability = ("capability", &*self.capability);
        for (part, is_missing) in [("database", self.database.is_missing()), ("log", self.log.is_missing())] {
            samples.add(SCRAPE_MISSING, [("part", part), capability], is_missing);
        }
        if let Some(log) = self.log.known() {
            samples.add(DEAD, [capability, ("kept_in", "log")], log.dead);
            for count in &log.partitions {
                let labels = [capability, ("partition", &*count.number.to_string())];
                let owner = count.owner.as_ref().map(|(host, _)| host);
                samples.add(WAITING, labels, count.waiting);
                samples.add(OWNED, labels, owner.is_some());
                samples.add(OWN, labels, owner == Some(&log.host));
            }
        }
        if let Some(database) = self.database.known() {
            samples.add(DEAD, [capability, ("kept_in", "database")], database.dead);
            samples.add(OUTBOX, [capability], database.outbox);
            for line in &database.lines {
                samples.add(PARKED, [capability, ("partition", &*line.fence.partition.to_string())], line.parked);
            }
        }
        for line in &self.ledger {
            add_ledger(samples, line);
        }
    }
}

fn add_ledger(samples: &mut Samples, line: &LedgerLine) {
    let number = line.partition.to_string();
    let [capability, partition] = [("capability", &*line.capability), ("partition", &*number)];
    samples.add(APPENDED, [capability, partition], line.appended.saturating_add_signed(line.before));
    for (fate, count) in
        [("handled", line.handled), ("duplicate", line.duplicates), ("dead", line.dead), ("expired", line.expired)]
    {
        samples.add(FATES, [capability, partition, ("fate", fate)], count);
    }
    samples.add(IN_FLIGHT, [capability, partition], line.waiting + line.parked);
    samples.add(DIFFERENCE, [capability, partition], line.difference());
}

#[cfg(test)]
mod tests {
    use super::super::samples::MetricsFormat;
    use super::*;

    #[test]
    fn what_is_missing_is_said_and_the_rest_is_served() {
        let count = PartitionCount { number: 1, appended: 5, waiting: 2, tally: Default::default(), owner: None };
        let log = LogFigures { partitions: vec![count], dead: 0, host: "a/1".into() };
        let found = DurableFigures {
            capability: "shop".into(),
            database: Source::Missing,
            log: Source::Known(log),
            ledger: Vec::new(),
        };
        let mut samples = Samples::default();
        found.add(&mut samples);
        let text = samples.text(MetricsFormat::Classic).unwrap();
        for line in [
            "essaim_scrape_missing{part=\"database\",capability=\"shop\"} 1",
            "essaim_scrape_missing{part=\"log\",capability=\"shop\"} 0",
            "essaim_durable_waiting_messages{capability=\"shop\",partition=\"1\"} 2",
            "essaim_durable_partition_owned{capability=\"shop\",partition=\"1\"} 0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("essaim_ledger_messages_total{"), "a ledger of which half is missing cannot balance");
    }

    #[test]
    fn the_samples_of_a_line_balance_as_it_does() {
        let mut samples = Samples::default();
        let line = LedgerLine {
            capability: "shop".into(),
            appended: 9,
            before: 2,
            handled: 5,
            duplicates: 1,
            dead: 1,
            waiting: 3,
            parked: 1,
            ..LedgerLine::default()
        };
        add_ledger(&mut samples, &line);
        let text = samples.text(MetricsFormat::Classic).unwrap();
        let sum = |name: &str| -> u64 {
            let lines = text.lines().filter(|line| line.starts_with(name));
            lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
        };
        let accounted = sum("essaim_ledger_messages_total{") + sum("essaim_ledger_in_flight_messages{");
        assert_eq!(accounted, sum("essaim_ledger_appended_messages_total{"));
        assert!(text.contains("essaim_ledger_difference_messages{capability=\"shop\",partition=\"0\"} 0\n"), "{text}");
    }
}
