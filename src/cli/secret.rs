//! The secret of nodes that have none configured: `essaim up` makes one, and hands it to them as a file.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use essaim::Env;
use essaim::config::Settings;
use essaim::exit::{self, Fatal};
use essaim::store;

/// The name of the file, in the data directory.
const FILE: &str = "bridge-secret";

/// A secret that no file of the configuration names.
#[derive(Debug, PartialEq, Eq)]
pub struct MadeSecret {
    pub file: PathBuf,
    /// Whether there was data before there was a secret: what nodes have stored then is not signed.
    pub comes_late: bool,
}

impl MadeSecret {
    /// The secret of nodes that are bridged, if none of them has one; it is made at the first time.
    ///
    /// # Errors
    /// If it cannot be kept.
    pub fn of(nodes: &[Settings]) -> Result<Option<Self>, Fatal> {
        let needs_none =
            nodes.iter().any(|s| !s.bridge.secret.is_empty()) || nodes.iter().all(|s| s.bridge.url.is_empty());
        let Some(first) = nodes.first().filter(|_| !needs_none) else { return Ok(None) };
        let directory = &first.node.data_dir;
        let made = Self::in_directory(directory, &Env::system());
        made.map(Some).map_err(|error| {
            let shown = directory.display();
            let what = format!("the secret of the nodes cannot be kept in {shown}: {error}");
            Fatal::new(exit::DATA_DIR, format!("{what}; let this user write there, or set bridge.secret"))
        })
    }

    fn in_directory(directory: &Path, env: &Env) -> io::Result<Self> {
        let file = directory.join(FILE);
        let there = Self { file: file.clone(), comes_late: false };
        if file.exists() {
            return Ok(there);
        }
        let comes_late = fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some());
        store::make_private(directory)?;
        let secret = new_secret(env);
        let draft = directory.join(format!(".{FILE}-{}", std::process::id()));
        let mut written = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        written.write_all(secret.as_bytes()).and_then(|()| written.sync_all())?;
        // Whole or not at all, and never in place of one that is there.
        let linked = fs::hard_link(&draft, &file);
        fs::remove_file(&draft)?;
        match linked {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(there),
            linked => linked.map(|()| Self { comes_late, ..there }),
        }
    }

    /// What a node is told: where the secret is, and never the secret, which other users could see among the arguments.
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["--set".into(), format!("bridge.secret_file={}", self.file.display())];
        if self.comes_late {
            arguments.extend(["--set".into(), "bridge.unsigned=accept".into()]);
        }
        arguments
    }

    /// What a person is told.
    pub fn said(&self) -> String {
        let file = self.file.display();
        let late = match self.comes_late {
            true => "; it is new, and what was stored before is believed until the next `essaim up`",
            false => "",
        };
        format!(
            "no bridge.secret is set: these nodes sign with the one in {file}, and others need it too (bridge.secret_file){late}"
        )
    }
}

/// 256 bits that nobody can guess from anything else that the process has drawn.
fn new_secret(env: &Env) -> String {
    let mut bytes = [0; 32];
    env.fill_secret(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_secret_is_made_once_and_its_users_alone() {
        let directory = std::env::temp_dir().join(format!("essaim-secret-{}", Env::system().id()));
        let env = Env::system();
        let made = MadeSecret::in_directory(&directory.join("data"), &env).unwrap();
        let secret = fs::read_to_string(&made.file).unwrap();
        assert_eq!(fs::metadata(&made.file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(secret.len() == 64 && !made.comes_late, "{secret}");
        assert_eq!(MadeSecret::in_directory(&directory.join("data"), &env).unwrap(), made);
        assert_eq!(fs::read_to_string(&made.file).unwrap(), secret, "it is not made anew");
        assert_eq!(fs::read_dir(directory.join("data")).unwrap().count(), 1, "no draft is left");
        fs::remove_file(&made.file).unwrap();
        fs::write(directory.join("data/orders.sqlite3"), "").unwrap();
        let late = MadeSecret::in_directory(&directory.join("data"), &env).unwrap();
        assert!(late.comes_late && late.arguments().contains(&"bridge.unsigned=accept".to_string()));
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn a_secret_comes_from_the_generator_of_secrets_and_not_from_that_of_ids() {
        let [env, twin] = [(); 2].map(|()| Env::simulated(7, Duration::ZERO));
        let mut bytes = [0; 32];
        twin.fill_secret(&mut bytes);
        assert_eq!(new_secret(&env), bytes.map(|byte| format!("{byte:02x}")).concat());
    }

    #[test]
    fn nodes_without_a_bridge_or_with_a_secret_get_none() {
        let mut settings = Settings::default();
        settings.node.data_dir = "/dev/null/data".into();
        assert_eq!(MadeSecret::of(&[settings.clone()]).unwrap(), None);
        settings.bridge.url = "redis://127.0.0.1:1".into();
        let fatal = MadeSecret::of(&[settings.clone()]).unwrap_err();
        assert!(fatal.code == exit::DATA_DIR && fatal.reason.contains("bridge.secret"), "{}", fatal.reason);
        let configured = Settings {
            bridge: essaim::config::BridgeConfig { secret: "x".into(), ..settings.bridge.clone() },
            ..settings.clone()
        };
        assert_eq!(MadeSecret::of(&[settings, configured]).unwrap(), None);
    }
}
