//! Texts of which something is seen.
//!
//! A name that is made of characters which nobody sees, or which only change the direction of others, can pass for no
//! name at all or for somebody else's. Beside a visible character they are fine: some scripts need them.

/// Characters that are not seen: Unicode's
/// [`Default_Ignorable_Code_Point`](https://www.unicode.org/reports/tr44/#Default_Ignorable_Code_Point).
const INVISIBLE: &[(char, char)] = &[
    ('\u{AD}', '\u{AD}'),
    ('\u{34F}', '\u{34F}'),
    ('\u{61C}', '\u{61C}'),
    ('\u{115F}', '\u{1160}'),
    ('\u{17B4}', '\u{17B5}'),
    ('\u{180B}', '\u{180F}'),
    ('\u{200B}', '\u{200F}'),
    ('\u{202A}', '\u{202E}'),
    ('\u{2060}', '\u{206F}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{FE00}', '\u{FE0F}'),
    ('\u{FEFF}', '\u{FEFF}'),
    ('\u{FFA0}', '\u{FFA0}'),
    ('\u{FFF0}', '\u{FFF8}'),
    ('\u{1BCA0}', '\u{1BCA3}'),
    ('\u{1D173}', '\u{1D17A}'),
    ('\u{E0000}', '\u{E0FFF}'),
];

/// Unicode's `White_Space`, as far as it is no control character.
const BLANK: &[(char, char)] = &[
    (' ', ' '),
    ('\u{A0}', '\u{A0}'),
    ('\u{1680}', '\u{1680}'),
    ('\u{2000}', '\u{200A}'),
    ('\u{2028}', '\u{2029}'),
    ('\u{202F}', '\u{202F}'),
    ('\u{205F}', '\u{205F}'),
    ('\u{3000}', '\u{3000}'),
];

/// Unicode's control characters.
const CONTROL: &[(char, char)] = &[('\0', '\u{1F}'), ('\u{7F}', '\u{9F}')];

/// Whether a character is never seen, whatever it stands beside.
pub fn is_invisible(c: char) -> bool {
    INVISIBLE.iter().any(|range| (range.0..=range.1).contains(&c))
}

/// Whether some character of a text is seen.
pub fn is_seen(text: &str) -> bool {
    text.chars().any(|c| !c.is_control() && !c.is_whitespace() && !is_invisible(c))
}

/// What a name has to be, as a regular expression for documents (ECMA 262 with its flag `u`; others read it alike): no
/// control characters, and something that [is seen](is_seen).
pub fn name_pattern() -> String {
    let (any, seen) = (not_of(&[CONTROL]), not_of(&[CONTROL, BLANK, INVISIBLE]));
    format!("^{any}*{seen}{any}*$")
}

/// The same of a name whose first character is no white space.
pub fn title_pattern() -> String {
    let (any, seen) = (not_of(&[CONTROL]), not_of(&[CONTROL, BLANK, INVISIBLE]));
    let invisible = class("[", &[INVISIBLE]);
    format!("^(?:{seen}|{invisible}{any}*{seen}){any}*$")
}

fn not_of(sets: &[&[(char, char)]]) -> String {
    class("[^", sets)
}

/// A class of characters.
fn class(open: &str, sets: &[&[(char, char)]]) -> String {
    let range = |(first, last): &(char, char)| match first == last {
        true => escaped(*first),
        false => format!("{}-{}", escaped(*first), escaped(*last)),
    };
    let ranges: String = sets.iter().copied().flatten().map(range).collect();
    format!("{open}{ranges}]")
}

/// A character beyond the first plane stands as itself, since there is no escape that all dialects know.
fn escaped(c: char) -> String {
    match u32::from(c) {
        code @ 0..=0xFFFF => format!("\\u{code:04X}"),
        _ => c.into(),
    }
}

#[cfg(test)]
mod tests {
    use icu_properties::CodePointSetData;
    use icu_properties::props::{DefaultIgnorableCodePoint, WhiteSpace};

    use super::*;

    #[test]
    fn the_tables_are_those_of_unicode() {
        let (ignorable, blank) =
            (CodePointSetData::new::<DefaultIgnorableCodePoint>(), CodePointSetData::new::<WhiteSpace>());
        let within = |set: &[(char, char)], c: char| set.iter().any(|(first, last)| (*first..=*last).contains(&c));
        for c in '\0'..=char::MAX {
            assert_eq!(is_invisible(c), ignorable.contains(c), "{c:?}");
            assert_eq!(within(BLANK, c), blank.contains(c) && !c.is_control(), "{c:?}");
            assert_eq!(within(CONTROL, c), c.is_control(), "{c:?}");
        }
    }

    #[test]
    fn the_patterns_of_documents_take_what_is_seen() {
        let [name, title] = [name_pattern(), title_pattern()].map(|p| regex::Regex::new(&p).unwrap());
        let texts = [
            "",
            " ",
            "a",
            " a",
            "\u{3164}",
            "\u{3164}a",
            "\u{200F}\u{2009}a",
            "\u{E0041}",
            "é\u{301}",
            "-",
            "\u{2009}",
        ];
        for text in texts {
            assert_eq!(name.is_match(text), is_seen(text), "{text:?}");
            let begins = text.starts_with(|c: char| !c.is_whitespace());
            assert_eq!(title.is_match(text), begins && is_seen(text), "{text:?}");
            let with_control = format!("{text}\u{85}");
            assert!(!name.is_match(&with_control) && !title.is_match(&with_control));
        }
    }

    #[test]
    fn a_text_of_blanks_and_of_what_is_never_seen_is_not_seen() {
        for text in ["", " ", "\u{3000}", "\u{200B}", "\u{202E}\u{2066}", "\u{3164}", "\u{E0041}", " \u{AD}\t"] {
            assert!(!is_seen(text), "{text:?}");
        }
        for text in ["a", "\u{200F}שלום", "\u{1F468}\u{200D}\u{1F469}", "میخواهم", "."] {
            assert!(is_seen(text), "{text:?}");
        }
    }
}
