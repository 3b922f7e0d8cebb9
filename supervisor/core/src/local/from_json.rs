//! JSON that people write becomes the bytes of a message, once it was read as the message's type.

use std::fmt::Write;

use essaim_base::codec;
use essaim_base::objects::FromObjects;
use essaim_contract::Message;
use serde_json::Deserializer;

/// A message in the form in which it travels, whose sender does not have its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedMessage {
    pub body: Vec<u8>,
    pub key: Option<String>,
}

/// Fields of which nothing is known that a mistake names at most.
const MOST_NAMED: usize = 5;

/// Reads JSON as a message of this type.
///
/// # Errors
/// What is wrong with it, and where: in words for who wrote it, which may repeat what is in it.
pub fn encode<M: Message>(json: &str) -> Result<EncodedMessage, String> {
    // Bounded by `MOST_NAMED`.
    let (mut track, mut unknown) = (serde_path_to_error::Track::new(), Vec::new());
    let mut reader = Deserializer::from_str(json);
    let tracked = serde_path_to_error::Deserializer::new(&mut reader, &mut track);
    let read = serde_ignored::deserialize(tracked, |path| {
        if unknown.len() < MOST_NAMED {
            unknown.push(path.to_string());
        }
    });
    let FromObjects::<M>(message) =
        read.map_err(|error: serde_json::Error| mistake(&error, &track.path().to_string()))?;
    reader.end().map_err(|error| mistake(&error, "."))?;
    if !unknown.is_empty() {
        let several = if unknown.len() == 1 { "" } else { "s" };
        return Err(format!("it has no field{several} `{}`", unknown.join("`, `")));
    }
    let body = codec::encode(&message).map_err(|error| format!("it cannot be encoded: {error}"))?;
    Ok(EncodedMessage { body, key: message.key().map(|key| key.into_owned()) })
}

/// An encoded message as the JSON that its type has, with ids as text that travel as bytes; `None` if it is none of this type.
pub fn show<M: Message>(body: &[u8]) -> Option<serde_json::Value> {
    serde_json::to_value(codec::decode::<M>(body).ok()?).ok()
}

fn mistake(error: &serde_json::Error, path: &str) -> String {
    let mut words = String::new();
    if !error.is_data() {
        words.push_str("it is no JSON: ");
    } else if path != "." {
        // Writing to a string cannot fail.
        let _ = write!(words, "`{path}`: ");
    }
    words + &error.to_string()
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use essaim_contract::Capability;
    use serde::{Deserialize, Serialize};

    use super::*;

    struct Shop;
    impl Capability for Shop {
        const NAME: &'static str = "shop";
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Sell {
        to: String,
        lines: Vec<Line>,
        note: Option<String>,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Line {
        quantity: u32,
    }

    impl Message for Sell {
        type To = Shop;
        const NAME: &'static str = "sell";
        const VERSION: u16 = 1;

        fn key(&self) -> Option<Cow<'_, str>> {
            Some(Cow::Borrowed(&self.to))
        }
    }

    #[test]
    fn what_is_of_the_type_is_encoded_as_a_sender_would() {
        let sell = Sell { to: "Ada".into(), lines: vec![Line { quantity: 2 }], note: None };
        let encoded = encode::<Sell>(r#"{"to": "Ada", "lines": [{"quantity": 2}]}"#);
        assert_eq!(encoded, Ok(EncodedMessage { body: codec::encode(&sell).unwrap(), key: Some("Ada".into()) }));
    }

    #[test]
    fn what_is_not_says_where() {
        let why = |json: &str| encode::<Sell>(json).unwrap_err();
        for (json, expected) in [
            (r#"{"to": "Ada", "lines": [{"quantity": "two"}]}"#, "`lines[0].quantity`: invalid type: string \"two\""),
            (r#"{"to": "Ada", "lines": [{"quantity": -1}]}"#, "`lines[0].quantity`: invalid value: integer `-1`"),
            (r#"{"lines": []}"#, "missing field `to`"),
            (r#"{"to": "Ada", "lines": [], "nota": "x"}"#, "it has no field `nota`"),
            (
                r#"{"to": "Ada", "lines": [{"quantity": 2, "price": 1}], "x": 1}"#,
                "it has no fields `lines.0.price`, `x`",
            ),
            (r#"{"to": "Ada","#, "it is no JSON: EOF while parsing"),
            (r#"{"to": "Ada", "lines": []} {}"#, "it is no JSON: trailing characters"),
            ("", "it is no JSON"),
            (r#"["Ada", [], null]"#, "invalid type: sequence, expected struct Sell"),
            (r#"{"to": "Ada", "lines": [[2]]}"#, "`lines[0]`: invalid type: sequence"),
        ] {
            assert!(why(json).contains(expected), "{json}: {}", why(json));
        }
    }

    #[test]
    fn what_is_shown_can_be_written_again() {
        let sell = Sell { to: "Ada".into(), lines: vec![Line { quantity: 2 }], note: None };
        let body = codec::encode(&sell).unwrap();
        let shown = show::<Sell>(&body).unwrap();
        assert_eq!(encode::<Sell>(&shown.to_string()).map(|encoded| encoded.body), Ok(body));
        assert_eq!(show::<Sell>(&codec::encode(&"no sale").unwrap()), None);
    }

    #[test]
    fn what_is_nested_too_deeply_is_refused() {
        let deep = format!(r#"{{"to": "Ada", "lines": [], "x": {}1{}}}"#, "[".repeat(1_000), "]".repeat(1_000));
        assert_eq!(encode::<Sell>(&deep), Err("it has no field `x`".into()));
        let within = format!(r#"{{"to": {}1{}}}"#, "[".repeat(1_000), "]".repeat(1_000));
        assert!(encode::<Sell>(&within).is_err());
    }
}
