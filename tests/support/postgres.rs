//! A PostgreSQL server, shared by the whole binary or one test's own.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Name, Process, Scratch, Signal, free_port};

/// A real `postgres` on a free port, with a cluster directory of its own. It ends with the value, or with the binary.
pub struct Postgres {
    server: Process,
    port: u16,
    directory: Scratch,
    owner: Option<Owner>,
    /// Settings of one's own: `name=value`.
    settings: Vec<String>,
}

/// An empty database of one test.
pub struct Database {
    url: String,
}

impl Database {
    /// The address for `capabilities.NAME.database`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The same, through a name that leads to the server.
    pub fn url_through(&self, name: &Name) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{}", name.port(), self.name())
    }

    /// Its name on the server, for [`Postgres::sql`].
    pub fn name(&self) -> &str {
        self.url.rsplit('/').next().unwrap_or_default()
    }
}

/// The user of the server's files and processes where the tests run as root, as which PostgreSQL refuses to run.
#[derive(Clone, Copy)]
struct Owner {
    user: u32,
    group: u32,
}

/// Log lines of a server and of a standby once they can be used.
const READY: &str = "database system is ready to accept connections";
const READABLE: &str = "database system is ready to accept read-only connections";

/// The name of the server's superuser.
const USER: &str = "essaim";

impl Postgres {
    /// The server that all tests share; each takes a [`Postgres::database`] of its own.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Starts a server of one's own and waits until it takes connections.
    ///
    /// # Panics
    /// If PostgreSQL is not installed, or does not start.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// Starts a server with these settings: `max_connections=20`.
    ///
    /// # Panics
    /// As [`Postgres::start`].
    pub fn with(settings: &[&str]) -> Self {
        let settings: Vec<_> = settings.iter().map(|setting| setting.to_string()).collect();
        let (port, directory, owner) = (free_port(), Scratch::new("postgres"), owner());
        if let Some(Owner { user, group }) = owner {
            chown(directory.path(), Some(user), Some(group)).expect("root may give a directory away");
        }
        let mut initdb = program("initdb", owner);
        initdb.args(["--no-sync", "--auth=trust", "--no-locale", "--encoding=UTF8", "--username", USER]);
        run(initdb.arg("--pgdata").arg(directory.join("data")));
        let server = serve(port, &directory, owner, &settings);
        server.wait_for_line(READY);
        Self { server, port, directory, owner, settings }
    }

    /// Starts a standby of this server, which has all that it has at every moment, and waits until it can be read.
    ///
    /// # Panics
    /// As [`Postgres::start`].
    pub fn standby(&self) -> Self {
        let (port, directory, owner) = (free_port(), Scratch::new("postgres"), self.owner);
        if let Some(Owner { user, group }) = owner {
            chown(directory.path(), Some(user), Some(group)).expect("root may give a directory away");
        }
        let mut copy = program("pg_basebackup", owner);
        copy.args(["--host", "127.0.0.1", "--port", &self.port.to_string(), "--username", USER, "--no-sync"]);
        copy.args(["--checkpoint=fast", "--write-recovery-conf", "--wal-method=stream"]);
        run(copy.arg("--pgdata").arg(directory.join("data")));
        let settings = self.settings.clone();
        let server = serve(port, &directory, owner, &settings);
        server.wait_for_line(READABLE);
        Self { server, port, directory, owner, settings }
    }

    /// The user and group of its processes, if they are not this process's.
    pub fn owner(&self) -> Option<(u32, u32)> {
        self.owner.map(|owner| (owner.user, owner.group))
    }

    /// Has it serve TLS with this certificate and key, to clients alone whose certificate that authority has signed; but for
    /// [`Postgres::sql`]. All are texts of PEM files.
    pub fn require_certificates(&self, authority: &str, certificate: &str, key: &str) {
        let data = self.directory.join("data");
        let own = |path: &Path| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("the file is the test's");
            if let Some(Owner { user, group }) = self.owner {
                chown(path, Some(user), Some(group)).expect("root may give a file away");
            }
        };
        let access = "hostnossl all all 127.0.0.1/32 trust\nhostssl all all 127.0.0.1/32 trust clientcert=verify-ca\n";
        for (name, text) in
            [("ca.crt", authority), ("server.crt", certificate), ("server.key", key), ("pg_hba.conf", access)]
        {
            std::fs::write(data.join(name), text).expect("the directory of the data is there");
            own(&data.join(name));
        }
        self.sql("postgres", "ALTER SYSTEM SET ssl_ca_file = 'ca.crt'");
        self.sql("postgres", "ALTER SYSTEM SET ssl = on");
        self.sql("postgres", "SELECT pg_reload_conf()");
        super::eventually("the server to offer TLS", || (self.sql("postgres", "SHOW ssl") == "on").then_some(()));
    }

    /// Makes a standby the primary of its own.
    pub fn promote(&self) {
        assert_eq!(self.sql("postgres", "SELECT pg_promote()"), "t");
    }

    /// Starts a server that has ended again, as a standby: it can be read, and takes no writes.
    pub fn go_on_as_standby(&mut self) {
        let signal = self.directory.join("data").join("standby.signal");
        std::fs::write(&signal, "").expect("the directory of the data is there");
        self.server = serve(self.port, &self.directory, self.owner, &self.settings);
        self.server.wait_for_line(READABLE);
    }

    /// Starts a server that has ended again, which says that it starts up until it is told that it [has](Self::has_recovered).
    pub fn go_on_recovering(&mut self) {
        let data = self.directory.join("data");
        std::fs::write(data.join("standby.signal"), "").expect("the directory of the data is there");
        let mut own =
            std::fs::OpenOptions::new().append(true).open(data.join("postgresql.auto.conf")).expect("so is this");
        std::io::Write::write_all(&mut own, b"hot_standby = off\n").expect("there is room");
        self.server = serve(self.port, &self.directory, self.owner, &self.settings);
        self.server.wait_for_line("entering standby mode");
    }

    /// Ends what [`Postgres::go_on_recovering`] has begun.
    pub fn has_recovered(&self) {
        let mut promote = program("pg_ctl", self.owner);
        run(promote.arg("promote").arg("-D").arg(self.directory.join("data")));
        self.server.wait_for_line(READY);
    }

    /// Waits until the server writes a line that contains `text`.
    pub fn wait_for_line(&self, text: &str) {
        self.server.wait_for_line(text);
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// An empty database.
    pub fn database(&self) -> Database {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        Database { url: format!("postgres://{USER}@127.0.0.1:{}/{name}", self.port) }
    }

    /// Copies a database of which nobody has a session; the name of the copy.
    pub fn copy(&self, database: &Database) -> String {
        let (name, copy) = (database.name(), format!("{}_copy", database.name()));
        self.sql("postgres", &format!("CREATE DATABASE {copy} TEMPLATE {name}"));
        copy
    }

    /// Puts a copy in the place of a database.
    pub fn restore(&self, database: &Database, copy: &str) {
        let name = database.name();
        self.sql("postgres", &format!("DROP DATABASE {name} WITH (FORCE)"));
        self.sql("postgres", &format!("ALTER DATABASE {copy} RENAME TO {name}"));
    }

    /// An empty database whose tables are in that directory.
    pub fn database_at(&self, directory: &Path) -> Database {
        if let Some(Owner { user, group }) = self.owner {
            chown(directory, Some(user), Some(group)).expect("root may give a directory away");
        }
        self.sql("postgres", &format!("CREATE TABLESPACE elsewhere LOCATION '{}'", directory.display()));
        self.sql("postgres", "CREATE DATABASE elsewhere TABLESPACE elsewhere");
        Database { url: format!("postgres://{USER}@127.0.0.1:{}/elsewhere", self.port) }
    }

    /// Runs a statement and returns what `psql` prints: values without headings, one row a line.
    ///
    /// # Panics
    /// If the server refuses it.
    #[track_caller]
    pub fn sql(&self, database: &str, statement: &str) -> String {
        let mut psql = program("psql", None);
        psql.env("PGSSLMODE", "disable");
        psql.args(["--no-psqlrc", "--tuples-only", "--no-align", "--quiet", "--set=ON_ERROR_STOP=1"]);
        psql.args(["--host", "127.0.0.1", "--port", &self.port.to_string(), "--username", USER]);
        run(psql.args(["--dbname", database, "--command", statement])).trim().to_string()
    }

    /// Ends the server at once, as a crash would, and starts it again on the same port with its data.
    pub fn restart(&mut self) {
        self.kill();
        self.go_on();
    }

    /// Starts a server that has ended again, on the same port with its data.
    pub fn go_on(&mut self) {
        self.server = serve(self.port, &self.directory, self.owner, &self.settings);
        self.server.wait_for_line(READY);
    }

    /// Ends the server in order, and every session with it.
    pub fn stop(&mut self) {
        self.server.signal(Signal::Int);
        self.server.wait();
    }

    /// The server is gone at once.
    pub fn kill(&mut self) {
        // Its children see that it is gone and end too; the lock file must not keep a restart waiting for them.
        let children = super::children_of(self.server.pid());
        self.server.kill();
        super::eventually("the end of postgres's own processes", || {
            children.iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists()).then_some(())
        });
    }

    /// The server keeps its connections and answers nothing.
    pub fn pause(&mut self) {
        self.each_process(Signal::Stop);
    }

    /// The server goes on.
    pub fn resume(&mut self) {
        self.each_process(Signal::Continue);
    }

    fn each_process(&mut self, signal: Signal) {
        self.server.signal(signal);
        for child in super::children_of(self.server.pid()) {
            super::send(child, signal);
        }
    }
}

fn serve(port: u16, directory: &Scratch, owner: Option<Owner>, settings: &[String]) -> Process {
    let mut command = program("postgres", owner);
    command.arg("-D").arg(directory.join("data"));
    command.args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
    command.arg("-c").arg(format!("unix_socket_directories={}", directory.path().display()));
    // The data must outlive the server, not the machine; several clusters' pools connect at a time.
    command.args(["-c", "fsync=off", "-c", "full_page_writes=off"]);
    command.args(["-c", "max_connections=400", "-c", "shared_buffers=16MB"]);
    command.args(settings.iter().flat_map(|setting| ["-c", setting]));
    // SIGINT is PostgreSQL's "fast" shutdown: it ends its sessions and then itself.
    Process::start_ended_by("postgres", &mut command, Signal::Int)
}

/// A program of the newest PostgreSQL that is installed.
fn program(name: &str, owner: Option<Owner>) -> Command {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let mut found: Vec<PathBuf> = versions.map(|v| v.path().join("bin").join(name)).filter(|p| p.exists()).collect();
    found.sort();
    // Elsewhere than on Debian it may be on the path.
    let mut command = Command::new(found.pop().unwrap_or_else(|| name.into()));
    if let Some(Owner { user, group }) = owner {
        command.uid(user).gid(group);
    }
    command.current_dir("/");
    command
}

/// The user of the server; `None` where the tests do not run as root.
fn owner() -> Option<Owner> {
    let me = std::fs::metadata("/proc/self").expect("/proc is mounted").uid();
    if me != 0 {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").expect("there is a list of users");
    let find = |name: &str| {
        let line = users.lines().find(|l| l.split(':').next() == Some(name))?;
        let mut numbers = line.split(':').skip(2).map(str::parse);
        Some(Owner { user: numbers.next()?.ok()?, group: numbers.next()?.ok()? })
    };
    Some(find("postgres").or_else(|| find("nobody")).expect("root can run PostgreSQL as `postgres` or `nobody`"))
}

#[track_caller]
fn run(command: &mut Command) -> String {
    let program = command.get_program().to_owned();
    let output = command.output().unwrap_or_else(|e| {
        panic!("{program:?} cannot be started ({e}); on Debian: apt-get install postgresql");
    });
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program:?} failed: {err}{out}");
    out.into_owned()
}

#[test]
fn databases_are_separate_and_survive_a_crash_of_their_server() {
    let mut postgres = Postgres::start();
    let (a, b) = (postgres.database(), postgres.database());
    assert_ne!(a.url(), b.url());
    let name = a.url().rsplit('/').next().unwrap().to_string();
    postgres.sql(&name, "CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)");
    postgres.restart();
    assert_eq!(postgres.sql(&name, "SELECT n FROM kept"), "7");
}
