//! What is counted of the export of a node's records.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Counts of the export of one node's records.
#[derive(Debug, Default)]
pub struct ExportCounts {
    is_on: AtomicBool,
    exported: AtomicU64,
    missed: AtomicU64,
    refused: AtomicU64,
    failures: AtomicU64,
}

/// The counts at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportFigures {
    /// Records that the receiver has taken.
    pub exported: u64,
    /// Records that were gone before they were exported.
    pub missed: u64,
    /// Records that the receiver has refused for good.
    pub refused: u64,
    /// Exports that failed.
    pub failures: u64,
}

impl ExportCounts {
    /// Records are exported from now on.
    pub fn begin(&self) {
        self.is_on.store(true, Ordering::Relaxed);
    }

    pub fn add_exported(&self, records: u64) {
        self.exported.fetch_add(records, Ordering::Relaxed);
    }

    pub fn add_missed(&self, records: u64) {
        self.missed.fetch_add(records, Ordering::Relaxed);
    }

    pub fn add_refused(&self, records: u64) {
        self.refused.fetch_add(records, Ordering::Relaxed);
    }

    pub fn add_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// The counts now; `None` where nothing is exported.
    pub fn figures(&self) -> Option<ExportFigures> {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        self.is_on.load(Ordering::Relaxed).then(|| ExportFigures {
            exported: count(&self.exported),
            missed: count(&self.missed),
            refused: count(&self.refused),
            failures: count(&self.failures),
        })
    }
}
