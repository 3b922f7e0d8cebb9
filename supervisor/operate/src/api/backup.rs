//! Backups of what a node keeps in files.

use std::path::PathBuf;

use essaim_store::BackupManifest;
use serde::{Deserialize, Serialize};

use super::ApiRequest;

/// Copies of all files of this node that belong together, as they are at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MakeBackup {
    /// Where, as an absolute path on the machine of the node; nothing is there yet.
    pub directory: PathBuf,
}

impl ApiRequest for MakeBackup {
    const PATH: &'static str = "/backup";
    const CHANGES: bool = true;
    type Answer = BackupManifest;
}
