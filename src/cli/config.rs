//! `essaim config`: the configuration in force, and its form.

use clap::{Args, Subcommand};
use essaim::Roster;
use essaim::config::{ShownValue, json_schema};
use essaim::exit::{self, Fatal};

use super::print::{self, columns};
use super::{DEFAULTS, Global, NodeArgs};
use crate::serve::Part;

/// `essaim config`
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// What to do
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// The commands of `essaim config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Shows each value that this command line, its environment and its file lead to, and where it comes from
    Show(ShowArgs),
    /// Prints a JSON Schema of configuration and topology files, for editors
    Schema,
}

/// `essaim config show`
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Only keys that begin so, such as `store` or `store.durability`
    #[arg(value_name = "KEY")]
    key: Option<String>,
    /// The configuration of this node of the topology that --config names; without it that of `essaim run`
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// Only what is not a default
    #[arg(long)]
    changed: bool,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// If the configuration is wrong, or has no such key.
pub fn run(roster: &Roster, global: &Global, command: &ConfigCommand) -> Result<(), Fatal> {
    match command {
        ConfigCommand::Show(arguments) => show(roster, global, arguments),
        ConfigCommand::Schema => {
            print::json(&json_schema(DEFAULTS));
            Ok(())
        }
    }
}

fn show(roster: &Roster, global: &Global, arguments: &ShowArgs) -> Result<(), Fatal> {
    let part = match &arguments.node {
        Some(name) => Part::of(roster, global, &NodeArgs { name: name.clone(), until_stdin_closes: false })?,
        None => Part::whole(roster, global)?,
    };
    let config = part.config();
    let prefix = arguments.key.as_deref().unwrap_or_default();
    let below = |key: &str| {
        key.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || prefix.is_empty() || rest.starts_with('.'))
    };
    let found: Vec<&ShownValue> = config.values.iter().filter(|value| below(&value.key)).collect();
    if found.is_empty() {
        return Err(Fatal::new(
            exit::DATA,
            format!("there is no configuration key `{prefix}`; `essaim config show` lists all"),
        ));
    }
    let shown: Vec<&ShownValue> = found.into_iter().filter(|value| !(arguments.changed && value.built_in)).collect();
    if arguments.json {
        print::json(&shown);
        return Ok(());
    }
    let row = |value: &&ShownValue| [value.key.clone(), quoted(&value.value), value.source.clone()];
    print::page(&columns(&shown.iter().map(row).collect::<Vec<_>>()));
    Ok(())
}

/// A value that would not be seen, or would run into the next column.
fn quoted(value: &str) -> String {
    if value.is_empty() || value.contains("  ") { format!("{value:?}") } else { value.into() }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use jsonschema::Validator;
    use serde_json::{Value, json};

    use super::*;

    fn validator() -> Validator {
        jsonschema::validator_for(&json_schema(DEFAULTS)).expect("it is a JSON Schema")
    }

    fn json_of(toml: &str) -> Value {
        serde_json::to_value(toml.parse::<toml::Table>().expect("it is TOML")).expect("all TOML is JSON")
    }

    #[test]
    fn the_schema_knows_every_key_and_says_what_it_is() {
        fn each(defaults: &Value, schema: &Value, path: &str) {
            for (key, value) in defaults.as_object().into_iter().flatten() {
                let (said, path) = (&schema["properties"][key], format!("{path}.{key}"));
                assert!(said["description"].as_str().is_some_and(|text| !text.is_empty()), "{path}: {said}");
                each(value, said, &path);
            }
        }
        each(&json_of(DEFAULTS), &json_schema(DEFAULTS), "");
    }

    #[test]
    fn files_that_work_fit_the_schema_and_misspelt_ones_do_not() {
        let schema = validator();
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
        for file in ["default.toml", "split.toml", "replicated.toml"] {
            let text = std::fs::read_to_string(directory.join(file)).expect("it is there");
            let wrong: Vec<_> = schema.iter_errors(&json_of(&text)).map(|e| e.to_string()).collect();
            assert!(wrong.is_empty(), "{file}: {wrong:?}");
        }
        for (wrong, right) in [
            (json!({ "gatway": {} }), json!({ "gateway": { "listen": "127.0.0.1:80" } })),
            (json!({ "gateway": { "listn": "x" } }), json!({ "bridge": { "url_file": "/run/secrets/redis" } })),
            (json!({ "ask": { "timeout_ms": "5 s" } }), json!({ "ask": { "timeout_ms": 5 } })),
            (
                json!({ "nodes": { "a": { "host": [] } } }),
                json!({ "nodes": { "a": { "hosts": ["users"], "set": { "a.b": 1 } } } }),
            ),
            (
                json!({ "capabilities": { "users": { "pool": 1 } } }),
                json!({ "capabilities": { "users": { "instances": 1 } } }),
            ),
        ] {
            assert!(!schema.is_valid(&wrong), "{wrong}");
            assert!(schema.is_valid(&right), "{right}");
        }
    }
}
