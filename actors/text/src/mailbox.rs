//! E-mail addresses, and which of them are the same mailbox.

use std::borrow::Cow;

use idna::AsciiDenyList;
use unicode_normalization::UnicodeNormalization;

use crate::visible::is_invisible;

/// An address at which somebody could have mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    /// As it was given; shown and written to.
    pub given: String,
    /// Equal for all addresses of one mailbox: those that look the same, that differ in case alone, or whose domains are
    /// written in other ways.
    pub key: String,
}

/// Why a text is no address of a mailbox, to be put behind the field's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAMailbox {
    /// Something in it is a blank, a control character or invisible.
    Unseen,
    /// There is not one `@` with something on both sides.
    Parts,
    /// What stands behind the `@` is no domain.
    Domain,
}

impl NotAMailbox {
    /// What it must be instead.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unseen => "must not have blanks, control characters or invisible characters",
            Self::Parts => "must have one @ with something on both sides",
            Self::Domain => "must have a valid domain behind the @",
        }
    }
}

impl Mailbox {
    /// The mailbox of an address.
    ///
    /// The local part is compared without case and in Unicode's compatibility form, which is stricter than mail servers
    /// are: two people whose addresses look the same are not told apart by others. The domain is compared in the form in
    /// which mail servers look it up ([UTS 46](https://www.unicode.org/reports/tr46/)): `bücher.de`, `BÜCHER。DE.` and
    /// `xn--bcher-kva.de` are one.
    ///
    /// # Errors
    /// What is wrong with it. Whether somebody reads mail there cannot be seen from the text, so only what could not be
    /// an address, or could pass for another one, is refused.
    pub fn try_new(given: &str) -> Result<Self, NotAMailbox> {
        let (local, domain) = parts(given)?;
        let key = format!("{}@{}", caseless(local), lookup_form(domain)?);
        // The key is checked too: normalization makes blanks and signs out of what did not look like them.
        parts(&key)?;
        Ok(Self { given: given.to_owned(), key })
    }
}

fn parts(address: &str) -> Result<(&str, &str), NotAMailbox> {
    if address.chars().any(|c| c.is_control() || c.is_whitespace() || is_invisible(c)) {
        return Err(NotAMailbox::Unseen);
    }
    match address.split_once('@') {
        Some((local, domain)) if !local.is_empty() && !domain.is_empty() && !domain.contains('@') => {
            Ok((local, domain))
        }
        _ => Err(NotAMailbox::Parts),
    }
}

/// A domain as it is looked up: in ASCII, in lower case, without the dot of the root.
fn lookup_form(domain: &str) -> Result<String, NotAMailbox> {
    let ascii = idna::domain_to_ascii_cow(domain.as_bytes(), AsciiDenyList::EMPTY).map_err(|_| NotAMailbox::Domain)?;
    let name = ascii.strip_suffix('.').map_or(ascii.clone(), Cow::Borrowed);
    match name.split('.').any(str::is_empty) {
        true => Err(NotAMailbox::Domain),
        false => Ok(name.into_owned()),
    }
}

/// Caseless compatibility form. Upper case comes before lower case because some letters have two lower-case forms
/// (`σ` and `ς`) and one upper-case form; normalizing again makes the result stable.
pub fn caseless(text: &str) -> String {
    text.nfkc().flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfkc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(given: &str) -> String {
        Mailbox::try_new(given).unwrap_or_else(|e| panic!("{given:?}: {e:?}")).key
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
    fn a_domain_has_one_form() {
        for given in [
            "ada@bücher.de",
            "ada@BÜCHER.de",
            "ada@xn--bcher-kva.de",
            "ada@XN--BCHER-KVA.DE",
            "ada@bücher。de.",
            "ada@bu\u{308}cher｡de",
        ] {
            assert_eq!(key_of(given), "ada@xn--bcher-kva.de", "{given}");
        }
        assert_eq!(key_of("ada@example.com."), "ada@example.com");
        assert_ne!(key_of("ada@straße.de"), key_of("ada@strasse.de"), "two domains, which two people may have");
        assert_eq!(key_of("ada@[127.0.0.1]"), "ada@[127.0.0.1]");
        assert_eq!(key_of("ada@a_b.example"), "ada@a_b.example");
    }

    #[test]
    fn the_address_is_kept_as_it_was_given() {
        assert_eq!(Mailbox::try_new("Ada@Example.COM.").unwrap().given, "Ada@Example.COM.");
    }

    #[test]
    fn what_cannot_be_an_address_or_could_pass_for_another_is_refused() {
        use NotAMailbox::{Domain, Parts, Unseen};
        let cases = [
            ("", Parts),
            ("a", Parts),
            ("@", Parts),
            ("a@", Parts),
            ("@b", Parts),
            ("a@b@c", Parts),
            ("a@b\u{FF20}c", Parts),
            ("a b@c", Unseen),
            ("a@b\n", Unseen),
            ("a\0@b", Unseen),
            ("a\u{200B}@b", Unseen),
            ("a\u{3164}@b", Unseen),
            ("a@b\u{3164}", Unseen),
            ("a\u{A8}@b", Unseen),
            ("a@.", Domain),
            ("a@b..c", Domain),
            ("a@.b", Domain),
            ("a@b.。", Domain),
            ("a@xn--a", Domain),
        ];
        for (given, why) in cases {
            assert_eq!(Mailbox::try_new(given), Err(why), "{given:?}");
        }
    }
}
