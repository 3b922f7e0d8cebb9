//! The layers of the configuration, each laid over the one before.
//!
//! Lowest first: the built-in defaults, the file, the topology node's own `set` table, the environment, `--set`, flags.
//! In every layer but the first `KEY_file = "PATH"` sets `KEY` to what the file at PATH holds, without the line break
//! at its end, so that secrets need not stand in the configuration.

use std::collections::BTreeMap;
use std::path::Path;

use super::deserialize::{one_line, read, similar};
use super::shown::shown;
use super::tree::{Leaf, Tree, Value, ValueSource};
use super::{Config, ConfigError, Mistake, Settings, validate};

/// The prefix of environment variables that set a key: `ESSAIM__SECTION__KEY`.
const ENVIRONMENT_PREFIX: &str = "ESSAIM__";
/// The end of a key that names a file with the value.
const FILE_SUFFIX: &str = "_file";

/// The capabilities of a binary, as far as the configuration concerns them.
pub trait Capabilities {
    /// Their names; each is a section of the configuration.
    fn names(&self) -> Vec<&'static str>;

    /// Checks each one's section.
    ///
    /// # Errors
    /// The first mistake that is found.
    fn check(&self, config: &Config) -> Result<(), ConfigError>;
}

/// The layers of a configuration, from which it is resolved.
pub struct Layers<'r> {
    capabilities: &'r dyn Capabilities,
    names: Vec<&'static str>,
    tree: Tree,
    /// The sections of the lowest layer; those of capabilities that a smaller binary leaves out are no mistake.
    built_in: Vec<String>,
    /// The file, which is the source of a table without values.
    file: Option<ValueSource>,
}

impl<'r> Layers<'r> {
    /// The lowest layer: the defaults of a binary with these capabilities, as a TOML document.
    ///
    /// # Errors
    /// If the document is not TOML.
    pub fn new(capabilities: &'r dyn Capabilities, built_in: &str) -> Result<Self, ConfigError> {
        let tree = Tree::of_toml(parse(built_in, &ValueSource::BuiltIn)?, &ValueSource::BuiltIn);
        let built_in = tree.entries().map(|(name, _)| name.clone()).collect();
        let names = capabilities.names();
        Ok(Self { capabilities, names, tree, built_in, file: None })
    }

    /// Adds a TOML file.
    ///
    /// # Errors
    /// If it cannot be read or is not TOML.
    pub fn file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let source = ValueSource::given(path.display().to_string());
        let text = std::fs::read_to_string(path)
            .map_err(|e| Mistake::Unreadable(unreadable(&e, "the configuration file")).at(Some(&source)))?;
        self.file = Some(source.clone());
        self.merge(Tree::of_toml(parse(&text, &source)?, &source))
    }

    /// Adds the settings of one node of the topology, and its name.
    ///
    /// # Errors
    /// If the topology has no such node.
    pub fn node(&mut self, name: &str) -> Result<(), ConfigError> {
        let Some(node) = self.tree.get(["nodes", name]) else { return Err(self.no_node(name)) };
        let source = node.source().or(self.file.as_ref()).cloned().unwrap_or(ValueSource::BuiltIn);
        let mut layer = Tree::default();
        if let Some(set) = node.get(["set"]) {
            let source = ValueSource::given(format!("{source} (nodes.{name}.set)"));
            for (key, value) in set.entries() {
                let path: Vec<&str> = key.split('.').collect();
                layer.put(&path, with_source(value.clone(), &source));
            }
        }
        layer.put(&["node", "name"], Tree::text(name, source));
        self.merge(layer)
    }

    /// The names of the topology's nodes.
    pub fn nodes(&self) -> Vec<String> {
        self.tree.get(["nodes"]).into_iter().flat_map(Tree::entries).map(|(name, _)| name.clone()).collect()
    }

    /// Adds the environment variables that begin with `ESSAIM__`.
    ///
    /// # Errors
    /// If one of them names no key, or a file that cannot be read.
    pub fn environment(&mut self, variables: impl IntoIterator<Item = (String, String)>) -> Result<(), ConfigError> {
        let mut layer = Tree::default();
        for (name, value) in variables {
            let Some(key) = name.strip_prefix(ENVIRONMENT_PREFIX) else { continue };
            let key = key.to_lowercase();
            let mut path: Vec<&str> = key.split("__").collect();
            // Capabilities may have `-` in their names, environment variables may not.
            let place = usize::from(path[0] == "capabilities");
            if let Some(segment) = path.get_mut(place)
                && let Some(capability) = self.names.iter().find(|c| c.replace('-', "_") == *segment)
            {
                *segment = capability;
            }
            layer.put(&path, Tree::text(value, ValueSource::given(name.clone())));
        }
        self.merge(layer)
    }

    /// Adds an assignment from the command line, `section.key=value`.
    ///
    /// # Errors
    /// If it is not an assignment, or names a file that cannot be read.
    pub fn set(&mut self, assignment: &str) -> Result<(), ConfigError> {
        let Some((key, value)) = assignment.split_once('=') else {
            return Err(Mistake::NoAssignment.at(Some(&ValueSource::given(format!("--set {assignment}")))));
        };
        self.assign(&format!("--set {key}"), key.trim(), value)
    }

    /// Adds a flag of its own that stands for a key, such as `--listen` for `gateway.listen`.
    ///
    /// # Errors
    /// If the value names a file that cannot be read.
    pub fn flag(&mut self, flag: &str, key: &str, value: &str) -> Result<(), ConfigError> {
        self.assign(flag, key, value)
    }

    /// Sets a key that no other layer sets: a command's own default.
    pub fn preset(&mut self, command: &str, key: &str, value: &str) {
        let path: Vec<&str> = key.split('.').collect();
        if self.tree.get(path.iter().copied()).is_none_or(Tree::is_built_in) {
            self.tree.put(&path, Tree::text(value, ValueSource::given(command)));
        }
    }

    fn assign(&mut self, source: &str, key: &str, value: &str) -> Result<(), ConfigError> {
        let mut layer = Tree::default();
        let path: Vec<&str> = key.split('.').collect();
        layer.put(&path, Tree::text(value, ValueSource::given(source)));
        self.merge(layer)
    }

    fn merge(&mut self, mut layer: Tree) -> Result<(), ConfigError> {
        read_files(&mut layer, "")?;
        self.tree.merge(layer);
        Ok(())
    }

    fn no_node(&self, name: &str) -> ConfigError {
        let nodes = self.nodes();
        let source = self.tree.get(["nodes"]).and_then(Tree::source).or(self.file.as_ref());
        let file = source.cloned().unwrap_or_else(|| ValueSource::given("the configuration"));
        let hint = match similar(name, nodes.iter().map(String::as_str)) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None if nodes.is_empty() => return Mistake::NoTopology { file: file.to_string() }.at(None),
            None => format!("there are {}", nodes.join(", ")),
        };
        Mistake::NoSuchNode { name: name.into(), hint }.at(Some(&file))
    }

    /// Checks all layers together and gives every value its type.
    ///
    /// # Errors
    /// The first mistake, in one line with its key and source.
    pub fn resolve(self) -> Result<Config, ConfigError> {
        let (mut runtime, mut sections) = (BTreeMap::new(), BTreeMap::new());
        let known = runtime_sections();
        let Tree::Table(top) = self.tree else { return Err(ConfigError::new("the configuration is not a table")) };
        for (name, tree) in top {
            if known.contains(&name) {
                runtime.insert(name, tree);
            } else if self.names.contains(&name.as_str()) {
                sections.insert(name, tree);
            } else if !(tree.is_built_in() && self.built_in.contains(&name)) {
                let mut known: Vec<&str> = known.iter().map(String::as_str).collect();
                known.extend(&self.names);
                return Err(unknown_section(&name, tree.source().or(self.file.as_ref()), &tree, &known));
            }
        }
        drop_unknown_defaults(&mut runtime, &self.names);
        let runtime = Tree::Table(runtime);
        let settings: Settings = read(&runtime, "")?;
        check_capabilities(&runtime, &settings, &self.names)?;
        validate::check_ranges(&settings).map_err(|broken| {
            let source = runtime.get(broken.key.split('.')).and_then(Tree::source);
            Mistake::Unfit { key: broken.key, must: broken.must }.at(source)
        })?;
        let mut values = shown(&runtime);
        values.extend(shown(&Tree::Table(sections.clone())));
        let config = Config { settings, sections, values };
        self.capabilities.check(&config)?;
        Ok(config)
    }
}

fn parse(text: &str, source: &ValueSource) -> Result<toml::Value, ConfigError> {
    let table: Result<toml::Table, toml::de::Error> = toml::from_str(text);
    table.map(toml::Value::Table).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        let origin = ValueSource::given(format!("{source}:{line}"));
        Mistake::NotToml(one_line(error.message())).at(Some(&origin))
    })
}

fn unreadable(error: &std::io::Error, what: &str) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => format!("{what} does not exist"),
        std::io::ErrorKind::PermissionDenied => format!("{what} may not be read by this user"),
        _ => format!("{what} cannot be read: {error}"),
    }
}

/// A tree with another source.
fn with_source(tree: Tree, source: &ValueSource) -> Tree {
    match tree {
        Tree::Table(table) => Tree::Table(table.into_iter().map(|(k, t)| (k, with_source(t, source))).collect()),
        Tree::Leaf(leaf) => Tree::Leaf(Leaf { source: source.clone(), ..leaf }),
    }
}

/// Replaces each key that names a file by the key with the content of the file.
fn read_files(tree: &mut Tree, path: &str) -> Result<(), ConfigError> {
    let Tree::Table(table) = tree else { return Ok(()) };
    let names: Vec<String> = table.keys().filter(|k| k.ends_with(FILE_SUFFIX)).cloned().collect();
    for name in names {
        let Some(Tree::Leaf(leaf)) = table.remove(&name) else { continue };
        let key = name.trim_end_matches(FILE_SUFFIX).to_string();
        let full = |key: &str| if path.is_empty() { key.to_string() } else { format!("{path}.{key}") };
        if table.contains_key(&key) {
            return Err(Mistake::GivenTwice { key: full(&key), file_key: full(&name) }.at(Some(&leaf.source)));
        }
        table.insert(key, file_of(&leaf, &full(&name))?);
    }
    for (key, tree) in table {
        // The files of other nodes need not be there.
        if path != "nodes" {
            read_files(tree, &if path.is_empty() { key.clone() } else { format!("{path}.{key}") })?;
        }
    }
    Ok(())
}

fn file_of(leaf: &Leaf, key: &str) -> Result<Tree, ConfigError> {
    let Leaf { value, source } = leaf;
    let file = match value {
        Value::Text(text) | Value::Typed(toml::Value::String(text)) => text,
        Value::Typed(_) => {
            return Err(Mistake::Unfit { key: key.into(), must: "be the path of a file".into() }.at(Some(source)));
        }
    };
    match std::fs::read_to_string(file) {
        Ok(text) => {
            let secret = text.strip_suffix('\n').map_or(&*text, |t| t.strip_suffix('\r').unwrap_or(t));
            Ok(Tree::text(secret, ValueSource::of_file(source, file)))
        }
        Err(error) => {
            let why = unreadable(&error, &format!("the file {file}"));
            Err(Mistake::Refused { key: key.into(), why }.at(Some(source)))
        }
    }
}

/// The names of the runtime's own sections.
pub fn runtime_sections() -> Vec<String> {
    let settings = toml::Table::try_from(Settings::default());
    settings.map(|table| table.keys().cloned().collect()).unwrap_or_default()
}

/// Says that no capability has this name, and which one was probably meant.
pub fn no_such_capability(name: &str, known: &[&str]) -> String {
    match similar(name, known.iter().copied()) {
        Some(meant) => format!("no capability is called `{name}`: did you mean `{meant}`?"),
        None => format!("no capability is called `{name}`: there are {}", known.join(", ")),
    }
}

fn unknown_section(name: &str, source: Option<&ValueSource>, tree: &Tree, known: &[&str]) -> ConfigError {
    let hint = match similar(name, known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("there are {}", known.join(", ")),
    };
    let what = if matches!(tree, Tree::Table(_)) { "section" } else { "key" };
    Mistake::Unknown { what, name: name.into(), hint }.at(source)
}

/// The defaults may name capabilities that a smaller binary leaves out.
fn drop_unknown_defaults(runtime: &mut BTreeMap<String, Tree>, names: &[&str]) {
    if let Some(Tree::Table(capabilities)) = runtime.get_mut("capabilities") {
        capabilities.retain(|name, tree| names.contains(&name.as_str()) || !tree.is_built_in());
    }
}

/// Checks that each name of a capability in the settings is one of this binary.
fn check_capabilities(tree: &Tree, settings: &Settings, names: &[&str]) -> Result<(), ConfigError> {
    let wrong = |path: &[&str], mistake: Mistake| mistake.at(tree.get(path.iter().copied()).and_then(Tree::source));
    let no_such = |key: String, name: &str| Mistake::Refused { key, why: no_such_capability(name, names) };
    for name in settings.capabilities.keys() {
        if !names.contains(&name.as_str()) {
            let key = format!("capabilities.{name}");
            return Err(wrong(&["capabilities", name], no_such(key, name)));
        }
    }
    for (node, topology) in &settings.nodes {
        let key = format!("nodes.{node}.hosts");
        for (place, name) in topology.hosts.iter().enumerate() {
            if !names.contains(&name.as_str()) {
                return Err(wrong(&["nodes", node, "hosts"], no_such(key, name)));
            }
            if topology.hosts[..place].contains(name) {
                return Err(wrong(&["nodes", node, "hosts"], Mistake::NamedTwice { key, name: name.clone() }));
            }
        }
    }
    Ok(())
}
