//! Texts for people.

/// So many characters of a text at most, and a sign where that is not all of it.
pub fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!((cut("éé", 2), cut("ééé", 2)), ("éé".into(), "éé…".into()));
    }
}
