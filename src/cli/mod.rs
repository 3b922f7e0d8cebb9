//! The command line.

pub mod audit;
pub mod backup;
pub mod check;
pub mod config;
pub mod confirm;
pub mod data_dir;
pub mod dead;
pub mod erase;
pub mod follow;
pub mod ledger;
pub mod logs;
pub mod manual;
pub mod mark;
pub mod messages;
pub mod operator;
pub mod parked;
pub mod print;
pub mod restore;
pub mod retire;
pub mod schedules;
mod secret;
pub mod send;
pub mod signals;
pub mod status;
pub mod subscriptions;
pub mod top;
pub mod trace;
pub mod up;
pub mod why;
pub mod written;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use essaim::Roster;
use essaim::config::Layers;
use essaim::exit::Fatal;

use crate::serve::wrong;

/// The defaults, documented key by key.
pub const DEFAULTS: &str = include_str!("../../config/default.toml");

const EXIT_CODES: &str = "\
Exit codes:
   0  it ended as it should
   2  the command line cannot be understood
  65  `essaim ledger --at-rest` found a partition that does not balance; a dead letter, a
      subscription, a message or a capability that was named is not there; or one that
      is to be retired is hosted; or a message that was sent is rejected; or a
      backup that is to be restored is not whole
  69  the node that a command asks does not answer, or not for every capability
  70  a capability was given up, and supervision.exit_when_failed is set
  71  another process runs under this node's name with a higher epoch
  72  another live node has this node's name, or hosts a capability that has one host;
      or bridge.url leads to another cluster than this node's; or the node runs whose
      backup is to be restored
  73  the data directory cannot be used, or a restore has not ended; or databases are in
      it where some are to be restored
  74  what a command was asked for could not be written: such as to a disk that is full
  75  the bridge (Redis) does not answer
  76  the address to listen at is in use
  77  it lost its place while it ran: another cluster is where its own was, or another
      node has a capability that has one host
  78  the configuration is wrong
 130  a second signal ended it before it had drained

Configuration, each over the one before: the defaults (config/default.toml), the file
given with --config, the node's own `set` table in it, environment variables such as
ESSAIM__GATEWAY__LISTEN, --set, and the flags of their own. KEY_file = \"PATH\" sets
KEY to what the file holds.";

/// Backends made of supervised actors: one process or several, the same code.
#[derive(Debug, Parser)]
#[command(name = "essaim", version, after_long_help = EXIT_CODES, after_help = "--help explains exit codes too.")]
pub struct Cli {
    /// Flags of all commands.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags of all commands.
#[derive(Debug, Args)]
pub struct Global {
    /// The configuration or topology: a TOML file, such as config/split.toml
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Sets one key, such as --set ask.timeout_ms=2000; may be repeated
    #[arg(long = "set", global = true, value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
    /// Where databases live (node.data_dir)
    #[arg(long, global = true, value_name = "DIRECTORY")]
    pub data_dir: Option<String>,
    /// Where the gateway listens (gateway.listen)
    #[arg(long, global = true, value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,
    /// The form of log lines, pretty or json (log.format)
    #[arg(long, global = true, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// Logs more: -v for debug, -vv for trace (log.filter); RUST_LOG wins over it
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs all capabilities in this one process
    Run,
    /// Runs one node of a topology in this process
    Node(NodeArgs),
    /// Runs every node of a topology on this machine, each as a process of its own
    Up(UpArgs),
    /// Tells what is wrong with configuration, databases, bridge and ask graph
    Check(CheckArgs),
    /// Shows the configuration in force with the source of each value, or its form for editors
    Config(config::ConfigArgs),
    /// Shows the nodes of a running cluster and their capabilities
    Status(StatusArgs),
    /// Lists, shows, replays and drops dead letters: messages that nobody could apply
    Dead(dead::DeadArgs),
    /// Shows the capabilities of all nodes as a live table: load, speed, errors and what waits
    Top(top::TopArgs),
    /// Lists and drops subscriptions to events
    Subscriptions(subscriptions::SubscriptionsArgs),
    /// Shows what became of all durable messages, partition by partition
    Ledger(ledger::LedgerArgs),
    /// Shows the last log lines of all nodes, or follows them
    Logs(logs::LogsArgs),
    /// Shows who has changed what, and how it ended, of all nodes
    Audit(audit::AuditArgs),
    /// Copies all databases and the log of a running node, as they are at one moment
    Backup(backup::BackupArgs),
    /// Puts back what a backup holds, while its node does not run
    Restore(restore::RestoreArgs),
    /// Lists messages as they end, or shows what belongs to a request, a message or a key
    Trace(trace::TraceArgs),
    /// Says in sentences why a request, a message or what is about a key is slow or stuck
    Why(why::WhyArgs),
    /// Lists messages that wait for another attempt, and has them tried now
    Parked(parked::ParkedArgs),
    /// Lists the messages that capabilities take, with their fields
    Messages(messages::MessagesArgs),
    /// Sends a message that is written as JSON, and shows its answer
    Send(send::SendArgs),
    /// What capabilities send themselves at set times
    Schedules(schedules::SchedulesArgs),
    /// Lists what is kept of a subject, such as a user, in messages and records, and erases it
    Erase(erase::EraseArgs),
    /// Forgets a capability that is gone for good, with its subscriptions and what waits for it
    Retire(retire::RetireArgs),
    /// Prints what a shell completes of this command line: bash, zsh, fish, elvish or powershell
    Completions(manual::CompletionsArgs),
    /// Writes manual pages into a directory, such as /usr/local/share/man/man1
    Man(manual::ManArgs),
}

/// `essaim node`
#[derive(Debug, Args)]
pub struct NodeArgs {
    /// The node's name in the topology
    pub name: String,
    /// Drain when stdin closes; how `essaim up` stops its nodes, and how they notice that it is gone
    #[arg(long, hide = true)]
    pub until_stdin_closes: bool,
}

/// `essaim up`
#[derive(Debug, Args)]
pub struct UpArgs {
    /// The topology: a TOML file, such as config/split.toml
    #[arg(value_name = "TOPOLOGY")]
    pub topology: Option<PathBuf>,
}

/// `essaim check`
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The topology; without one, what `essaim run` would do is checked
    #[arg(value_name = "TOPOLOGY")]
    pub topology: Option<PathBuf>,
}

/// `essaim status`
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The /status of a gateway or of a node's admin listener; by default this configuration's gateway
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Whom to trust there.
    #[command(flatten)]
    pub ca: operator::Ca,
    /// Prints the JSON as it came
    #[arg(long)]
    pub json: bool,
}

impl Global {
    /// The layers of the configuration, up to these flags.
    ///
    /// # Errors
    /// If a file is missing or not TOML, or the node is not in the topology.
    pub fn layers<'r>(
        &self,
        roster: &'r Roster,
        topology: Option<&Path>,
        node: Option<&str>,
    ) -> Result<Layers<'r>, Fatal> {
        let environment = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        let mut layers = Layers::new(roster, DEFAULTS).map_err(wrong)?;
        if let Some(file) = topology.or(self.config.as_deref()) {
            layers.file(file).map_err(wrong)?;
        }
        if let Some(node) = node {
            layers.node(node).map_err(wrong)?;
        }
        layers.environment(environment).map_err(wrong)?;
        for assignment in &self.set {
            layers.set(assignment).map_err(wrong)?;
        }
        for (flag, key, value) in self.flags() {
            layers.flag(flag, key, &value).map_err(wrong)?;
        }
        Ok(layers)
    }

    /// The flags that stand for a key: flag, key, value.
    fn flags(&self) -> Vec<(&'static str, &'static str, String)> {
        let filter = match self.verbose {
            0 => None,
            1 => Some("debug".to_string()),
            _ => Some("trace".to_string()),
        };
        let flags = [
            ("--data-dir", "node.data_dir", self.data_dir.clone()),
            ("--listen", "gateway.listen", self.listen.clone()),
            ("--log-format", "log.format", self.log_format.clone()),
            ("-v", "log.filter", filter),
        ];
        flags.into_iter().filter_map(|(flag, key, value)| Some((flag, key, value?))).collect()
    }

    /// These flags as arguments for another process of this binary, but for the configuration file.
    pub fn arguments(&self) -> Vec<String> {
        let set = self.set.iter().flat_map(|s| ["--set".to_string(), s.clone()]);
        let flags = [("--data-dir", &self.data_dir), ("--listen", &self.listen), ("--log-format", &self.log_format)];
        let flags = flags.into_iter().filter_map(|(flag, value)| Some([flag.to_string(), value.clone()?]));
        let verbose = (0..self.verbose).map(|_| "-v".to_string());
        set.chain(flags.flatten()).chain(verbose).collect()
    }
}
