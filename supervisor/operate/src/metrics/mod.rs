//! Metrics: what a node counts, in the text forms of Prometheus, for `/metrics` of the admin listener. docs/metrics.md explains
//! each family.
//!
//! Most numbers are read from where the node counts them anyway. Those of durable messages have to be asked of databases and the
//! log: they are asked for at a scrape, not more often than every few seconds, and never waited for long.
//!
//! # Layout
//! - [`families`]: all families; `samples`: the samples of one scrape and their text; `histogram`: that of histograms.
//! - `node`, `capabilities`, `process`: what is counted in this process; `durable`: what has to be asked for.

mod capabilities;
mod durable;
mod families;
mod histogram;
mod node;
mod process;
mod samples;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use essaim_core::node::bus::Bus;
use tokio::sync::Mutex;
use tokio::time::Instant;

use self::durable::DurableFigures;
pub(crate) use self::samples::MetricsFormat;
use self::samples::Samples;

/// What was asked for is served again for so long, so that several scrapers cost little more than one.
const REUSED_FOR: Duration = Duration::from_secs(3);

/// The metrics of one node. Cheap to clone; clones share what was asked for.
#[derive(Clone)]
pub(crate) struct Metrics {
    last: Arc<Mutex<Option<Asked>>>,
    reused_for: Duration,
}

/// What databases and the log told last.
struct Asked {
    at: Instant,
    figures: Arc<Vec<DurableFigures>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::reusing_for(REUSED_FOR)
    }
}

impl Metrics {
    /// Metrics that serve again for so long what was asked for.
    pub fn reusing_for(reused_for: Duration) -> Self {
        Self { last: Arc::default(), reused_for }
    }

    /// The metrics now; without a bus those of a node that has not joined the others yet.
    ///
    /// # Errors
    /// If a value cannot be written, which no value here can cause.
    pub async fn text(&self, bus: Option<&Bus>, format: MetricsFormat) -> Result<String, fmt::Error> {
        let mut samples = Samples::default();
        match bus {
            None => node::add_starting(&mut samples),
            Some(bus) => {
                let asked = self.asked(bus).await;
                node::add(&mut samples, bus);
                bus.hosts().iter().for_each(|host| capabilities::add(&mut samples, host));
                capabilities::add_not_delivered(&mut samples, bus);
                asked.iter().for_each(|figures| figures.add(&mut samples));
            }
        }
        process::add(&mut samples);
        samples.text(format)
    }

    /// What databases and the log tell, asked for by one scraper at a time.
    async fn asked(&self, bus: &Bus) -> Arc<Vec<DurableFigures>> {
        let mut last = self.last.lock().await;
        let now = bus.env.now();
        if let Some(asked) = last.as_ref().filter(|asked| now.saturating_duration_since(asked.at) < self.reused_for) {
            return asked.figures.clone();
        }
        let figures = Arc::new(durable::ask(bus).await);
        *last = Some(Asked { at: bus.env.now(), figures: figures.clone() });
        figures
    }
}
