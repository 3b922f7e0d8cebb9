//! What is wrong has a colour on a terminal, and nowhere else.

use std::process::Command;

use crate::support::{Process, Scratch, essaim, free_port};

const RED: &str = "\u{1b}[1;31m";
const YELLOW: &str = "\u{1b}[33m";

/// What a command writes to a pseudo terminal, with these variables of the environment besides.
fn on_terminal(essaim: &Command, variables: &[(&str, &str)]) -> String {
    let words = [essaim.get_program()].into_iter().chain(essaim.get_args());
    let words: Vec<String> = words.map(|word| format!("'{}'", word.to_string_lossy())).collect();
    let mut script = Command::new("script");
    script.args(["-qec", &words.join(" "), "/dev/null"]).env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    let output = script.envs(variables.iter().copied()).output().expect("script of util-linux runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn what_is_wrong_is_coloured_on_a_terminal_alone_and_never_with_no_color() {
    let (data, admin) = (Scratch::new("colours"), format!("127.0.0.1:{}", free_port()));
    let wrong = "capabilities.orders.database=postgres://nobody@127.0.0.1:1/none";
    let of = |command: &[&str]| {
        let mut essaim = essaim();
        essaim.args(command).args(["--listen", "127.0.0.1:0", "--data-dir"]).arg(data.path());
        for setting in [wrong, "console.listen=127.0.0.1:0", &format!("node.admin_listen={admin}")] {
            essaim.args(["--set", setting]);
        }
        essaim
    };
    let check = of(&["check"]);
    let page = on_terminal(&check, &[]);
    assert!(page.contains(&format!("{RED}Problems\u{1b}[0m")) && page.contains(&format!("{RED}essaim:")), "{page}");
    let node = Process::start("colours", &mut of(&["run"]));
    node.wait_for_line("not every capability runs yet");
    let status = of(&["status", "--url", &admin]);
    let page = on_terminal(&status, &[]);
    assert!(page.contains(&format!("{RED}not ready\u{1b}[0m")), "{page}");
    assert!(page.contains(&format!("{YELLOW}starting")), "{page}");
    for mut command in [check, status] {
        let page = on_terminal(&command, &[("NO_COLOR", "1")]);
        assert!(page.contains("orders") && !page.contains('\u{1b}'), "{page}");
        let output = command.output().expect("essaim runs");
        let page = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(page.contains("orders") && !page.contains('\u{1b}') && !page.contains('\u{fdd0}'), "{page}");
    }
}
