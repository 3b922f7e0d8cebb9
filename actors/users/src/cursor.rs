//! The opaque place in a list: base64url of the last id that a page held.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

/// The cursor of the page that begins after this id.
pub(crate) fn after(id: &str) -> String {
    URL_SAFE_NO_PAD.encode(id)
}

/// The id that a cursor stands for; `None` if no page ended with such a cursor.
pub(crate) fn parse(cursor: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let uuid = Uuid::parse_str(&text).ok()?;
    (uuid.to_string() == text).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_back_to_its_id() {
        let id = "01900000-0000-7000-8000-000000000001";
        assert_eq!(parse(&after(id)).as_deref(), Some(id));
    }

    #[test]
    fn what_no_page_ended_with_is_no_cursor() {
        for text in ["", "x", "!", &after("not an id"), &after("01900000-0000-7000-8000-00000000000A")] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
