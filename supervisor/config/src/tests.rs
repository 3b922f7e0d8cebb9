use std::path::PathBuf;

use essaim_base::Env;
use serde::{Deserialize, Serialize};

use super::*;

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ShopSettings {
    tables: u32,
    open: bool,
    tax_percent: f64,
    motto: String,
    secret: Option<String>,
    guests: Vec<String>,
    style: Style,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Style {
    #[default]
    Plain,
    Grand,
}

/// A binary with two capabilities.
struct Shops;
impl Capabilities for Shops {
    fn names(&self) -> Vec<&'static str> {
        vec!["shop", "corner-till"]
    }

    fn check(&self, config: &Config) -> Result<(), ConfigError> {
        self.names().into_iter().try_for_each(|name| config.section::<ShopSettings>(name).map(drop))
    }
}

const DEFAULTS: &str = "[members]\nsilent_ms = 1500\n[shop]\nmotto = \"welcome\"\n[left-out]\nkey = 1\n";

/// A file that goes with the test.
struct File(PathBuf);

impl File {
    fn new(text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("essaim-config-{}", Env::system().id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn with(merge: impl FnOnce(&mut Layers<'_>) -> Result<(), ConfigError>) -> Result<Config, ConfigError> {
    let mut layers = Layers::new(&Shops, DEFAULTS)?;
    merge(&mut layers)?;
    layers.resolve()
}

fn shop(config: &Config) -> ShopSettings {
    config.section("shop").unwrap()
}

/// The error of a file with this text, with `FILE` for its path.
fn error_of_file(text: &str) -> String {
    let file = File::new(text);
    let error = with(|l| l.file(&file.0)).unwrap_err().to_string();
    assert!(!error.contains('\n'), "one line: {error}");
    error.replace(&file.path(), "FILE")
}

fn error_of_set(assignment: &str) -> String {
    with(|l| l.set(assignment)).unwrap_err().to_string()
}

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
}

#[test]
fn each_layer_is_laid_over_the_one_before() {
    let file = File::new(
        "[shop]\ntables = 1\nmotto = \"file\"\n[ask]\ntimeout_ms = 1\n\
         [nodes.a]\nhosts = [\"shop\"]\nset = { \"shop.tables\" = 2, ask.timeout_ms = 2 }\n\
         [nodes.b.set]\nshop.tables = 99\n",
    );
    let config = with(|l| {
        l.file(&file.0)?;
        assert_eq!(l.nodes(), ["a", "b"]);
        l.node("a")?;
        l.environment(variables(&[("ESSAIM__SHOP__TABLES", "3"), ("ESSAIM__ASK__RETRY_PERCENT", "7"), ("PATH", "/")]))?;
        l.set("shop.tables=4")?;
        l.set("shop.open=true")?;
        l.flag("--tables", "shop.tables", "5")
    })
    .unwrap();
    assert_eq!((shop(&config).tables, shop(&config).motto.as_str(), shop(&config).open), (5, "file", true));
    let s = &config.settings;
    assert_eq!((s.ask.timeout_ms, s.ask.retry_percent, s.members.silent_ms), (2, 7, 1_500));
    assert_eq!((s.node.name.as_str(), s.nodes["a"].hosts.as_slice()), ("a", &["shop".to_string()][..]));
}

#[test]
fn text_takes_the_type_that_its_key_wants() {
    let config = with(|l| {
        for assignment in [
            "shop.motto=42",
            "shop.secret=true",
            "shop.tables=1_000",
            "shop.tax_percent=7",
            "shop.guests=a, b",
            "shop.style=grand",
            "corner-till.guests=[\"c,d\"]",
            "corner-till.motto=\"a quoted one\"",
        ] {
            l.set(assignment)?;
        }
        l.environment(variables(&[("ESSAIM__CORNER_TILL__TABLES", "9")]))
    })
    .unwrap();
    let expected = ShopSettings {
        motto: "42".into(),
        secret: Some("true".into()),
        tables: 1_000,
        tax_percent: 7.0,
        guests: vec!["a".into(), "b".into()],
        style: Style::Grand,
        open: false,
    };
    assert_eq!(shop(&config), expected);
    let till: ShopSettings = config.section("corner-till").unwrap();
    assert_eq!((till.guests, till.motto.as_str(), till.tables), (vec!["c,d".to_string()], "a quoted one", 9));
}

#[test]
fn a_secret_comes_from_a_file_in_every_layer() {
    let (first, second) = (File::new("one\n"), File::new("two"));
    let file = File::new(&format!("[shop]\nsecret_file = \"{}\"\n", first.path()));
    let config = with(|l| l.file(&file.0)).unwrap();
    assert_eq!(shop(&config).secret.as_deref(), Some("one"));
    let config = with(|l| {
        l.file(&file.0)?;
        l.environment(variables(&[("ESSAIM__SHOP__SECRET_FILE", &second.path())]))
    });
    assert_eq!(shop(&config.unwrap()).secret.as_deref(), Some("two"));
}

#[test]
fn a_secret_file_of_another_node_is_not_read() {
    let file = File::new("[nodes.a]\n[nodes.b.set]\nshop.secret_file = \"/there/is/none\"\n");
    let config = with(|l| {
        l.file(&file.0)?;
        l.node("a")
    });
    assert_eq!(shop(&config.unwrap()).secret, None);
    let error = with(|l| {
        l.file(&file.0)?;
        l.node("b")
    });
    let expected = "FILE (nodes.b.set): `shop.secret_file`: the file /there/is/none does not exist";
    assert_eq!(error.unwrap_err().to_string().replace(&file.path(), "FILE"), expected);
}

#[test]
fn a_preset_gives_way_to_whoever_sets_the_key() {
    let config = with(|l| {
        l.preset("run", "shop.open", "true");
        l.preset("run", "shop.motto", "preset");
        Ok(())
    });
    assert_eq!((shop(config.as_ref().unwrap()).open, shop(&config.unwrap()).motto), (true, "preset".into()));
    let config = with(|l| {
        l.set("shop.open=false")?;
        l.preset("run", "shop.open", "true");
        Ok(())
    });
    assert!(!shop(&config.unwrap()).open);
}

#[test]
fn an_unknown_key_names_its_source_and_what_was_meant() {
    assert_eq!(
        error_of_file("[members]\nsilent_m = 5\n"),
        "FILE: unknown key `members.silent_m`: did you mean `members.silent_ms`?"
    );
    assert_eq!(
        error_of_set("shop.mottto=x"),
        "--set shop.mottto: unknown key `shop.mottto`: did you mean `shop.motto`?"
    );
    assert_eq!(
        error_of_set("drain.xyz=1"),
        "--set drain.xyz: unknown key `drain.xyz`: `drain` has announce_ms, timeout_ms"
    );
    let error = with(|l| l.environment(variables(&[("ESSAIM__SHOP__TABELS", "1")]))).unwrap_err();
    assert_eq!(error.to_string(), "ESSAIM__SHOP__TABELS: unknown key `shop.tabels`: did you mean `shop.tables`?");
}

#[test]
fn an_unknown_section_or_capability_is_named() {
    for text in ["[shoop]\ntables = 1\n", "[shoop]\n"] {
        assert_eq!(error_of_file(text), "FILE: unknown section `shoop`: did you mean `shop`?");
    }
    assert_eq!(
        error_of_file("[capabilities.shpo]\ninstances = 1\n"),
        "FILE: `capabilities.shpo`: no capability is called `shpo`: did you mean `shop`?"
    );
    assert_eq!(
        error_of_file("[nodes.a]\nhosts = [\"shop\", \"library\"]\n"),
        "FILE: `nodes.a.hosts`: no capability is called `library`: there are shop, corner-till"
    );
    assert_eq!(error_of_file("[nodes.a]\nhosts = [\"shop\", \"shop\"]\n"), "FILE: `nodes.a.hosts` names `shop` twice");
    assert_eq!(
        error_of_set("port=1"),
        "--set port: unknown key `port`: there are ask, audit, bridge, capabilities, drain, durable, log, members, near, node, \
         nodes, parity, store, supervision, trace, wire, shop, corner-till"
    );
}

#[test]
fn a_wrong_type_says_what_is_wanted_and_what_is_there() {
    assert_eq!(
        error_of_file("[ask]\ntimeout_ms = \"soon\"\n"),
        "FILE: `ask.timeout_ms` must be a whole number, 0 or more, not the text \"soon\""
    );
    assert_eq!(error_of_file("[shop]\nmotto = 5\n"), "FILE: `shop.motto` must be text, not 5");
    assert_eq!(error_of_file("[shop]\nguests = [\"a\", 2]\n"), "FILE: `shop.guests[1]` must be text, not 2");
    assert_eq!(error_of_file("members = 3\n"), "FILE: `members` must be a table, not 3");
    assert_eq!(
        error_of_set("shop.open=yes"),
        "--set shop.open: `shop.open` must be true or false, not the text \"yes\""
    );
    assert_eq!(
        error_of_set("shop.tax_percent=a"),
        "--set shop.tax_percent: `shop.tax_percent` must be a number, not the text \"a\""
    );
    assert_eq!(
        error_of_set("shop.tables=-1"),
        "--set shop.tables: `shop.tables` must be a whole number, 0 or more, not -1"
    );
    assert_eq!(
        error_of_set("log.format=yaml"),
        "--set log.format: `log.format` must be one of pretty, json, not `yaml`"
    );
}

#[test]
fn a_value_out_of_range_says_what_it_must_be() {
    assert_eq!(
        error_of_set("members.silent_ms=9000"),
        "--set members.silent_ms: `members.silent_ms` must be less than `members.lease_ms` (5000), but it is 9000"
    );
    assert_eq!(
        error_of_file("[capabilities.shop]\ninstances = 5000\n"),
        "FILE: `capabilities.shop.instances` must be 4096 or less, not 5000"
    );
    assert_eq!(
        error_of_set("ask.retry_percent=101"),
        "--set ask.retry_percent: `ask.retry_percent` must be 100 or less, not 101"
    );
    assert_eq!(
        error_of_set("node.name=a b"),
        "--set node.name: `node.name` must be 1 to 64 letters, digits, `-`, `_` or `.`, not \"a b\""
    );
    assert_eq!(
        error_of_set("bridge.url=localhost:6379"),
        "--set bridge.url: `bridge.url` must begin with redis:// or rediss:// (or redis+sentinel://, rediss+sentinel://), or be \
         empty for a single process"
    );
}

#[test]
fn a_url_that_may_hold_a_password_is_not_repeated() {
    let error = error_of_set("capabilities.shop.database=mysql://me:geheim@host/shop");
    assert!(!error.contains("geheim"), "{error}");
}

#[test]
fn files_that_are_missing_or_not_toml_are_named() {
    let missing = with(|l| l.file("/there/is/none.toml".as_ref())).unwrap_err();
    assert_eq!(missing.to_string(), "/there/is/none.toml: the configuration file does not exist");
    let error = error_of_file("[ask]\n\ntimeout_ms = \n");
    assert!(error.starts_with("FILE:3: this is not TOML: "), "{error}");
    assert_eq!(
        error_of_set("shop.secret_file=/there/is/none"),
        "--set shop.secret_file: `shop.secret_file`: the file /there/is/none does not exist"
    );
    assert_eq!(
        error_of_file("[shop]\nsecret = \"a\"\nsecret_file = \"b\"\n"),
        "FILE: `shop.secret` and `shop.secret_file` are both given: keep one"
    );
    assert_eq!(error_of_set("shop.open"), "--set shop.open: write it as section.key=value");
}

#[test]
fn an_unknown_node_is_named_with_what_was_meant() {
    let file = File::new("[nodes.front]\n[nodes.shop]\n");
    let error = |name: &str| {
        let config = with(|l| {
            l.file(&file.0)?;
            l.node(name)
        });
        config.unwrap_err().to_string().replace(&file.path(), "FILE")
    };
    assert_eq!(error("frnt"), "FILE: no node is called `frnt`: did you mean `front`?");
    assert_eq!(error("db"), "FILE: no node is called `db`: there are front, shop");
    let none = with(|l| l.node("a")).unwrap_err().to_string();
    assert!(none.starts_with("the configuration describes no nodes: give a topology"), "{none}");
}

#[test]
fn no_key_ends_as_the_name_of_a_file_with_its_value_would() {
    fn ends_so(table: &toml::Table) -> bool {
        let nested = |v: &toml::Value| v.as_table().is_some_and(ends_so);
        table.iter().any(|(k, v)| k.ends_with("_file") || nested(v))
    }
    assert!(!ends_so(&toml::Table::try_from(Settings::default()).unwrap()));
}

#[test]
fn the_defaults_break_no_rule() {
    validate::check_ranges(&Settings::default()).unwrap();
}

#[test]
fn a_secret_that_could_be_guessed_is_refused_and_not_told() {
    assert_eq!(
        error_of_file("[bridge]\nsecret = \"geheim\"\n"),
        "FILE: `bridge.secret` must have 32 characters or more, not 6: `openssl rand -hex 32` makes one"
    );
    let long = "geheim ".repeat(5);
    let both = format!("[bridge]\nsecret = \"{long}\"\nold_secrets = [\"geheim\"]\n");
    let error = error_of_file(&both);
    assert!(error.contains("`bridge.old_secrets` must have 32 characters or more each"), "{error}");
    assert!(!error.contains("geheim"), "{error}");
    let error = error_of_file(&format!("[bridge]\nold_secrets = [\"{long}\"]\n"));
    assert!(error.contains("`bridge.old_secrets` must be empty where `bridge.secret` is"), "{error}");
}
