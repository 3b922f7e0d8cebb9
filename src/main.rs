//! The `essaim` binary: the capabilities of the roster, as one process or several.
//!
//! # Layout
//!
//! - `cli`: the command line; a file for each command.
//! - `roster`: the capabilities compiled in.
//! - `logging`: where log lines go. `serve`: a node's life in this process; `descriptors`: how much it
//!   may have open.

mod cli;
mod descriptors;
mod logging;
mod roster;
mod serve;

use std::process::ExitCode;

use clap::Parser;
use essaim::exit::Fatal;
use mimalloc::MiMalloc;

use crate::cli::{
    Cli, Command, audit, backup, check, config, dead, erase, ledger, logs, manual, messages, parked, print, restore,
    retire, schedules, send, status, subscriptions, top, trace, up, why,
};
use crate::serve::{Part, serve};

/// Threads that allocate at once do not wait for each other. SQLite has that of the system: with one for all of the process a
/// preloaded library, such as one that sets the clock, would find none yet.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(asked) if !asked.use_stderr() => {
            print::written(asked.print());
            return end(print::all_written());
        }
        Err(mistake) => mistake.exit(),
    };
    let roster = roster::roster();
    let ended: Result<(), Fatal> = match &cli.command {
        Command::Run => Part::whole(&roster, &cli.global).and_then(|part| serve(&roster, part)),
        Command::Node(node) => Part::of(&roster, &cli.global, node).and_then(|part| serve(&roster, part)),
        Command::Up(up) => up::run(&roster, &cli.global, up),
        Command::Check(check) => check::run(&roster, &cli.global, check),
        Command::Config(config) => config::run(&roster, &cli.global, &config.command),
        Command::Status(status) => status::run(&roster, &cli.global, status),
        Command::Dead(dead) => dead::run(&roster, &cli.global, &dead.command),
        Command::Subscriptions(subscriptions) => subscriptions::run(&roster, &cli.global, &subscriptions.command),
        Command::Ledger(ledger) => ledger::run(&roster, &cli.global, ledger),
        Command::Why(why) => why::run(&roster, &cli.global, why),
        Command::Parked(parked) => parked::run(&roster, &cli.global, &parked.command),
        Command::Messages(messages) => messages::run(&roster, &cli.global, messages),
        Command::Send(send) => send::run(&roster, &cli.global, send),
        Command::Audit(audit) => audit::run(&roster, &cli.global, audit),
        Command::Backup(backup) => backup::run(&roster, &cli.global, backup),
        Command::Restore(restore) => restore::run(&roster, &cli.global, restore),
        Command::Schedules(schedules) => schedules::run(&roster, &cli.global, &schedules.command),
        Command::Logs(logs) => logs::run(&roster, &cli.global, logs),
        Command::Top(top) => top::run(&roster, &cli.global, top),
        Command::Trace(trace) => trace::run(&roster, &cli.global, trace),
        Command::Erase(erase) => erase::run(&roster, &cli.global, erase),
        Command::Retire(retire) => retire::run(&roster, &cli.global, retire),
        Command::Completions(shell) => {
            manual::completions(shell);
            Ok(())
        }
        Command::Man(man) => manual::man(man),
    };
    end(ended.and_then(|()| print::all_written()))
}

fn end(ended: Result<(), Fatal>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(fatal) => {
            print::error(&fatal);
            ExitCode::from(fatal.code)
        }
    }
}
