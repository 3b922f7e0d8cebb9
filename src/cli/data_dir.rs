//! Claim of the data directory: checked before anything starts.

use std::fs;
use std::io;
use std::path::Path;

use essaim::Roster;
use essaim::config::Settings;
use essaim::exit::{self, Fatal};
use essaim::store::{self, DatabaseKind};

/// Makes the data directory if a capability hosted here keeps a file in it, and checks that no other process has one
/// of the files.
pub fn claim(roster: &Roster, settings: &Settings, hosts: &[String]) -> Result<(), Fatal> {
    let configured = |host: &str| settings.capabilities.get(host).map_or("", |c| c.database.trim());
    let on_sqlite = |host: &&String| {
        roster.schema(host).is_some() && DatabaseKind::configured(configured(host)) == DatabaseKind::Sqlite
    };
    for host in hosts.iter().filter(on_sqlite) {
        if configured(host).is_empty() {
            make(&settings.node.data_dir)?;
        }
        if let Some(held) = store::held(host, settings) {
            return Err(Fatal::new(exit::TAKEN, format!("`{host}`: {held}")));
        }
    }
    Ok(())
}

fn make(directory: &Path) -> Result<(), Fatal> {
    let probe = directory.join(format!(".essaim-{}", std::process::id()));
    let made =
        store::make_private(directory).and_then(|()| fs::write(&probe, "")).and_then(|()| fs::remove_file(&probe));
    made.map_err(|error| {
        let why = match error.kind() {
            io::ErrorKind::PermissionDenied => "this user may not write there".into(),
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => "a file is in the way".into(),
            _ => error.to_string(),
        };
        let shown = directory.display();
        let what = format!("the data directory {shown} cannot be used: {why}; choose another with --data-dir");
        Fatal::new(exit::DATA_DIR, format!("{what}, or let this user write there"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_made_is_its_users_alone() {
        use std::os::unix::fs::PermissionsExt;
        let directory = std::env::temp_dir().join(format!("essaim-data-dir-{}", std::process::id()));
        make(&directory.join("data")).unwrap();
        let mode = fs::metadata(directory.join("data")).unwrap().permissions().mode();
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn a_directory_that_cannot_be_made_says_why_and_what_to_do() {
        let fatal = make(Path::new("/dev/null/data")).unwrap_err();
        let expected = "the data directory /dev/null/data cannot be used: a file is in the way; \
                        choose another with --data-dir, or let this user write there";
        assert_eq!((fatal.code, fatal.reason.as_str()), (exit::DATA_DIR, expected));
    }
}
