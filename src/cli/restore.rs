//! `essaim restore`: what a backup holds is put back where it was, while its node does not run.

use std::path::PathBuf;

use clap::Args;
use essaim::Roster;
use essaim::api::{BackupManifest, moment};
use essaim::exit::{self, Fatal};
use essaim::store::{RestoreError, restore};

use super::backup::tell_absent;
use super::{Global, print};
use crate::serve::wrong;

/// `essaim restore`
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The directory of the backup
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
    /// Moves databases aside that are where those of the backup are to be; without it they are left as they are, and nothing is done
    #[arg(long)]
    replace: bool,
}

/// Restores the node whose backup it is, and prints where everything is now.
///
/// # Errors
/// If it is no whole backup, the node runs, or its files cannot be written.
pub fn run(roster: &Roster, global: &Global, arguments: &RestoreArgs) -> Result<(), Fatal> {
    let directory = &arguments.directory;
    let named = |what: String| format!("{}: {what}", directory.display());
    let manifest = BackupManifest::read(directory).map_err(|error| Fatal::new(exit::DATA, named(error.to_string())))?;
    let all = global.layers(roster, None, None)?.resolve().map_err(wrong)?.settings;
    let settings = match all.nodes.contains_key(&manifest.node) {
        true => global.layers(roster, None, Some(&manifest.node))?.resolve().map_err(wrong)?.settings,
        false => all,
    };
    let restored = restore(directory, &manifest, &settings, arguments.replace)
        .map_err(|error| Fatal::new(code(&error), named(error.to_string())))?;
    for (from, to) in &restored.aside {
        print::page(&format!("{} is now {}\n", from.display(), to.display()));
    }
    restored.placed.iter().for_each(|path| print::page(&format!("{} is restored\n", path.display())));
    restored.left.iter().for_each(|path| print::page(&format!("{} was left as it is\n", path.display())));
    print::page(&format!("`{}` starts as it was at {}\n", manifest.node, moment(manifest.at_ms)));
    tell_absent(&manifest);
    Ok(())
}

fn code(error: &RestoreError) -> u8 {
    match error {
        RestoreError::OtherNode { .. } | RestoreError::Elsewhere(_) => exit::CONFIG,
        RestoreError::Running { .. } => exit::TAKEN,
        RestoreError::Damaged { .. } => exit::DATA,
        RestoreError::Occupied(_) | RestoreError::Unwritable { .. } | RestoreError::Database(_) => exit::DATA_DIR,
    }
}
