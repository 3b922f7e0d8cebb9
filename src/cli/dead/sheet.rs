//! Dead letters as text: a table, and a sheet for one.

use essaim::api::{DeadLetterDetail, DeadLetterSummary, Payload, moment};

use crate::cli::mark::{doubtful, wrong};
use crate::cli::print::{columns, short};

/// Letters as a table.
pub fn table(letters: &[DeadLetterSummary]) -> String {
    if letters.is_empty() {
        return "no dead letters\n".into();
    }
    let mut rows = vec![["DIED", "CAPABILITY", "MESSAGE", "REASON", "TRIES", "KEY", "ID", "ERROR"].map(String::from)];
    for letter in letters {
        let kept = (letter.kept_by != letter.capability)
            .then(|| format!("{} (kept by {})", letter.capability, letter.kept_by));
        rows.push([
            moment(letter.dead_at_ms),
            kept.unwrap_or_else(|| letter.capability.clone()),
            letter.name.clone(),
            letter.reason.clone(),
            letter.attempts.to_string(),
            letter.key.clone().unwrap_or_else(|| "-".into()) + &held(letter.held),
            letter.id.clone(),
            wrong(&short(letter.error.as_deref().unwrap_or_default())),
        ]);
    }
    columns(&rows)
}

fn held(is_held: bool) -> String {
    if is_held { doubtful(" (held)") } else { String::new() }
}

/// A letter on a sheet of its own.
pub fn sheet(shown: &DeadLetterDetail) -> String {
    let letter = &shown.letter;
    let pretty = |value: &serde_json::Value| serde_json::to_string_pretty(value).unwrap_or_default();
    let (kind, payload) = match &shown.payload {
        Payload::Json(value) => ("payload", pretty(value)),
        Payload::Hidden { bytes } => ("payload", format!("{bytes} bytes that cannot be read, and may hold secrets")),
        Payload::Hex(hex) => ("payload, in hexadecimal", hex.clone()),
        Payload::Beginning { hex, bytes } => ("payload, in hexadecimal", format!("{hex}… ({bytes} bytes in all)")),
    };
    let mut text = String::new();
    for (name, value) in [
        ("id", letter.id.clone()),
        ("capability", letter.capability.clone()),
        ("kept by", letter.kept_by.clone()),
        ("message", letter.name.clone()),
        ("key", letter.key.clone().unwrap_or_else(|| "-".into())),
        ("reason", letter.reason.clone()),
        ("attempts", letter.attempts.to_string()),
        ("error", wrong(letter.error.as_deref().unwrap_or_default())),
        ("sent", moment(letter.sent_at_ms)),
        ("died", moment(letter.dead_at_ms)),
        ("its key", if letter.held { doubtful("waits for it") } else { "goes on".into() }),
        ("trace", letter.trace.clone()),
        ("principal", shown.principal.to_string()),
        ("metadata", shown.metadata.to_string()),
    ] {
        text.push_str(&format!("{name:<10}  {value}\n"));
    }
    format!("{text}{kind}\n{payload}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::mark::painted;

    /// The table as it is where nothing is coloured.
    fn table(letters: &[DeadLetterSummary]) -> String {
        painted(&super::table(letters), false)
    }

    #[test]
    fn the_table_tells_what_died_where_and_why() {
        let letter = DeadLetterSummary {
            id: "nightly/0".into(),
            capability: "billing".into(),
            kept_by: "orders".into(),
            name: "orders.placed.v1".into(),
            key: Some("o-1".into()),
            reason: "full".into(),
            error: Some("no room".into()),
            held: true,
            ..DeadLetterSummary::default()
        };
        let expected = "\
DIED                  CAPABILITY                MESSAGE           REASON  TRIES  KEY         ID         ERROR
1970-01-01T00:00:00Z  billing (kept by orders)  orders.placed.v1  full    0      o-1 (held)  nightly/0  no room
";
        assert_eq!(table(&[letter]), expected);
        assert_eq!(table(&[]), "no dead letters\n");
    }
}
