//! JSON Schema as people read it: a line for each field, with its type and what is said of it.

use serde_json::Value;

/// How deep fields within fields are shown: a type may contain itself.
const DEEPEST: usize = 8;

/// What a message is for, and its fields.
pub fn fields(schema: &Value) -> String {
    let mut page = String::new();
    if let Some(text) = schema["description"].as_str() {
        page.push_str(&format!("  {}\n", text.replace("\n\n", "\n  ")));
    }
    let fields = members(schema, 2);
    page + if fields.is_empty() { "  it has no fields\n" } else { &fields }
}

/// The fields of an object, or the forms that a value may have, a line each.
pub fn members(schema: &Value, indent: usize) -> String {
    let mut lines = Vec::new();
    collect(schema, schema, 0, &mut lines);
    let widths = |of: fn(&Line) -> usize| lines.iter().map(of).max().unwrap_or(0);
    let (names, kinds) =
        (widths(|line| line.depth * 2 + line.name.chars().count()), widths(|line| line.kind.chars().count()));
    let text = |line: &Line| {
        let name = format!("{:indent$}{}", "", line.name, indent = line.depth * 2);
        format!("{:indent$}{name:<names$}  {:<kinds$}  {}", "", line.kind, line.text).trim_end().to_string() + "\n"
    };
    lines.iter().map(text).collect()
}

/// The type of a value in words.
pub fn summary(schema: &Value) -> String {
    kind(schema, schema)
}

struct Line {
    depth: usize,
    name: String,
    kind: String,
    text: String,
}

fn collect(root: &Value, schema: &Value, depth: usize, lines: &mut Vec<Line>) {
    let schema = resolved(root, inner(root, schema));
    if depth > DEEPEST {
        return;
    }
    if let Some(forms) = schema["oneOf"].as_array() {
        for form in forms {
            variant(root, form, depth, lines);
        }
    }
    for (name, field) in properties(schema) {
        let optional = if is_required(schema, name) { "" } else { ", optional" };
        let text = described(root, field);
        lines.push(Line { depth, name: name.clone(), kind: format!("{}{optional}", kind(root, field)), text });
        collect(root, field, depth + 1, lines);
    }
}

/// A form of a value that has several: a word, or an object with one field, whose name says which form it is.
fn variant(root: &Value, form: &Value, depth: usize, lines: &mut Vec<Line>) {
    let text = described(root, form);
    for word in form["enum"].as_array().into_iter().flatten() {
        lines.push(Line { depth, name: plain(word), kind: String::new(), text: text.clone() });
    }
    for (name, field) in properties(form) {
        let is_object = resolved(root, field)["properties"].is_object();
        let kind = if is_object { String::new() } else { kind(root, field) };
        lines.push(Line { depth, name: name.clone(), kind, text: text.clone() });
        collect(root, field, depth + 1, lines);
    }
}

/// The fields of an object: first those that must be there, in the order of the contract.
fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let order = |name: &str| schema["required"].as_array().and_then(|all| all.iter().position(|one| one == name));
    let mut fields: Vec<_> = schema["properties"].as_object().into_iter().flatten().collect();
    fields.sort_by_key(|(name, _)| order(name).unwrap_or(usize::MAX));
    fields.into_iter()
}

fn is_required(schema: &Value, name: &str) -> bool {
    schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == name))
}

/// The schema that a reference leads to.
fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let reference = schema["$ref"].as_str().and_then(|to| to.strip_prefix('#'));
    reference.and_then(|to| root.pointer(to)).unwrap_or(schema)
}

/// What is in a list, or beside `null`.
fn inner<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let schema = resolved(root, schema);
    if schema["items"].is_object() {
        return inner(root, &schema["items"]);
    }
    match beside_null(schema) {
        Some(other) => inner(root, other),
        None => schema,
    }
}

fn beside_null(schema: &Value) -> Option<&Value> {
    let forms = schema["oneOf"].as_array().filter(|forms| forms.len() == 2)?;
    forms.iter().any(|form| form["type"] == "null").then(|| forms.iter().find(|form| form["type"] != "null"))?
}

fn kind(root: &Value, schema: &Value) -> String {
    let schema = resolved(root, schema);
    if let Some(other) = beside_null(schema) {
        return format!("{} or null", kind(root, other));
    }
    if let Some(words) = schema["enum"].as_array() {
        return words.iter().map(plain).collect::<Vec<_>>().join(" | ");
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        _ if schema["oneOf"].is_array() => return "one of these".into(),
        _ => return "anything".into(),
    };
    let words = types.iter().map(|one| match *one {
        "array" => format!("list of {}", kind(root, &schema["items"])),
        "integer" => "whole number".into(),
        "string" => "text".into(),
        "boolean" => "true or false".into(),
        "null" if types.len() == 1 => "nothing".into(),
        other => other.to_string(),
    });
    words.collect::<Vec<_>>().join(" or ")
}

fn plain(word: &Value) -> String {
    word.as_str().map_or_else(|| word.to_string(), String::from)
}

/// What is said of a field, or else of its type.
fn described(root: &Value, field: &Value) -> String {
    let said = [field, beside_null(field).unwrap_or(&Value::Null), resolved(root, field)];
    let text = said.iter().find_map(|schema| schema["description"].as_str()).unwrap_or_default();
    text.replace("\n\n", " ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn place() -> Value {
        json!({
            "description": "Places an order.\n\nSoon.",
            "type": "object",
            "required": ["order_id", "lines", "status"],
            "properties": {
                "lines": { "type": "array", "items": { "$ref": "#/$defs/Line" }, "description": "What is wanted." },
                "note": { "type": ["string", "null"] },
                "order_id": { "type": "string", "description": "The id." },
                "status": { "$ref": "#/$defs/Status" },
                "why": { "oneOf": [{ "type": "null" }, { "$ref": "#/$defs/Why", "description": "Why not." }] },
            },
            "$defs": {
                "Line": { "type": "object", "required": ["quantity"], "properties": { "quantity": { "type": "integer" } } },
                "Status": { "type": "string", "enum": ["pending", "done"], "description": "How far it is." },
                "Why": { "oneOf": [
                    { "type": "string", "enum": ["late"], "description": "Too late." },
                    { "type": "object", "required": ["dear"], "properties": { "dear": { "type": "integer" } } },
                ] },
            },
        })
    }

    #[test]
    fn fields_are_lines_with_their_types_and_what_is_within_them() {
        let expected = "  Places an order.
  Soon.
  order_id    text                            The id.
  lines       list of object                  What is wanted.
    quantity  whole number
  status      pending | done                  How far it is.
  note        text or null, optional
  why         one of these or null, optional  Why not.
    late                                      Too late.
    dear      whole number
";
        assert_eq!(fields(&place()), expected);
    }

    #[test]
    fn a_type_that_contains_itself_ends() {
        let tree = json!({
            "type": "object",
            "properties": { "child": { "$ref": "#/$defs/Tree" } },
            "$defs": { "Tree": { "type": "object", "properties": { "child": { "$ref": "#/$defs/Tree" } } } },
        });
        assert_eq!(fields(&tree).lines().count(), DEEPEST + 1);
    }

    #[test]
    fn nothing_and_no_fields_are_said() {
        assert_eq!(fields(&json!({ "type": "object" })), "  it has no fields\n");
        assert_eq!(summary(&json!({ "type": "null" })), "nothing");
        assert_eq!(summary(&json!({ "type": "array", "items": { "type": "string" } })), "list of text");
    }
}
