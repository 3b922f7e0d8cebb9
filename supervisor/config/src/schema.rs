//! The configuration as JSON Schema, for editors: they complete keys, show what each means and mark what is misspelt.
//!
//! It is made from the documented defaults: each key's comment is its description, and its default tells its type. So nothing
//! is said twice, and a key without a default could not be forgotten here alone.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{CapabilityConfig, TopologyNode};

/// The schema of a configuration or topology file, from the text of the defaults.
///
/// Beside each text there may be `KEY_file`, as in all layers over the defaults.
pub fn json_schema(defaults: &str) -> Value {
    let mut root = table("The configuration of Essaim: what stands here is laid over the defaults.", Map::new());
    let mut section: Vec<String> = Vec::new();
    let mut comment: Vec<&str> = Vec::new();
    for line in defaults.lines() {
        match line.trim_end() {
            "" => comment.clear(),
            line if line.starts_with('#') => comment.push(line.trim_start_matches('#')),
            line if line.starts_with('[') => {
                section = line.trim_matches(['[', ']']).split('.').map(String::from).collect();
                let said = std::mem::take(&mut comment);
                let empty = match line {
                    "[capabilities]" => named(&said, &fields(&CapabilityConfig::default(), &said)),
                    "[nodes]" => named(&said, &node(&said)),
                    _ => table(&prose(&said), Map::new()),
                };
                *property(&mut root, &section) = empty;
            }
            line => {
                let said = prose(&std::mem::take(&mut comment));
                let Ok(pairs) = line.parse::<toml::Table>() else { continue };
                for (key, value) in pairs {
                    let path = |last: String| section.iter().cloned().chain([last]).collect::<Vec<_>>();
                    if value.is_str() {
                        let file = format!("A file that holds `{key}`.");
                        *property(&mut root, &path(format!("{key}_file"))) =
                            json!({ "type": "string", "description": file });
                    }
                    *property(&mut root, &path(key)) =
                        of_default(&serde_json::to_value(value).unwrap_or_default(), &said);
                }
            }
        }
    }
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["title"] = json!("Essaim");
    root
}

/// The place of a property, made if it is missing.
fn property<'a>(root: &'a mut Value, path: &[String]) -> &'a mut Value {
    path.iter().fold(root, |at, key| &mut at["properties"][key])
}

/// A table of known keys.
fn table(description: &str, properties: Map<String, Value>) -> Value {
    json!({ "type": "object", "description": description, "properties": properties, "additionalProperties": false })
}

/// A table of tables, each under a name of the user's.
fn named(comment: &[&str], each: &Value) -> Value {
    json!({ "type": "object", "description": prose(comment), "additionalProperties": each })
}

/// The node of a topology; what it sets has keys of its own, or whole sections.
fn node(comment: &[&str]) -> Value {
    let mut node = fields(&TopologyNode::default(), comment);
    node["properties"]["set"]["additionalProperties"] = json!(true);
    node
}

/// The fields of a type, described by the lines `  field  what it is` of a comment.
fn fields<T: Serialize>(default: &T, comment: &[&str]) -> Value {
    let default = serde_json::to_value(default).unwrap_or_default();
    let described = descriptions(comment);
    let field = |(name, value): (&String, &Value)| {
        let said = described.get(name.as_str()).map(String::as_str).unwrap_or_default();
        (name.clone(), of_default(value, said))
    };
    table("", default.as_object().into_iter().flatten().map(field).collect())
}

/// What a comment says of each field: lines that are indented by three spaces begin with its name, deeper ones go on.
fn descriptions<'a>(comment: &[&'a str]) -> BTreeMap<&'a str, String> {
    let (mut all, mut last) = (BTreeMap::<&str, String>::new(), None);
    for line in comment {
        let (indent, text) = (line.len() - line.trim_start().len(), line.trim());
        match (indent, last) {
            (3, _) => {
                let (name, said) = text.split_once(' ').unwrap_or((text, ""));
                all.insert(name, said.trim().into());
                last = Some(name);
            }
            (4.., Some(name)) => {
                let said = all.entry(name).or_default();
                *said = format!("{said} {text}").trim().into();
            }
            _ => last = None,
        }
    }
    all
}

fn of_default(default: &Value, description: &str) -> Value {
    let kind = match default {
        Value::String(_) => "string",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::Array(_) => "array",
        _ => "object",
    };
    json!({ "type": kind, "description": description, "default": default })
}

/// A comment as one line; of lists in it the first words are enough.
fn prose(comment: &[&str]) -> String {
    let lines = comment.iter().take_while(|line| !line.starts_with("   "));
    lines.map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_describe_keys_and_defaults_tell_their_types() {
        let defaults = "# The head of the file.\n\n# A part.\n[part]\n# Its size,\n# in bytes.\nsize = 3\nname = \"x\"\n\n\
                        [part.inner]\nshare = 0.5\nlist = []\n";
        let schema = json_schema(defaults);
        let part = &schema["properties"]["part"];
        assert_eq!(part["description"], "A part.");
        assert_eq!(
            part["properties"]["size"],
            json!({ "type": "integer", "description": "Its size, in bytes.", "default": 3 })
        );
        assert_eq!(
            (&part["properties"]["name"]["description"], &part["additionalProperties"]),
            (&json!(""), &json!(false))
        );
        assert_eq!(part["properties"]["name_file"]["type"], "string");
        assert_eq!(part["properties"]["size_file"], Value::Null);
        let inner = &part["properties"]["inner"]["properties"];
        assert_eq!((&inner["share"]["type"], &inner["list"]["type"]), (&json!("number"), &json!("array")));
    }

    #[test]
    fn tables_that_users_name_have_their_fields() {
        let defaults = "# Each one:\n#   database   where its data is,\n#              in full.\n#   instances  how many.\n[capabilities]\n\
                        # Nodes:\n#   hosts      what.\n#   set        keys.\n[nodes]\n";
        let schema = json_schema(defaults);
        let capability = &schema["properties"]["capabilities"]["additionalProperties"]["properties"];
        assert_eq!(capability["database"]["description"], "where its data is, in full.");
        assert_eq!(
            (&capability["instances"]["type"], &capability["instances"]["default"]),
            (&json!("integer"), &json!(0))
        );
        assert_eq!(schema["properties"]["nodes"]["additionalProperties"]["properties"]["hosts"]["type"], "array");
        assert_eq!(schema["properties"]["capabilities"]["description"], "Each one:");
    }
}
