use clap::CommandFactory;

use super::*;

fn parse(arguments: &[&str]) -> Result<Cli, clap::Error> {
    Cli::try_parse_from([&["essaim"], arguments].concat())
}

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn flags_of_all_commands_stand_before_or_after_the_command() {
    for arguments in [
        ["--data-dir", "d", "--listen", "l", "--set", "a.b=1", "--set", "c.d=2", "-vv", "run"],
        ["run", "--data-dir", "d", "--listen", "l", "--set", "a.b=1", "--set", "c.d=2", "-vv"],
    ] {
        let cli = parse(&arguments).unwrap();
        assert_eq!((cli.global.set.join(" ").as_str(), cli.global.verbose), ("a.b=1 c.d=2", 2));
        let flags = cli.global.flags();
        let expected =
            [("--data-dir", "node.data_dir", "d"), ("--listen", "gateway.listen", "l"), ("-v", "log.filter", "trace")];
        assert_eq!(flags, expected.map(|(f, k, v)| (f, k, v.to_string())));
    }
}

#[test]
fn the_nodes_of_up_are_given_its_flags() {
    let given = ["--set", "a.b=1", "--set", "c.d=2", "--data-dir", "d", "--log-format", "json", "-v"];
    let cli = parse(&[&["up", "config/split.toml"], &given[..]].concat()).unwrap();
    assert_eq!(cli.global.arguments(), given);
}

#[test]
fn a_command_line_that_cannot_be_understood_has_its_own_code() {
    for arguments in [&["fly"][..], &["node"], &["run", "--lissten", "x"], &[]] {
        assert_eq!(parse(arguments).unwrap_err().exit_code(), 2, "{arguments:?}");
    }
}

#[test]
fn help_documents_every_exit_code() {
    let help = Cli::command().render_long_help().to_string();
    use essaim::exit::*;
    for code in [
        USAGE,
        DATA,
        UNAVAILABLE,
        GIVEN_UP,
        SUPERSEDED,
        TAKEN,
        DATA_DIR,
        BRIDGE,
        ADDRESS_IN_USE,
        DISPLACED,
        CONFIG,
        SECOND_SIGNAL,
    ] {
        assert!(help.lines().any(|l| l.trim().starts_with(&format!("{code} "))), "{code}\n{help}");
    }
}

#[test]
fn the_default_file_holds_every_key_with_the_default_of_the_code() {
    let file: toml::Table = DEFAULTS.parse().unwrap();
    let code = crate::roster::roster().defaults().unwrap();
    let keys = |table: &toml::Table| leaves("", table);
    let (file, code) = (keys(&file), keys(&code));
    let missing: Vec<_> = code.iter().filter(|leaf| !file.contains(leaf)).collect();
    let stray: Vec<_> = file.iter().filter(|leaf| !code.contains(leaf)).collect();
    assert!(missing.is_empty() && stray.is_empty(), "missing or different: {missing:#?}, not in the code: {stray:#?}");
}

fn leaves(path: &str, table: &toml::Table) -> Vec<(String, String)> {
    let leaf = |(key, value): (&String, &toml::Value)| match value {
        toml::Value::Table(table) => leaves(&format!("{path}{key}."), table),
        value => vec![(format!("{path}{key}"), value.to_string())],
    };
    table.iter().flat_map(leaf).collect()
}

#[test]
fn the_topologies_that_come_with_it_are_right() {
    let roster = crate::roster::roster();
    let global = parse(&["run"]).unwrap().global;
    for file in ["config/split.toml", "config/replicated.toml"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let nodes = global.layers(&roster, Some(&path), None).unwrap().nodes();
        assert!(nodes.len() >= 3, "{file}: {nodes:?}");
        for node in nodes {
            global.layers(&roster, Some(&path), Some(&node)).unwrap().resolve().unwrap();
        }
    }
}
