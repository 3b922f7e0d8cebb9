//! The task that sends a node's records to a receiver.
//!
//! It reads the node's rings, which are its queue: what it has not sent when a ring needs the place is counted as missed. So a
//! receiver that is away or slow costs no memory, and no handler waits for it.

use std::sync::Arc;
use std::time::Duration;

use essaim_base::Backoff;
use essaim_base::Env;
use essaim_base::outages::{Dependency, Outages};
use essaim_base::task::{TaskName, Tasks};
use essaim_config::OtlpConfig;
use essaim_trace::{Cursor, Filter, Recorder};
use tokio::sync::Mutex;

use crate::receiver::{OtlpError, Receiver, SendError};
use crate::request;

/// The export of one node's records.
pub struct Exporter {
    config: OtlpConfig,
    env: Env,
    recorder: Arc<Recorder>,
    receiver: Receiver,
    outages: Outages,
    position: Mutex<Position>,
}

/// How far the records were read.
struct Position {
    next: Cursor,
    /// Of the records that are gone behind `next`, how many were counted as missed.
    missed: u64,
}

impl Exporter {
    /// Begins to export what is recorded from now on. Must be called on the node's control thread.
    ///
    /// # Errors
    /// If the configuration names no receiver that there could be.
    pub fn start(
        config: &OtlpConfig,
        env: &Env,
        recorder: &Arc<Recorder>,
        tasks: &Tasks,
    ) -> Result<Arc<Self>, OtlpError> {
        let exporter = Arc::new(Self {
            receiver: Receiver::of(config)?,
            config: config.clone(),
            env: env.clone(),
            recorder: recorder.clone(),
            outages: tasks.outages().clone(),
            position: Mutex::new(Position { next: recorder.end(), missed: 0 }),
        });
        recorder.exports().begin();
        let running = Arc::downgrade(&exporter);
        tasks.restarted(TaskName::of_node("export"), move || {
            let running = running.clone();
            async move {
                let mut failures = 0;
                while let Some(pause) = running.upgrade().map(|exporter| exporter.pause(failures)) {
                    tokio::time::sleep(pause).await;
                    let Some(exporter) = running.upgrade() else { return };
                    failures = if exporter.export().await { 0 } else { failures + 1 };
                }
            }
        });
        Ok(exporter)
    }

    /// Checks that there can be the receiver that the configuration names. Must be called inside a runtime.
    ///
    /// # Errors
    /// If there can be none.
    pub fn check(config: &OtlpConfig) -> Result<(), OtlpError> {
        Receiver::of(config).map(drop)
    }

    /// The pause before the next export, after so many failures.
    fn pause(&self, failures: u32) -> Duration {
        let first = Duration::from_millis(self.config.interval_ms);
        match failures {
            0 => first,
            _ => Backoff { first, most: Duration::from_millis(self.config.backoff_most_ms) }.delay(failures, &self.env),
        }
    }

    /// Sends what is left, for a node that ends; waits no longer than the configuration allows.
    pub async fn flush(&self) {
        let limit = Duration::from_millis(self.config.flush_ms);
        if tokio::time::timeout(limit, self.export()).await.is_err() {
            tracing::warn!(flush_ms = self.config.flush_ms, "not all message records were exported in time");
        }
    }

    /// Sends all records up to now, in batches. Returns whether the receiver took them.
    async fn export(&self) -> bool {
        // The task and a flush take turns.
        let mut position = self.position.lock().await;
        let end = self.recorder.end();
        while position.next != end {
            match self.export_batch(&mut position).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    self.outages.begin(Dependency::span_receiver(), format!("{}: {error}", self.config.endpoint));
                    return false;
                }
            }
        }
        true
    }

    /// Sends the next batch. Returns whether there may be more.
    async fn export_batch(&self, position: &mut Position) -> Result<bool, SendError> {
        let (counts, most) = (self.recorder.exports(), self.config.batch_spans as usize);
        let page = self.recorder.page(&position.next, &Filter::default(), most);
        counts.add_missed(page.missed.saturating_sub(position.missed));
        // After a panic the export goes on behind the records that it was about.
        let before = std::mem::replace(position, Position { next: page.next, missed: 0 });
        if page.records.is_empty() {
            return Ok(false);
        }
        let spans = page.records.len() as u64;
        let request = request::of_records(&self.config, &page.records);
        let sent = self.receiver.send(request).await;
        match &sent {
            Ok(refused) => {
                counts.add_exported(spans.saturating_sub(*refused));
                counts.add_refused(*refused);
                self.outages.end(&Dependency::span_receiver());
            }
            Err(error) => {
                counts.add_failure();
                match error {
                    SendError::Away(_) => *position = Position { next: before.next, missed: page.missed },
                    SendError::Refused(_) => counts.add_refused(spans),
                }
            }
        }
        sent.map(|_| spans as usize == most)
    }
}

#[cfg(test)]
mod tests {
    use essaim_config::{OtlpProtocol, TraceConfig};
    use essaim_trace::{ExportFigures, MessageKind};

    use super::*;
    use crate::span::tests::handled;

    #[tokio::test]
    async fn what_is_overwritten_while_the_receiver_is_away_is_missed_once() {
        let record = || handled(MessageKind::Ask);
        let ring_bytes = 10 * record().footprint() as u64;
        let (env, tasks) = (Env::system(), Tasks::without_node());
        let recorder = Recorder::new("a", &TraceConfig { ring_bytes, ..TraceConfig::default() }, &env, 1);
        recorder.write(record());
        // Nobody listens at port 1; the task's own first export would come after the test.
        let config = OtlpConfig {
            endpoint: "http://127.0.0.1:1".into(),
            protocol: OtlpProtocol::Http,
            interval_ms: 600_000,
            ..OtlpConfig::default()
        };
        let started = async { Exporter::start(&config, &env, &recorder, &tasks) };
        let here = tokio::task::LocalSet::new();
        let exporter = here.run_until(started).await.expect("there may be such a receiver");
        assert!(exporter.export().await, "what was recorded before is not its affair");
        (0..15).for_each(|_| recorder.write(record()));
        assert!(!exporter.export().await && !exporter.export().await);
        (0..3).for_each(|_| recorder.write(record()));
        assert!(!exporter.export().await);
        let expected = ExportFigures { exported: 0, missed: 8, refused: 0, failures: 3 };
        assert_eq!(recorder.exports().figures(), Some(expected));
        let outages = tasks.outages().status();
        assert!(outages.len() == 1 && !outages[0].is_needed, "{outages:?}");
        assert!(outages[0].cause.contains("127.0.0.1:1") && outages[0].cause.contains("refused"), "{outages:?}");
    }
}
