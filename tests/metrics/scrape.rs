//! An answer of `/metrics`, parsed by Prometheus' own client for Python.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::support::Api;

/// The parsers of both forms; each fails on what Prometheus would refuse.
const PARSE: &str = r#"
import json, sys
if sys.argv[1] == "open":
    from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
else:
    from prometheus_client.parser import text_string_to_metric_families as parse
def vars_of(s):
    exemplar = s.exemplar.labels if s.exemplar else {}
    return {"name": s.name, "labels": s.labels, "value": s.value, "exemplar": exemplar}
families = [[f.name, f.type, [vars_of(s) for s in f.samples]] for f in parse(sys.stdin.read())]
json.dump(families, sys.stdout)
"#;

/// The text form that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// OpenMetrics.
    Open,
    /// Prometheus' own.
    Classic,
}

/// One answer.
#[derive(Debug)]
pub struct Scrape {
    /// The kinds of all families, by their names without `_total` and `_info`.
    pub kinds: BTreeMap<String, String>,
    pub samples: Vec<Sample>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
    /// The labels of its exemplar, if it has one.
    pub exemplar: BTreeMap<String, String>,
}

impl Scrape {
    /// Scrapes what listens there.
    ///
    /// # Panics
    /// If there is no answer, or Prometheus' client cannot read it.
    #[track_caller]
    pub fn of(admin: &Api, form: Form) -> Self {
        let accept = match form {
            Form::Open => "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
            Form::Classic => "text/plain;version=0.0.4",
        };
        let answer = admin.with("Accept", accept).get("/metrics").is(200);
        let content = answer.header("content-type").unwrap_or_default().to_string();
        match form {
            Form::Open => {
                assert_eq!(content, "application/openmetrics-text; version=1.0.0; charset=utf-8");
                assert!(answer.text.ends_with("# EOF\n"));
            }
            Form::Classic => {
                assert_eq!(content, "text/plain; version=0.0.4; charset=utf-8");
                assert!(!answer.text.contains("# EOF") && !answer.text.contains("trace_id"));
            }
        }
        Self::parsed(&answer.text, form)
    }

    #[track_caller]
    fn parsed(text: &str, form: Form) -> Self {
        // Debian's packages are those of Debian's own Python, whichever one is first on the path.
        let mut command = Command::new("/usr/bin/python3");
        command.args(["-c", PARSE, if form == Form::Open { "open" } else { "classic" }]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut python = command.spawn().expect("there is python3; on Debian: apt-get install python3");
        python.stdin.take().expect("it was piped").write_all(text.as_bytes()).expect("it reads");
        let output = python.wait_with_output().expect("it ends");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "is python3-prometheus-client installed? {error}\n{text}");
        let families: Vec<(String, String, Vec<Sample>)> =
            serde_json::from_slice(&output.stdout).expect("it prints JSON");
        let mut scrape = Self { kinds: BTreeMap::new(), samples: Vec::new() };
        for (name, kind, samples) in families {
            scrape.samples.extend(samples);
            scrape.kinds.insert(name, kind);
        }
        scrape
    }

    /// The samples of this name that have these labels.
    pub fn all<'a>(&'a self, name: &'a str, labels: &'a [(&str, &str)]) -> impl Iterator<Item = &'a Sample> {
        let has =
            |sample: &Sample| labels.iter().all(|(name, value)| sample.labels.get(*name).is_some_and(|v| v == value));
        self.samples.iter().filter(move |sample| sample.name == name && has(sample))
    }

    /// Their sum.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.all(name, labels).map(|sample| sample.value).sum()
    }

    /// The only one.
    ///
    /// # Panics
    /// If there is none, or another one.
    #[track_caller]
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let found: Vec<_> = self.all(name, labels).collect();
        assert!(found.len() == 1, "{} samples of {name} have {labels:?}", found.len());
        found[0].value
    }

    /// The values of a label of a name's samples.
    pub fn values_of(&self, name: &str, label: &str) -> BTreeSet<String> {
        self.all(name, &[]).filter_map(|sample| sample.labels.get(label).cloned()).collect()
    }

    /// What tells the samples apart: their names and labels.
    pub fn series(&self) -> BTreeSet<String> {
        self.samples.iter().map(|sample| format!("{} {:?}", sample.name, sample.labels)).collect()
    }
}
