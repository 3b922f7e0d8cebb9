//! `essaim completions` and `essaim man`: what shells and `man` know of the command line, made of its own definition.

use std::io::Error;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use essaim::exit::{self, Fatal};

use super::{Cli, print};

/// `essaim completions`
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell: put the output where it looks for completions, such as /etc/bash_completion.d/essaim
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// `essaim man`
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Where the pages are written, one for each command; made if it is missing
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
}

/// Prints the completions for a shell.
pub fn completions(args: &CompletionsArgs) {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "essaim", &mut script);
    print::page(&String::from_utf8_lossy(&script));
}

/// Writes the manual pages.
///
/// # Errors
/// If they cannot be written.
pub fn man(args: &ManArgs) -> Result<(), Fatal> {
    write(&args.directory).map_err(|error| {
        let directory = args.directory.display();
        Fatal::new(exit::DATA_DIR, format!("the manual pages cannot be written to {directory}: {error}"))
    })
}

fn write(directory: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(directory)?;
    clap_mangen::generate_to(Cli::command(), directory)
}
