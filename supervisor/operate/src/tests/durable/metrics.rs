//! Metrics of a whole node: messages with their times and exemplars, the ledger, and what two scrapers cost.

use essaim_base::measure::Outcome;
use essaim_base::trace::TraceContext;

use super::*;
use crate::metrics::{Metrics, MetricsFormat};

async fn scraped(t: &Stage, metrics: &Metrics) -> String {
    t.run(metrics.text(Some(t.node.bus()), MetricsFormat::OpenMetrics)).await.unwrap()
}

#[track_caller]
fn has(text: &str, line: &str) {
    assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
}

#[tokio::test]
async fn measured_messages_are_told_by_outcome_and_time_with_an_exemplar() {
    let t = Stage::start(&["shop"], |_| {}).await;
    let host = t.node.bus().host("shop").unwrap();
    let entry = host.entries().iter().find(|entry| &**entry.name() == "shop.note.v1").unwrap();
    let measures = &entry.info().measures;
    let trace: TraceContext = "00-00000000000000000000000000000abc-000000000000000d-01".parse().unwrap();
    let (waited, ran) = (Duration::from_micros(40), Duration::from_millis(2));
    measures.ended(Outcome::Failed, Some(waited), Some(ran), Some(&trace));
    let text = scraped(&t, &Metrics::default()).await;
    let of = "capability=\"shop\",message=\"shop.note.v1\"";
    has(&text, &format!("essaim_messages_total{{{of},outcome=\"failed\"}} 1"));
    assert!(!text.contains(&format!("{{{of},outcome=\"not_delivered\"}}")), "the log keeps it until it is");
    has(&text, &format!("essaim_messages_total{{{of},outcome=\"ok\"}} 0"));
    has(&text, &format!("essaim_message_wait_seconds_count{{{of}}} 1"));
    let exemplar = "# {trace_id=\"00000000000000000000000000000abc\",span_id=\"000000000000000d\"} 0.002";
    has(&text, &format!("essaim_message_run_seconds_bucket{{{of},le=\"0.0025\"}} 1 {exemplar}"));
    assert!(!text.contains("message=\"shop.tick\""), "it has no timers");
}

#[tokio::test]
async fn asks_that_are_not_delivered_are_counted_where_they_were_asked() {
    let t = Stage::start(&["shop"], |_| {}).await;
    let not_delivered = |text: &str, capability: &str, message: &str| {
        let of =
            format!("{{capability=\"{capability}\",message=\"{capability}.{message}.v1\",outcome=\"not_delivered\"}} ");
        let line = text.lines().find(|line| line.contains(&of));
        line.map(|line| line.rsplit_once(' ').expect("it has a value").1.to_string())
    };
    // Nobody hosts `press`; what may be asked of `shop` was not.
    for asked in 0..3 {
        let text = scraped(&t, &Metrics::default()).await;
        let known = (asked > 0).then(|| asked.to_string());
        assert_eq!(not_delivered(&text, "press", "print_now"), known, "{text}");
        assert!(t.run(t.client().ask(backfill::PrintNow { word: "one".into() })).await.is_err());
    }
}

#[tokio::test]
async fn scrapers_that_come_soon_get_what_was_asked_for_before() {
    let t = Stage::start(&["shop"], |_| {}).await;
    let appended = |text: &str| {
        let lines = text.lines().filter(|line| line.starts_with("essaim_ledger_appended_messages_total{"));
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum::<u64>()
    };
    let sharing = Metrics::reusing_for(Duration::from_secs(3_600));
    assert_eq!(appended(&scraped(&t, &sharing).await), 0);
    t.note("a", "one").await;
    t.at_rest("shop").await;
    assert_eq!(appended(&scraped(&t, &sharing.clone()).await), 0, "neither database nor log was asked again");
    assert_eq!(appended(&scraped(&t, &Metrics::default()).await), 1);
}

#[tokio::test]
async fn a_node_that_has_not_joined_tells_that_it_is_not_ready() {
    let text = Metrics::default().text(None, MetricsFormat::Classic).await.unwrap();
    has(&text, "essaim_ready 0");
    has(&text, "# TYPE essaim_messages_total counter");
    assert!(text.contains("\nprocess_resident_memory_bytes "), "{text}");
}
