//! The manifest of a backup: what is in its directory, and what is not. It is written last, and a directory without one is no backup.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Its name in the directory of a backup.
pub const FILE: &str = "manifest.json";
/// The form of backups that this binary writes and reads.
const FORMAT: u32 = 1;
/// The longest that is read, in bytes.
const LONGEST: u64 = 16 << 20;
const CHUNK: usize = 256 << 10;

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupManifest {
    /// The form of the backup.
    pub format: u32,
    /// The node whose files they are.
    pub node: String,
    /// The version of the binary that made it.
    pub version: String,
    /// The moment of the cut, in milliseconds since 1970.
    pub at_ms: u64,
    /// The identity of the log that the node used, wherever that is; `None` if it had none.
    pub log: Option<String>,
    /// The files, each in the directory of the backup.
    pub files: Vec<BackupFile>,
    /// What belongs to the node and is elsewhere, in words.
    pub not_in_it: Vec<String>,
}

/// One file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupFile {
    /// Whose it is.
    pub of: BackupOf,
    /// Its name in the directory.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its content, in hexadecimal digits.
    pub sha256: String,
    /// The version of the capability's tables.
    pub schema: Option<u32>,
    /// The version of the runtime's own tables.
    pub runtime_schema: Option<u32>,
}

/// Whose file it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupOf {
    /// Who has changed what at the node of this name.
    Audit(String),
    /// The database of this capability.
    Capability(String),
    /// The embedded log.
    Log,
}

impl BackupOf {
    /// The name of its file in a backup; and in `node.data_dir`, unless a capability's is elsewhere.
    pub fn file_name(&self) -> String {
        match self {
            Self::Audit(node) => format!("{node}.audit.sqlite3"),
            Self::Capability(name) => format!("{name}.sqlite3"),
            Self::Log => "log.sqlite3".into(),
        }
    }
}

impl fmt::Display for BackupOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Audit(_) => f.write_str("the audit"),
            Self::Capability(name) => write!(f, "the database of `{name}`"),
            Self::Log => f.write_str("the log"),
        }
    }
}

/// Why a directory cannot be read as a backup.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("it has no {FILE}: it is no backup, or not a whole one")]
    Missing,
    #[error("its {FILE} cannot be read: {0}")]
    Unreadable(String),
    #[error("it has the form {0}, which this binary does not know: restore it with the version that has made it")]
    OtherFormat(u32),
}

impl BackupManifest {
    /// The manifest of a backup that is being made.
    pub fn new(node: &str, at_ms: u64, log: Option<String>, not_in_it: Vec<String>) -> Self {
        let version = env!("CARGO_PKG_VERSION").into();
        Self { format: FORMAT, node: node.into(), version, at_ms, log, files: Vec::new(), not_in_it }
    }

    /// Reads the manifest of the backup in a directory.
    ///
    /// # Errors
    /// If there is none that this binary can read.
    pub fn read(directory: &Path) -> Result<Self, ManifestError> {
        let unreadable = |why: String| ManifestError::Unreadable(why);
        let file = File::open(directory.join(FILE)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ManifestError::Missing,
            _ => unreadable(error.to_string()),
        })?;
        let mut text = String::new();
        file.take(LONGEST).read_to_string(&mut text).map_err(|error| unreadable(error.to_string()))?;
        let form: Form = serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
        if form.format != FORMAT {
            return Err(ManifestError::OtherFormat(form.format));
        }
        let manifest: Self = serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
        // Its names become paths.
        match manifest.files.iter().find(|file| Path::new(&file.file).file_name() != Some(file.file.as_ref())) {
            Some(file) => Err(unreadable(format!("`{}` is no name of a file", file.file))),
            None => Ok(manifest),
        }
    }
}

/// What every manifest tells, whatever its form.
#[derive(Deserialize)]
struct Form {
    format: u32,
}

/// The content of a file while it passes: its size and SHA-256, and what else is done with it.
pub fn digest(mut from: impl Read, mut pass: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<(u64, String)> {
    let (mut hash, mut bytes, mut chunk) = (Sha256::new(), 0, vec![0; CHUNK]);
    loop {
        let read = match from.read(&mut chunk) {
            Ok(0) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        hash.update(&chunk[..read]);
        pass(&chunk[..read])?;
        bytes += read as u64;
    }
    Ok((bytes, hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::testing::Directory;

    #[test]
    fn a_manifest_that_is_not_understood_or_names_a_path_is_refused() {
        let directory = Directory::new();
        assert!(matches!(BackupManifest::read(directory.path()), Err(ManifestError::Missing)));
        let write = |manifest: &BackupManifest| {
            std::fs::write(directory.path().join(FILE), serde_json::to_vec(manifest).unwrap()).unwrap();
            BackupManifest::read(directory.path())
        };
        let mut manifest = BackupManifest::new("main", 7, None, vec!["the log, which is on Redis".into()]);
        let of = BackupOf::Capability("orders".into());
        let file = of.file_name();
        manifest.files.push(BackupFile {
            of,
            file,
            bytes: 1,
            sha256: "00".into(),
            schema: Some(1),
            runtime_schema: None,
        });
        assert_eq!(write(&manifest).unwrap(), manifest);
        for path in ["../orders.sqlite3", "/orders.sqlite3", "a/b", "..", ""] {
            manifest.files[0].file = path.into();
            assert!(matches!(write(&manifest), Err(ManifestError::Unreadable(_))), "{path}");
        }
        manifest.format = 2;
        assert!(matches!(write(&manifest), Err(ManifestError::OtherFormat(2))));
    }

    #[test]
    fn the_digest_is_sha_256_of_what_passes() {
        let mut passed = Vec::new();
        let (bytes, sha256) = digest(&b"abc"[..], |chunk| passed.write_all(chunk)).unwrap();
        assert_eq!((bytes, passed), (3, b"abc".to_vec()));
        assert_eq!(sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
