//! Samples of one scrape, and their two text forms.
//!
//! The crate `prometheus-client` writes all families but the histograms: it has no way to make an exemplar from outside, so these
//! are written here, between what it writes and the end.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use essaim_base::measure::HistogramSnapshot;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::families::{ALL, Family, FamilyKind};
use super::histogram;

/// The text form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsFormat {
    /// OpenMetrics 1.0.0, with exemplars.
    OpenMetrics,
    /// Prometheus' own, version 0.0.4, without exemplars.
    Classic,
}

impl MetricsFormat {
    /// The form that a request's `Accept` header asks for.
    pub fn accepted(accept: Option<&str>) -> Self {
        let asks = |range: &str| {
            let mut parts = range.split(';').map(str::trim);
            let is_named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("application/openmetrics-text"));
            let unwanted = ["q=0", "q=0.0", "q=0.00", "q=0.000"];
            is_named && !parts.any(|parameter| unwanted.contains(&parameter))
        };
        match accept.is_some_and(|accept| accept.split(',').any(asks)) {
            true => Self::OpenMetrics,
            false => Self::Classic,
        }
    }

    /// The `Content-Type` of the answer.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Classic => prometheus_text::CONTENT_TYPE,
        }
    }
}

/// Labels of a sample.
pub type Labels = Vec<(&'static str, String)>;

/// The samples of one scrape, by the names of their families.
#[derive(Debug, Default)]
pub struct Samples {
    numbers: BTreeMap<&'static str, Vec<(Labels, Number)>>,
    histograms: BTreeMap<&'static str, Vec<(Labels, Box<HistogramSnapshot>)>>,
}

/// The value of a sample.
#[derive(Debug, Clone, Copy)]
pub enum Number {
    Whole(u64),
    Signed(i64),
    Real(f64),
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<u32> for Number {
    fn from(value: u32) -> Self {
        Self::Whole(value.into())
    }
}

impl From<usize> for Number {
    fn from(value: usize) -> Self {
        Self::Whole(value as u64)
    }
}

impl From<bool> for Number {
    fn from(value: bool) -> Self {
        Self::Whole(value.into())
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Self::Signed(value)
    }
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl Samples {
    /// Adds a sample. Labels are names that the binary knows, never what comes from outside: so their number is bounded.
    pub fn add<const N: usize>(
        &mut self,
        family: &Family,
        labels: [(&'static str, &str); N],
        value: impl Into<Number>,
    ) {
        debug_assert!(family.kind != FamilyKind::Histogram, "{} is a histogram", family.name);
        let labels = labels.map(|(name, value)| (name, value.to_string())).to_vec();
        self.numbers.entry(family.name).or_default().push((labels, value.into()));
    }

    /// Adds a histogram, unless it is empty: most handlers are never measured, and each would have some forty lines.
    pub fn add_histogram<const N: usize>(
        &mut self,
        family: &Family,
        labels: [(&'static str, &str); N],
        snapshot: HistogramSnapshot,
    ) {
        if snapshot.count() > 0 {
            let labels = labels.map(|(name, value)| (name, value.to_string())).to_vec();
            self.histograms.entry(family.name).or_default().push((labels, Box::new(snapshot)));
        }
    }

    /// Their text.
    ///
    /// # Errors
    /// If a value cannot be written, which no value here can cause.
    pub fn text(self, format: MetricsFormat) -> Result<String, fmt::Error> {
        let histograms = self.histogram_text(format)?;
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut written = String::new();
        match format {
            MetricsFormat::OpenMetrics => text::encode_registry(&mut written, &registry)?,
            MetricsFormat::Classic => prometheus_text::encode(&mut written, &registry)?,
        }
        written.push_str(&histograms);
        if format == MetricsFormat::OpenMetrics {
            text::encode_eof(&mut written)?;
        }
        Ok(written)
    }

    fn histogram_text(&self, format: MetricsFormat) -> Result<String, fmt::Error> {
        let mut written = String::new();
        for family in ALL.iter().filter(|family| family.kind == FamilyKind::Histogram) {
            writeln!(written, "# HELP {name} {}\n# TYPE {name} histogram", family.help, name = family.name)?;
            for (labels, snapshot) in self.histograms.get(family.name).into_iter().flatten() {
                histogram::write(&mut written, family.name, labels, snapshot, format)?;
            }
        }
        Ok(written)
    }
}

impl Collector for Samples {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for family in ALL {
            let kind = match family.kind {
                FamilyKind::Counter => MetricType::Counter,
                FamilyKind::Gauge => MetricType::Gauge,
                FamilyKind::Info => MetricType::Info,
                FamilyKind::Histogram => continue,
            };
            let mut metric = encoder.encode_descriptor(family.name, family.help, None, kind)?;
            for (labels, number) in self.numbers.get(family.name).into_iter().flatten() {
                match family.kind {
                    FamilyKind::Info => metric.encode_info(labels)?,
                    FamilyKind::Counter => count(metric.encode_family(labels)?, *number)?,
                    _ => gauge(metric.encode_family(labels)?, *number)?,
                }
            }
        }
        Ok(())
    }
}

fn count(mut metric: MetricEncoder<'_>, number: Number) -> Result<(), fmt::Error> {
    match number {
        Number::Whole(value) => metric.encode_counter::<NoLabelSet, _, u64>(&value, None),
        Number::Signed(value) => metric.encode_counter::<NoLabelSet, _, u64>(&(value.max(0) as u64), None),
        Number::Real(value) => metric.encode_counter::<NoLabelSet, _, u64>(&value, None),
    }
}

fn gauge(mut metric: MetricEncoder<'_>, number: Number) -> Result<(), fmt::Error> {
    match number {
        Number::Whole(value) => metric.encode_gauge(&value),
        Number::Signed(value) => metric.encode_gauge(&value),
        Number::Real(value) => metric.encode_gauge(&value),
    }
}

#[cfg(test)]
mod tests {
    use super::super::families;
    use super::*;

    #[test]
    fn open_metrics_are_served_to_those_that_ask_for_them() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
        assert_eq!(MetricsFormat::accepted(Some(prometheus)), MetricsFormat::OpenMetrics);
        for other in [None, Some("*/*"), Some("text/plain"), Some("application/openmetrics-text;q=0, text/plain")] {
            assert_eq!(MetricsFormat::accepted(other), MetricsFormat::Classic, "{other:?}");
        }
    }

    #[test]
    fn each_form_has_its_own_names_and_end() {
        let made = || {
            let mut samples = Samples::default();
            samples.add(families::PANICS, [("capability", "a\"b")], 3_u64);
            samples.add(families::BUILD, [("version", "1")], true);
            samples.add(families::DIFFERENCE, [], -2_i64);
            samples
        };
        let open = made().text(MetricsFormat::OpenMetrics).unwrap();
        for line in [
            "# TYPE essaim_capability_panics counter",
            "essaim_capability_panics_total{capability=\"a\\\"b\"} 3",
            "essaim_build_info{version=\"1\"} 1",
            "essaim_ledger_difference_messages -2",
            "# TYPE essaim_message_run_seconds histogram",
        ] {
            assert!(open.lines().any(|l| l == line), "{line} is not in\n{open}");
        }
        assert!(open.ends_with("# EOF\n"));
        let classic = made().text(MetricsFormat::Classic).unwrap();
        assert!(classic.contains("# TYPE essaim_capability_panics_total counter\n"), "{classic}");
        assert!(!classic.contains("# EOF"));
    }
}
