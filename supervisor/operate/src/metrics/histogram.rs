//! The text of a histogram, with the exemplars of its buckets.

use std::fmt::{self, Write};

use essaim_base::measure::{BOUNDS_NANOS, HistogramSnapshot};

use super::samples::{Labels, MetricsFormat};

/// Writes the samples of one histogram, as both text forms have them; only OpenMetrics knows exemplars.
pub fn write(
    out: &mut String,
    name: &str,
    labels: &Labels,
    snapshot: &HistogramSnapshot,
    format: MetricsFormat,
) -> fmt::Result {
    let labels = text_of(labels)?;
    let comma = if labels.is_empty() { "" } else { "," };
    let mut so_far = 0;
    for (bucket, count) in snapshot.counts.iter().enumerate() {
        so_far += count;
        write!(out, "{name}_bucket{{{labels}{comma}le=\"{}\"}} {so_far}", bound(bucket))?;
        if let Some(exemplar) = &snapshot.exemplars[bucket]
            && format == MetricsFormat::OpenMetrics
        {
            let (trace, span, value) = (exemplar.trace_id, exemplar.span_id, exemplar.value.as_secs_f64());
            write!(out, " # {{trace_id=\"{trace:032x}\",span_id=\"{span:016x}\"}} {value}")?;
        }
        out.push('\n');
    }
    let (open, close) = if labels.is_empty() { ("", "") } else { ("{", "}") };
    writeln!(out, "{name}_sum{open}{labels}{close} {}", snapshot.sum.as_secs_f64())?;
    writeln!(out, "{name}_count{open}{labels}{close} {so_far}")
}

/// The upper bound of a bucket in seconds, in the canonical form of numbers of both texts: `5e-06`, `0.0025`, `1.0`.
fn bound(bucket: usize) -> String {
    let seconds = |nanos: &u64| format!("{:?}", *nanos as f64 / 1e9).replace("e-", "e-0");
    BOUNDS_NANOS.get(bucket).map_or_else(|| "+Inf".into(), seconds)
}

fn text_of(labels: &Labels) -> Result<String, fmt::Error> {
    let mut text = String::new();
    for (name, value) in labels {
        let comma = if text.is_empty() { "" } else { "," };
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        write!(text, "{comma}{name}=\"{value}\"")?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use essaim_base::measure::{HandlerMeasures, Outcome};
    use essaim_base::trace::TraceContext;

    use super::*;

    #[test]
    fn buckets_add_up_and_their_exemplars_are_in_one_form_alone() {
        let measures = HandlerMeasures::default();
        let trace: TraceContext = "00-00000000000000000000000000000abc-000000000000000d-01".parse().unwrap();
        for (ms, exemplar) in [(3, Some(&trace)), (4, None), (60_000, None)] {
            measures.ended(Outcome::Ok, None, Some(Duration::from_millis(ms)), exemplar);
        }
        let labels = vec![("message", "a.b.v1".to_string())];
        let text = |format| {
            let mut text = String::new();
            write(&mut text, "x_seconds", &labels, &measures.ran(), format).unwrap();
            text
        };
        let open = text(MetricsFormat::OpenMetrics);
        let exemplar = "# {trace_id=\"00000000000000000000000000000abc\",span_id=\"000000000000000d\"} 0.003";
        for line in [
            "x_seconds_bucket{message=\"a.b.v1\",le=\"5e-06\"} 0".to_string(),
            "x_seconds_bucket{message=\"a.b.v1\",le=\"0.0025\"} 0".to_string(),
            format!("x_seconds_bucket{{message=\"a.b.v1\",le=\"0.005\"}} 2 {exemplar}"),
            "x_seconds_bucket{message=\"a.b.v1\",le=\"1.0\"} 2".to_string(),
            "x_seconds_bucket{message=\"a.b.v1\",le=\"+Inf\"} 3".to_string(),
            "x_seconds_sum{message=\"a.b.v1\"} 60.007".to_string(),
            "x_seconds_count{message=\"a.b.v1\"} 3".to_string(),
        ] {
            assert!(open.lines().any(|l| l == line), "{line} is not in\n{open}");
        }
        assert!(!text(MetricsFormat::Classic).contains('#'));
    }
}
