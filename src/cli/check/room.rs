//! Whether what nodes keep in their data directories has room there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use essaim::{Roster, exit};
use rustix::fs::{Access, access, statvfs};

use super::page::Page;
use super::plan::Planned;

/// What a first start writes, with room for its journals, in bytes.
const LEAST_ROOM: u64 = 16 << 20;

/// Looks at each data directory, or at where it would be made, without writing there.
pub fn check(roster: &Roster, nodes: &[Planned], page: &mut Page) {
    let keeps = |node: &&Planned| node.hosts.iter().any(|host| roster.schema(host).is_some());
    let directories: BTreeSet<&PathBuf> =
        nodes.iter().filter(keeps).map(|n| &n.config.settings.node.data_dir).collect();
    for directory in directories {
        if let Some(problem) = problem_of(directory) {
            let shown = directory.display();
            page.problem(exit::DATA_DIR, format!("the data directory {shown} cannot be used: {problem}"));
        }
    }
}

fn problem_of(directory: &Path) -> Option<String> {
    let whole = std::path::absolute(directory).ok()?;
    let there = whole.ancestors().find(|d| d.is_dir())?;
    if access(there, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        let shown = there.display();
        return Some(format!("this user may not write in {shown}; choose another with --data-dir, or grant the right"));
    }
    let disk = statvfs(there).ok()?;
    let room = disk.f_bavail.saturating_mul(disk.f_frsize);
    (room < LEAST_ROOM).then(|| {
        let [room, least] = [room, LEAST_ROOM].map(|bytes| bytes >> 10);
        format!("its disk has room for {room} KiB, and a first start wants {least}: make room, or choose another with --data-dir")
    })
}
