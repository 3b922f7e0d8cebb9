//! What records show of a message itself: its key, and its payload if that is captured.

use essaim_contract::Message;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::text::Text;

/// Stands for what is never shown.
const HIDDEN: &str = "(hidden)";

/// A message's key and payload, as its record shows them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    pub key: Option<Text>,
    pub payload: Option<Text>,
}

impl Shown {
    /// Of a message, with so many bytes of its payload at most; 0: without it.
    pub fn of<M: Message>(message: &M, payload_bytes: u64) -> Self {
        let key = message.key().map(|key| shown_key(&key, M::PERSONAL_KEY));
        let payload = if payload_bytes > 0 { payload(message, payload_bytes as usize) } else { None };
        Self { key, payload }
    }
}

/// A key as records show it: a personal one as a hash, by which it can still be found.
pub fn shown_key(key: &str, is_personal: bool) -> Text {
    if !is_personal {
        return key.into();
    }
    let hash = Sha256::digest(key.as_bytes());
    let digits: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("#{digits}").into()
}

/// A message as JSON, without its secrets; what is longer is cut off.
fn payload<M: Message>(message: &M, most: usize) -> Option<Text> {
    let mut value = serde_json::to_value(message).ok()?;
    hide(&mut value, M::SECRETS);
    let mut text = value.to_string();
    if text.len() > most {
        let end = (0..=most).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    Some(text.into())
}

/// Replaces fields of these names, however deep.
fn hide(value: &mut Value, secrets: &[&str]) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if secrets.contains(&name.as_str()) {
                    *value = HIDDEN.into();
                } else {
                    hide(value, secrets);
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| hide(value, secrets)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use essaim_contract::Capability;
    use serde::{Deserialize, Serialize};

    use super::*;

    struct Desk;
    impl Capability for Desk {
        const NAME: &'static str = "desk";
    }

    #[derive(Serialize, Deserialize)]
    struct Welcome {
        email: String,
        inner: Vec<Credentials>,
    }
    #[derive(Serialize, Deserialize)]
    struct Credentials {
        password: String,
        name: String,
    }
    impl Message for Welcome {
        type To = Desk;
        const NAME: &'static str = "welcome";
        const VERSION: u16 = 1;
        const PERSONAL_KEY: bool = true;
        const SECRETS: &'static [&'static str] = &["password"];
        fn key(&self) -> Option<Cow<'_, str>> {
            Some(Cow::Borrowed(&self.email))
        }
    }

    fn welcome() -> Welcome {
        let credentials = Credentials { password: "hunter22".into(), name: "Ana".into() };
        Welcome { email: "ana@example.com".into(), inner: vec![credentials] }
    }

    #[test]
    fn a_personal_key_is_a_hash_that_is_the_same_each_time_and_no_payload_is_shown_unasked() {
        let shown = Shown::of(&welcome(), 0);
        let key = shown.key.unwrap();
        assert!(key.starts_with('#') && key.len() == 17 && !key.contains("ana"), "{key}");
        assert_eq!(key, shown_key("ana@example.com", true));
        assert_ne!(key, shown_key("bob@example.com", true));
        assert_eq!(shown.payload, None);
        assert_eq!(&*shown_key("order-7", false), "order-7");
    }

    #[test]
    fn a_payload_hides_its_secrets_and_is_cut_where_it_is_too_long() {
        let whole = Shown::of(&welcome(), 1_000).payload.unwrap();
        assert_eq!(&*whole, r#"{"email":"ana@example.com","inner":[{"name":"Ana","password":"(hidden)"}]}"#);
        let cut = Shown::of(&Welcome { email: "ä".repeat(50), inner: Vec::new() }, 20).payload.unwrap();
        assert!(cut.len() <= 23 && cut.ends_with('…'), "{cut}");
    }
}
