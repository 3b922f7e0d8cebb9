//! What is wrong with input, in words for a stranger: serde's own texts name Rust types.

/// Rewords an error text of serde.
pub(crate) fn reword(text: &str) -> String {
    let text = text.rsplit_once(" at line ").map_or(text, |(before, _)| before);
    if text.starts_with("data did not match any variant") {
        return "it has none of the expected forms".into();
    }
    let wrong = ["invalid type: ", "invalid value: ", "invalid length "].iter().any(|p| text.starts_with(p));
    match text.split_once(", expected ") {
        // What was found is left out: it may be a secret, and its sender knows it.
        Some((_, expected)) if wrong => format!("expected {}", json_type(expected)),
        _ if wrong => "it has the wrong type or is out of range".into(),
        _ => text.into(),
    }
}

/// The JSON type that serde's name of a Rust type stands for.
fn json_type(expected: &str) -> &str {
    match expected.split([' ', '<']).next().unwrap_or_default() {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number that is not negative and not too large",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number that is not too large",
        "f32" | "f64" => "a number",
        "struct" | "map" => "an object",
        "tuple" | "sequence" => "an array",
        "enum" | "variant" | "unit" | "newtype" | "option" | "internally" | "adjacently" | "any" => "another form",
        "a" | "an" if ["a string", "a boolean", "a sequence", "a map", "a character"].contains(&expected) => {
            match expected {
                "a sequence" => "an array",
                "a map" => "an object",
                simple => simple,
            }
        }
        _ => "another type or value",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rust_types_and_given_values_are_not_repeated() {
        for (text, expected) in [
            (
                "invalid type: string \"secret\", expected u32 at line 1 column 9",
                "expected a whole number that is not negative and not too large",
            ),
            ("invalid type: integer `3`, expected struct PlaceOrder at line 1 column 1", "expected an object"),
            (
                "invalid value: integer `-1`, expected u32",
                "expected a whole number that is not negative and not too large",
            ),
            ("invalid length 0, expected struct Secret with 2 elements", "expected an object"),
            ("data did not match any variant of untagged enum Secret", "it has none of the expected forms"),
            ("invalid type: map, expected a string at line 1 column 0", "expected a string"),
            ("invalid type: null, expected a sequence", "expected an array"),
            ("missing field `name` at line 1 column 2", "missing field `name`"),
            ("unknown field `x`, expected `name` or `sku`", "unknown field `x`, expected `name` or `sku`"),
            ("a SKU has at most 64 characters", "a SKU has at most 64 characters"),
        ] {
            assert_eq!(reword(text), expected, "{text}");
        }
    }
}
