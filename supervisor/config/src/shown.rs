//! The configuration in force as operators are shown it: each value with its source, and no secret.

use serde::{Deserialize, Serialize};

use crate::tree::{Leaf, Tree, Value, ValueSource};
use crate::without_password;

/// One value in force.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ShownValue {
    /// Its key, such as `store.durability`.
    pub key: String,
    /// The value; of a secret only that there is one.
    pub value: String,
    /// The file, variable or argument that it comes from, in words.
    pub source: String,
    /// Whether it is a default.
    pub built_in: bool,
}

/// Keys that end with one of these words hold secrets.
const SECRET: [&str; 6] = ["password", "secret", "secrets", "token", "headers", "credentials"];

/// Below it each key is a name, and each value a secret.
const TOKENS: &str = "node.operators.";

/// All values of a table, in the order of their keys.
pub(crate) fn shown(tree: &Tree) -> Vec<ShownValue> {
    let mut values = Vec::new();
    collect(tree, "", &mut values);
    values
}

fn collect(tree: &Tree, path: &str, values: &mut Vec<ShownValue>) {
    match tree {
        Tree::Leaf(leaf) => values.push(shown_value(path, leaf)),
        Tree::Table(_) => {
            for (key, tree) in tree.entries() {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                collect(tree, &path, values);
            }
        }
    }
}

fn shown_value(key: &str, Leaf { value, source }: &Leaf) -> ShownValue {
    let text = match value {
        Value::Text(text) | Value::Typed(toml::Value::String(text)) => text.clone(),
        Value::Typed(value) => value.to_string(),
    };
    let last = key.rsplit(['.', '_']).next().unwrap_or_default();
    let is_secret = SECRET.contains(&last)
        || key.starts_with(TOKENS)
        || text.contains("PRIVATE KEY-----")
        || source.is_file_of_value();
    let value = match () {
        () if text.is_empty() => text,
        () if is_secret => "hidden".into(),
        () if text.contains("://") => without_password(&text),
        () => text,
    };
    ShownValue { key: key.into(), value, source: source.to_string(), built_in: *source == ValueSource::BuiltIn }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_with_their_sources_and_no_secret_is() {
        let toml = r#"
            [bridge]
            url = "redis://user:geheim@host:6379?password=geheim"
            [node]
            operator_token = "geheim"
            admin_listen = ""
            operators.ann = "geheim"
            [auth]
            access_token_seconds = 900
            [nodes.front.set]
            "auth.first_admin.password" = "geheim"
        "#;
        let mut tree = Tree::of_toml(toml.parse().map(toml::Value::Table).unwrap(), &ValueSource::given("a.toml"));
        tree.put(&["store", "durability"], Tree::text("machine", ValueSource::BuiltIn));
        tree.put(&["auth", "pepper"], Tree::text("geheim", ValueSource::of_file("a.toml", "/run/pepper")));
        let values = shown(&tree);
        assert!(!format!("{values:?}").contains("geheim"), "{values:?}");
        let of = |key: &str| values.iter().find(|value| value.key == key).unwrap();
        assert_eq!(of("bridge.url").value, "redis://host:6379");
        assert_eq!((&*of("node.operator_token").value, &*of("node.admin_listen").value), ("hidden", ""));
        assert_eq!(of("node.operators.ann").value, "hidden");
        assert_eq!((&*of("auth.access_token_seconds").value, &*of("bridge.url").source), ("900", "a.toml"));
        assert_eq!((of("store.durability").built_in, of("bridge.url").built_in), (true, false));
        assert_eq!(of("auth.pepper").source, "a.toml (by way of /run/pepper)");
    }
}
