//! Which file it is: so that one which was moved away, or replaced under its name, is noticed.

use std::fs::Metadata;
use std::path::Path;

/// What tells a file from every other one of the machine, by any name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileIdentity(u64, u64);

impl FileIdentity {
    /// The file that a path leads to; `None` if it cannot be looked at.
    pub fn at(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|metadata| Self::of(&metadata))
    }

    /// The file that this was told of.
    #[cfg(unix)]
    pub fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self(metadata.dev(), metadata.ino())
    }

    /// Where files have no numbers, one that is open can be neither deleted nor replaced.
    #[cfg(not(unix))]
    pub fn of(_: &Metadata) -> Self {
        Self(0, 0)
    }
}
