//! Claim of the data directory: checked before anything starts.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use essaim::config::Settings;
use essaim::exit::{self, Fatal};
use essaim::store::{self, DatabaseKind, Held};
use essaim::{Env, Roster};

/// How often a file is looked at whose process drains.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How long a process may take to end after it has drained.
const END: Duration = Duration::from_secs(1);

/// Makes the data directory if a capability hosted here keeps a file in it, and checks that no other process has one
/// of the files. One that drains is waited for.
pub async fn claim(roster: &Roster, settings: &Settings, hosts: &[String], env: &Env) -> Result<(), Fatal> {
    let configured = |host: &str| settings.capabilities.get(host).map_or("", |c| c.database.trim());
    let on_sqlite =
        |host: &&String| roster.schema(host).is_some() && DatabaseKind::of(host, settings) == DatabaseKind::Sqlite;
    for host in hosts.iter().filter(on_sqlite) {
        if configured(host).is_empty() {
            make(&settings.node.data_dir)?;
        }
        free(host, settings, env).await.map_err(|held| Fatal::new(exit::TAKEN, format!("`{host}`: {held}")))?;
        is_whole(host, settings)?;
    }
    match settings.bridge.url.is_empty() {
        // A process alone has its log in a file, which is freed last.
        true => {
            free("log", settings, env).await.map_err(|held| Fatal::new(exit::DATA_DIR, held.to_string()))?;
            is_whole("log", settings)
        }
        false => Ok(()),
    }
}

/// Refuses a file whose restore has not ended.
fn is_whole(host: &str, settings: &Settings) -> Result<(), Fatal> {
    store::unfinished_restore(host, settings).map_or(Ok(()), |why| Err(Fatal::new(exit::DATA_DIR, why.to_string())))
}

/// Waits for a process that drains; an error if one has the file that does not, or not any more.
async fn free(host: &str, settings: &Settings, env: &Env) -> Result<(), Held> {
    let mut is_told = false;
    while let Some(held) = store::held(host, settings) {
        let end_ms = held.by.drains_until_ms.map_or(0, |until| until + END.as_millis() as u64);
        let left_ms = end_ms.saturating_sub(env.wall_ms());
        if left_ms == 0 {
            return Err(held);
        }
        if !std::mem::replace(&mut is_told, true) {
            let (file, process) = (held.file.display(), &held.by.process);
            tracing::info!("{process} has {file} and drains; waiting for its end, which may take {left_ms} ms");
        }
        tokio::time::sleep(LOOK_AGAIN).await;
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
