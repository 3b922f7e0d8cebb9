//! A disk of a test's own, which can be full.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system in memory, of few bytes, over an existing directory. It goes with the value.
pub struct Disk(PathBuf);

impl Disk {
    /// A disk of so many MiB over a directory; `None`, with a line on stderr, where the tests may not mount one.
    pub fn over(directory: &Path, mib: u32) -> Option<Self> {
        let size = format!("size={mib}m");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(directory).status();
        if mount.is_ok_and(|status| status.success()) {
            return Some(Self(directory.to_path_buf()));
        }
        eprintln!("a full disk is not tried: only root may mount one");
        None
    }

    /// Leaves no room on it.
    pub fn fill(&self) {
        let mut file = File::create(self.filler()).expect("the disk can be written to");
        for bytes in [1 << 20, 4 << 10] {
            let block = vec![7; bytes];
            while file.write_all(&block).is_ok() {}
        }
    }

    /// Makes room again.
    pub fn free(&self) {
        std::fs::remove_file(self.filler()).expect("the disk was filled");
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A process with open files there keeps them until it ends.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
