//! What a valid e-mail address and name are.

use essaim_text::{Mailbox, caseless, visible};
use essaim_users_contract::{EMAIL_MAX, Invalid, NAME_MAX};

/// The most bytes of a key. Compatibility decomposition can make a text eighteen times longer, and PostgreSQL's index
/// takes 2,700 bytes.
const KEY_MAX_BYTES: usize = 4 * EMAIL_MAX;

/// A valid e-mail address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Email(pub Mailbox);

impl Email {
    /// # Errors
    /// What is wrong with it.
    pub fn try_new(given: &str) -> Result<Self, Invalid> {
        let invalid = |reason: &str| Invalid { field: "email".into(), reason: reason.into() };
        if given.chars().count() > EMAIL_MAX {
            return Err(invalid("must have at most 254 characters"));
        }
        let mailbox = Mailbox::try_new(given).map_err(|e| invalid(e.as_str()))?;
        if mailbox.key.len() > KEY_MAX_BYTES {
            return Err(invalid("is too long"));
        }
        Ok(Self(mailbox))
    }
}

/// The keys under which a user with this address may be found, the likelier one last: that of the mailbox, and the one
/// that earlier versions wrote, which knew nothing of domains.
pub(crate) fn keys_of(address: &str) -> Vec<String> {
    let mailbox = Email::try_new(address).ok().map(|email| email.0.key);
    // Longer than any that was written: not looked for.
    let earlier = Some(caseless(address)).filter(|key| address.len() <= KEY_MAX_BYTES && key.len() <= KEY_MAX_BYTES);
    mailbox.into_iter().chain(earlier).collect()
}

/// A valid name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name(pub String);

impl Name {
    /// # Errors
    /// What is wrong with it.
    pub fn try_new(given: &str) -> Result<Self, Invalid> {
        let invalid = |reason: &str| Err(Invalid { field: "name".into(), reason: reason.into() });
        match given.chars().count() {
            0 => invalid("must not be empty"),
            n if n > NAME_MAX => invalid("must have at most 200 characters"),
            _ if given.chars().any(char::is_control) => invalid("must not have control characters"),
            _ if !visible::is_seen(given) => invalid("must have a character that can be seen"),
            _ => Ok(Self(given.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_at_most_254_characters_and_its_key_has_a_bound() {
        let long = format!("{}@x", "a".repeat(253));
        let expanding = format!("{}@x", "\u{FDFA}".repeat(100));
        for given in [long.as_str(), &expanding] {
            assert!(Email::try_new(given).is_err() && keys_of(given).is_empty() == (given == expanding), "{given:?}");
        }
        assert!(Email::try_new(&format!("{}@x", "ß".repeat(252))).is_ok(), "254 characters of two bytes");
    }

    #[test]
    fn a_name_has_1_to_200_characters_none_for_control_and_one_that_is_seen() {
        assert!(Name::try_new(&"é".repeat(200)).is_ok() && Name::try_new("\u{200F}שרה").is_ok());
        for given in ["", "a\tb", "a\u{85}", &"é".repeat(201), " ", "\u{200B}", "\u{202E}\u{3164}"] {
            assert!(Name::try_new(given).is_err(), "{given:?}");
        }
    }
}
