//! A pooler before a PostgreSQL.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::{Database, Postgres, Process, Scratch, free_port};

/// A real `pgbouncer` on a free port. It ends with the value.
pub struct PgBouncer {
    port: u16,
    _server: Process,
    _directory: Scratch,
}

impl PgBouncer {
    /// Starts one with this `pool_mode` and these further settings before that server.
    ///
    /// # Panics
    /// If `pgbouncer` is not installed, or does not start.
    pub fn start(postgres: &Postgres, mode: &str, more: &str) -> Self {
        let (port, directory) = (free_port(), Scratch::new("pgbouncer"));
        let file = directory.join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={} user=essaim\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = any\npool_mode = {mode}\ndefault_pool_size = 40\n{more}\n",
            postgres.port()
        );
        std::fs::write(&file, text).expect("the directory can be written");
        let mut command = Command::new("pgbouncer");
        if let Some((user, group)) = postgres.owner() {
            // It refuses to run as root.
            let everyone = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(directory.path(), everyone).expect("the directory is the test's");
            command.uid(user).gid(group);
        }
        let server = Process::start("pgbouncer", command.arg(&file));
        server.wait_for_line("process up");
        Self { port, _server: server, _directory: directory }
    }

    /// The address of a database through it.
    pub fn url(&self, database: &Database) -> String {
        format!("postgres://essaim@127.0.0.1:{}/{}", self.port, database.name())
    }
}
