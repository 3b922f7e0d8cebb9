//! Ends what a test binary leaves behind.
//!
//! Values end their processes when they are dropped, but statics are never dropped, and a test binary can be killed.
//! So one shell reads from a pipe that only this process holds open. The end of this process, also by a signal, closes
//! the pipe, and the shell then ends every process it was told of and removes the directories and namespaces.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use essaim::lock::{Mutex, MutexGuard};

const SCRIPT: &str = r#"
trap '' INT TERM HUP
entries=" "; directories=""; namespaces=""
while read -r verb what; do
    case $verb in
    watch) entries="$entries$what " ;;
    forget) case $entries in *" $what "*) entries="${entries%% $what *} ${entries#* $what }" ;; esac ;;
    remove) directories="$directories $what" ;;
    unlink) namespaces="$namespaces $what" ;;
    esac
done
for entry in $entries; do kill -s "${entry%%:*}" "${entry#*:}"; done
for entry in $entries; do
    tries=0
    while kill -0 "${entry#*:}" && [ $tries -lt 100 ]; do sleep 0.05; tries=$((tries + 1)); done
done
for directory in $directories; do rm -rf "$directory"; done
for namespace in $namespaces; do ip netns del "$namespace"; done
"#;

struct Keeper {
    shell: Child,
}

/// Ends this process with this signal when the test binary has ended.
pub fn watch(pid: u32, signal: &str) {
    tell(&format!("watch {signal}:{pid}"));
}

/// The process has ended, or is about to be waited for; its number may soon mean another one.
pub fn forget(pid: u32, signal: &str) {
    tell(&format!("forget {signal}:{pid}"));
}

/// Removes this directory when the test binary has ended.
pub fn remove_at_end(directory: &Path) {
    tell(&format!("remove {}", directory.display()));
}

/// Deletes this network namespace when the test binary has ended, if it is still there.
pub fn unlink_at_end(namespace: &str) {
    tell(&format!("unlink {namespace}"));
}

fn tell(line: &str) {
    let mut keeper = keeper();
    let pipe = keeper.shell.stdin.as_mut().expect("the keeper was started with a pipe");
    writeln!(pipe, "{line}").expect("the keeper reads its pipe");
}

fn keeper() -> MutexGuard<'static, Keeper> {
    static KEEPER: OnceLock<Mutex<Keeper>> = OnceLock::new();
    let start = || {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Mutex::new(Keeper { shell: command.spawn().expect("a shell can be started") })
    };
    KEEPER.get_or_init(start).lock()
}
