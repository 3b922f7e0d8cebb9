//! `essaim backup`: a copy of what a running node keeps in files, as all of it was at one moment.

use std::path::PathBuf;

use clap::Args;
use essaim::Roster;
use essaim::api::{BackupManifest, MakeBackup, moment};
use essaim::exit::{self, Fatal};

use super::Global;
use super::mark::doubtful;
use super::operator::{At, Operator};
use super::print::{self, columns};

/// `essaim backup`
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// Where: a directory on the machine of the node that does not exist yet
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
    /// The node of a topology that is copied; by default the first that runs on this machine
    #[arg(long, value_name = "NAME", conflicts_with = "url")]
    node: Option<String>,
    /// Prints the manifest, as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: At,
}

/// Has the node make a backup, and prints what is in it, and what is not.
///
/// # Errors
/// If the node does not answer, or there is no backup.
pub fn run(roster: &Roster, global: &Global, arguments: &BackupArgs) -> Result<(), Fatal> {
    let operator = Operator::find_node(roster, global, &arguments.at, arguments.node.as_deref())?;
    let directory = match &operator {
        // It is of this machine.
        Operator::Socket(_) => std::path::absolute(&arguments.directory)
            .map_err(|error| Fatal::new(exit::USAGE, format!("{}: {error}", arguments.directory.display())))?,
        Operator::Listener { .. } => arguments.directory.clone(),
    };
    let made = operator.ask_for_long(&MakeBackup { directory: directory.clone() })?;
    if arguments.json {
        print::json(&made);
    } else {
        print::page(&table(&made));
        print::page(&format!("{} has `{}` as it was at {}\n", directory.display(), made.node, moment(made.at_ms)));
    }
    tell_absent(&made);
    Ok(())
}

/// Says what belongs to the node and is not in a backup of it.
pub fn tell_absent(manifest: &BackupManifest) {
    for absent in &manifest.not_in_it {
        print::line(&doubtful(&format!("not in it: {absent}")));
    }
}

fn table(made: &BackupManifest) -> String {
    let version = |version: Option<u32>| version.map_or_else(|| "-".into(), |version| version.to_string());
    let mut rows = vec![["FILE", "BYTES", "SCHEMA", "RUNTIME"].map(String::from)];
    for file in &made.files {
        let (schema, runtime) = (version(file.schema), version(file.runtime_schema));
        rows.push([file.file.clone(), file.bytes.to_string(), schema, runtime]);
    }
    columns(&rows)
}
