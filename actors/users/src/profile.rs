//! What a valid e-mail address and name are, and when two addresses are one.

use essaim_users_contract::{EMAIL_MAX, Invalid, NAME_MAX};
use unicode_normalization::UnicodeNormalization;

/// The most bytes of a key. Compatibility decomposition can make a text eighteen times longer, and PostgreSQL's index
/// takes 2,700 bytes.
const KEY_MAX_BYTES: usize = 4 * EMAIL_MAX;

/// A valid e-mail address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Email {
    /// As it was given; shown and written to.
    pub given: String,
    /// What is unique: equal for all addresses that look the same or differ in case alone.
    pub key: String,
}

impl Email {
    /// # Errors
    /// What is wrong with it. Whether somebody reads mail there cannot be seen from the text, so only what could not
    /// be an address, or could pass for another one, is refused.
    pub fn try_new(given: &str) -> Result<Self, Invalid> {
        let invalid = |reason: &str| Err(Invalid { field: "email".into(), reason: reason.into() });
        if given.chars().count() > EMAIL_MAX {
            return invalid("must have at most 254 characters");
        }
        let key = key(given);
        // The key is checked too: normalization makes blanks and signs out of what did not look like them.
        for text in [given, &key] {
            if text.chars().any(|c| c.is_control() || c.is_whitespace() || is_invisible(c)) {
                return invalid("must not have blanks, control characters or invisible characters");
            }
            match text.split_once('@') {
                Some((local, domain)) if !local.is_empty() && !domain.is_empty() && !domain.contains('@') => {}
                _ => return invalid("must have one @ with something on both sides"),
            }
        }
        if key.len() > KEY_MAX_BYTES {
            return invalid("is too long");
        }
        Ok(Self { given: given.to_owned(), key })
    }
}

/// Caseless compatibility form. Upper case comes before lower case because some letters have two lower-case forms
/// (`σ` and `ς`) and one upper-case form; normalizing again makes the result stable.
fn key(given: &str) -> String {
    let caseless = given.nfkc().flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    caseless.nfkc().collect()
}

/// Format characters that are not seen and would make two addresses that look like one.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{E0000}'..='\u{E0FFF}')
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
            _ => Ok(Self(given.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(given: &str) -> String {
        Email::try_new(given).unwrap().key
    }

    #[test]
    fn case_and_unicode_form_make_no_difference() {
        assert_eq!(key_of("Ada@Example.COM"), "ada@example.com");
        assert_eq!(key_of("ａda@example.com"), "ada@example.com", "a full-width letter");
        assert_eq!(key_of("Zoe\u{308}@x.fr"), key_of("ZOË@X.FR"), "composed and decomposed");
        assert_eq!(key_of("ΟΔΟΣ@x.gr"), key_of("οδος@x.gr"), "a letter with two lower-case forms");
        assert_eq!(key_of("οδοσ@x.gr"), key_of("οδος@x.gr"));
    }

    #[test]
    fn the_address_is_kept_as_it_was_given() {
        assert_eq!(Email::try_new("Ada@Example.COM").unwrap().given, "Ada@Example.COM");
    }

    #[test]
    fn what_cannot_be_an_address_or_could_pass_for_another_is_refused() {
        let long = format!("{}@x", "a".repeat(253));
        let expanding = format!("{}@x", "\u{FDFA}".repeat(100));
        let cases =
            ["", "a", "@", "a@", "@b", "a@b@c", "a b@c", "a@b\n", "a\0@b", "a\u{200B}@b", "a\u{A8}@b", "a@b\u{FF20}c"];
        for given in cases.into_iter().chain([long.as_str(), expanding.as_str()]) {
            assert!(Email::try_new(given).is_err(), "{given:?}");
        }
        assert!(Email::try_new(&format!("{}@x", "ß".repeat(252))).is_ok(), "254 characters of two bytes");
    }

    #[test]
    fn a_name_has_1_to_200_characters_and_no_control_characters() {
        assert!(Name::try_new(&"é".repeat(200)).is_ok());
        for given in ["", "a\tb", "a\u{85}", &"é".repeat(201)] {
            assert!(Name::try_new(given).is_err(), "{given:?}");
        }
    }
}
