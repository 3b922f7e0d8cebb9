//! Answers, made comparable between runs and between shapes of deployment.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::support::{Answer, repository};

/// The answers so far.
pub struct Transcript {
    steps: Vec<Value>,
    /// Identities in the order in which they first came up.
    identities: BTreeMap<String, usize>,
}

impl Transcript {
    pub fn new() -> Self {
        Self { steps: Vec::new(), identities: BTreeMap::new() }
    }

    /// Notes an answer.
    pub fn note(&mut self, step: &str, answer: &Answer) {
        let body = self.comparable("", &answer.body);
        self.steps.push(json!({ "step": step, "status": answer.status, "body": body }));
    }

    /// Fails unless the file says the same. With `ESSAIM_BLESS=1` the file is written instead.
    #[track_caller]
    pub fn compare(&self, file: &str) {
        let told = serde_json::to_string_pretty(&self.steps).expect("a value can be written") + "\n";
        let path = repository().join(file);
        if std::env::var_os("ESSAIM_BLESS").is_some() {
            std::fs::write(&path, told).expect("the golden file can be written");
            return;
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        let differs = golden.lines().zip(told.lines()).position(|(a, b)| a != b);
        let line = differs.unwrap_or(golden.lines().count().min(told.lines().count()));
        let around = |text: &str| text.lines().skip(line.saturating_sub(8)).take(16).collect::<Vec<_>>().join("\n");
        assert!(
            golden == told,
            "the story differs from {file} at line {} (ESSAIM_BLESS=1 accepts it)\n--- expected\n{}\n--- told\n{}",
            line + 1,
            around(&golden),
            around(&told),
        );
    }

    /// The value with identities, times and secrets replaced.
    fn comparable(&mut self, key: &str, value: &Value) -> Value {
        match value {
            Value::Object(fields) => {
                let fields = fields.iter().map(|(key, value)| (key.clone(), self.comparable(key, value)));
                Value::Object(fields.collect::<Map<_, _>>())
            }
            Value::Array(items) => items.iter().map(|item| self.comparable(key, item)).collect(),
            Value::String(text) => match key {
                "access_token" | "refresh_token" => "<a token>".into(),
                "trace_id" => "<a trace>".into(),
                _ if is_moment(text) => "<a moment>".into(),
                _ => self.without_identities(text).into(),
            },
            other => other.clone(),
        }
    }

    /// The text with `<id 1>` in place of the first identity that ever came up, and so on.
    fn without_identities(&mut self, text: &str) -> String {
        let (mut told, mut rest) = (String::new(), text);
        while let Some(c) = rest.chars().next() {
            let length = match rest.get(..36) {
                Some(id) if is_uuid(id) => {
                    let next = self.identities.len() + 1;
                    let number = *self.identities.entry(id.to_string()).or_insert(next);
                    told.push_str(&format!("<id {number}>"));
                    36
                }
                _ => {
                    told.push(c);
                    c.len_utf8()
                }
            };
            rest = &rest[length..];
        }
        told
    }
}

fn is_uuid(text: &str) -> bool {
    text.bytes().enumerate().all(|(at, b)| match at {
        8 | 13 | 18 | 23 => b == b'-',
        _ => b.is_ascii_hexdigit(),
    })
}

/// Whether a text is a time in UTC with milliseconds, as RFC 3339 writes it.
fn is_moment(text: &str) -> bool {
    let form = "dddd-dd-ddTdd:dd:dd.dddZ";
    text.len() == form.len()
        && text.bytes().zip(form.bytes()).all(|(b, f)| if f == b'd' { b.is_ascii_digit() } else { b == f })
}

#[test]
fn identities_times_and_secrets_are_replaced_and_the_rest_stays() {
    let (a, b) = ("01890a5d-ac96-774b-bcce-b302099a8057", "01890a5d-ac96-774b-bcce-b302099a8058");
    let mut transcript = Transcript::new();
    let told = transcript.comparable(
        "",
        &json!({ "a": a, "at": "2026-11-21T20:00:00.123Z", "access_token": "x", "b": [b, a, 3], "c": format!("no {b}!") }),
    );
    let expected = json!({
        "a": "<id 1>", "at": "<a moment>", "access_token": "<a token>", "b": ["<id 2>", "<id 1>", 3], "c": "no <id 2>!"
    });
    assert_eq!(told, expected);
}
