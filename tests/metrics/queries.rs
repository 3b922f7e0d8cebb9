//! The dashboard and the alerts: each metric and label that their queries name is one that nodes serve.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use super::scrape::{Form, Scrape};
use crate::support::{Cluster, repository};

/// What a query names.
#[derive(Debug, Default, PartialEq, Eq)]
struct Names {
    metrics: BTreeSet<String>,
    labels: BTreeSet<String>,
}

/// Words of PromQL that are followed by a list of labels, and those that stand alone.
const BEFORE_LABELS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
const ALONE: [&str; 5] = ["and", "or", "unless", "bool", "offset"];

/// The names in a query.
fn names_in(query: &str) -> Names {
    let mut names = Names::default();
    let mut rest = query;
    while let Some(first) = rest.chars().next() {
        let word =
            rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).next().unwrap_or_default();
        let skipped = match first {
            '{' => {
                let end = closing(rest, '}');
                names.labels.extend(labels_of_matchers(&rest[1..end]));
                end + 1
            }
            '[' => closing(rest, ']') + 1,
            '"' => closing(&rest[1..], '"') + 2,
            _ if first.is_ascii_digit() => word.len(),
            _ if word.is_empty() => first.len_utf8(),
            _ if BEFORE_LABELS.contains(&word) => {
                let end = closing(rest, ')');
                let list = rest[word.len()..end].trim_start().trim_start_matches('(');
                names.labels.extend(list.split(',').map(|l| l.trim().to_string()).filter(|l| !l.is_empty()));
                end + 1
            }
            _ => {
                let behind = rest[word.len()..].trim_start();
                // `sum(…)`, and `sum by (…) (…)`.
                let is_function = ["(", "by ", "by(", "without"].iter().any(|start| behind.starts_with(start));
                if !is_function && !ALONE.contains(&word) {
                    names.metrics.insert(word.to_string());
                }
                word.len()
            }
        };
        rest = &rest[skipped.min(rest.len())..];
    }
    names
}

/// Where the next such character is, outside of strings.
fn closing(text: &str, end: char) -> usize {
    let mut quoted = false;
    for (at, c) in text.char_indices() {
        if c == end && !quoted {
            return at;
        }
        quoted ^= c == '"' && end != '"';
    }
    panic!("`{text}` has no {end}");
}

fn labels_of_matchers(matchers: &str) -> Vec<String> {
    // What stands between strings: `name=`, `,name=~`, and so on.
    let between = matchers.split('"').step_by(2).map(|part| part.trim_matches([',', ' ', '=', '~', '!']));
    between.filter(|name| !name.is_empty()).map(str::to_string).collect()
}

/// The queries of the rules, which are single lines or folded ones.
fn rules() -> Vec<String> {
    let text = std::fs::read_to_string(repository().join("deploy/prometheus/alerts.yml")).expect("there are rules");
    let (mut queries, mut lines) = (Vec::new(), text.lines().peekable());
    while let Some(line) = lines.next() {
        let depth = line.len() - line.trim_start().len();
        let Some(query) = line.trim_start().strip_prefix("expr:") else { continue };
        let mut query = query.trim().trim_start_matches(">-").to_string();
        while let Some(more) = lines.next_if(|next| next.len() - next.trim_start().len() > depth) {
            query = format!("{query} {}", more.trim());
        }
        queries.push(query);
    }
    queries
}

/// The queries of the dashboard, and the metrics and labels of its variables as queries.
fn dashboard() -> Vec<String> {
    let path = repository().join("deploy/grafana/essaim.json");
    let text = std::fs::read_to_string(path).expect("there is a dashboard");
    let dashboard: Value = serde_json::from_str(&text).expect("it is JSON");
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut queries = Vec::new();
    for panel in list(&dashboard["panels"]) {
        queries.extend(list(&panel["targets"]).iter().filter_map(|t| t["expr"].as_str().map(str::to_string)));
    }
    for variable in list(&dashboard["templating"]["list"]) {
        let query = variable["query"]["query"].as_str().and_then(|q| q.strip_prefix("label_values("));
        let Some((metric, label)) = query.and_then(|query| query.trim_end_matches(')').rsplit_once(',')) else {
            continue;
        };
        queries.push(format!("max by ({label}) ({metric})"));
    }
    queries
}

/// The labels that docs/metrics.md lists, and those that Prometheus adds.
fn known_labels() -> BTreeSet<String> {
    let text = std::fs::read_to_string(repository().join("docs/metrics.md")).expect("metrics are documented");
    let column = |line: &str| line.strip_prefix("| `")?.split('|').nth(2).map(str::to_string);
    let documented = text.lines().filter_map(column);
    let named =
        documented.flat_map(|labels| labels.split('`').skip(1).step_by(2).map(str::to_string).collect::<Vec<_>>());
    named.chain(["job", "instance", "le"].map(str::to_string)).collect()
}

/// The names of samples that a node serves, and those that Prometheus makes at each scrape.
fn served(scrape: &Scrape) -> BTreeSet<String> {
    let of_family = |(name, kind): (&String, &String)| match kind.as_str() {
        "counter" => vec![format!("{name}_total")],
        "histogram" => ["bucket", "sum", "count"].map(|suffix| format!("{name}_{suffix}")).to_vec(),
        "info" => vec![format!("{name}_info")],
        _ => vec![name.clone()],
    };
    scrape.kinds.iter().flat_map(of_family).chain(["up".to_string()]).collect()
}

/// What these queries name and nobody serves.
fn unknown(queries: &[String], metrics: &BTreeSet<String>, labels: &BTreeSet<String>) -> Vec<String> {
    let mut unknown = Vec::new();
    for query in queries {
        let names = names_in(query);
        let wrong = names.metrics.difference(metrics).chain(names.labels.difference(labels));
        unknown.extend(wrong.map(|name| format!("`{name}` in {query}")));
    }
    unknown
}

#[test]
fn dashboard_and_alerts_name_what_a_node_serves() {
    let mut cluster = Cluster::single().start();
    let scrape = Scrape::of(&cluster.node("main").admin(), Form::Open);
    let (metrics, labels) = (served(&scrape), known_labels());
    let (rules, dashboard) = (rules(), dashboard());
    assert!(rules.len() > 20 && dashboard.len() > 40, "{} rules, {} queries", rules.len(), dashboard.len());
    assert_eq!(unknown(&[rules, dashboard].concat(), &metrics, &labels), [""; 0]);
    // A label that is served and not documented would be wrong in queries, too.
    let served: BTreeSet<_> = scrape.samples.iter().flat_map(|sample| sample.labels.keys().cloned()).collect();
    assert!(served.is_subset(&labels), "{served:?} are not all in {labels:?}");
    cluster.stop();
}

#[test]
fn a_name_that_nobody_serves_is_found() {
    let known = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<BTreeSet<_>>();
    let (metrics, labels) = (known(&["a_total", "b", "up"]), known(&["x", "le"]));
    let found = |query: &str| {
        let names: Vec<_> = unknown(&[query.to_string()], &metrics, &labels);
        names.iter().map(|name| name.split('`').nth(1).unwrap_or_default().to_string()).collect::<Vec<_>>()
    };
    let good = "histogram_quantile(0.99, sum by (le, x) (rate(a_total{x=~\"y|z{}\",x!=\"\"}[5m]))) > 1e3 and on () b offset 10m == 0";
    assert_eq!(found(good), [""; 0]);
    assert_eq!(found("rate(a_totl[5m]) / b"), ["a_totl"]);
    assert_eq!(found("sum by (x, yy) (b{zz=\"1\"}) unless up{x=\"a_total\"}"), ["yy", "zz"]);
}

#[test]
fn promtool_takes_the_rules_and_they_fire_when_they_should() {
    for arguments in [["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]] {
        let mut promtool = Command::new("promtool");
        promtool.args(arguments).current_dir(repository().join("deploy/prometheus"));
        let output = promtool.output().expect("there is promtool; on Debian: apt-get install prometheus");
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "promtool {arguments:?}: {said}");
    }
}
