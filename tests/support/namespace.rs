//! A network namespace behind a link that can be cut.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::keeper;

/// Links of this size fit into 198.18.0.0/15, the network that RFC 2544 keeps for tests.
const LINKS: u32 = 1 << 15;

/// A namespace, and a link from this machine's own network into it. Both go with the value.
pub struct Namespace {
    name: String,
    /// This machine's end of the link, which can be taken down.
    link: String,
    /// The address of this machine's end.
    address: String,
    /// The address of the end inside.
    inner_address: String,
}

impl Namespace {
    /// A new namespace; `None`, with a word about why, where this process may not make one.
    pub fn new() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (process, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let block = (process.wrapping_mul(31).wrapping_add(number) % LINKS) * 4;
        let address = |host: u32| format!("198.{}.{}.{}", 18 + (block >> 16), (block >> 8) & 255, (block & 255) + host);
        let namespace = Self {
            name: format!("essaim-{process}-{number}"),
            link: format!("es{process}h{number}"),
            address: address(1),
            inner_address: address(2),
        };
        let (name, link, inner) = (&namespace.name, &namespace.link, format!("es{process}n{number}"));
        keeper::unlink_at_end(name);
        let steps = [
            format!("netns add {name}"),
            format!("link add {link} type veth peer name {inner} netns {name}"),
            format!("addr add {}/30 dev {link}", address(1)),
            format!("-n {name} addr add {}/30 dev {inner}", address(2)),
            format!("link set {link} up"),
            format!("-n {name} link set {inner} up"),
            format!("-n {name} link set lo up"),
        ];
        for step in steps {
            if let Err(why) = ip(&step) {
                // Not by `eprintln!`, which the test harness keeps to itself when a test passes.
                let _ = writeln!(std::io::stderr(), "SKIPPED, for want of network namespaces: ip {step}: {why}");
                return None;
            }
        }
        Some(namespace)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address at which this machine is reached from inside.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The address at which who is inside is reached from this machine.
    pub fn inner_address(&self) -> &str {
        &self.inner_address
    }

    /// Cuts the link: what is sent is lost, and nobody is told.
    pub fn cut(&self) {
        ip(&format!("link set {} down", self.link)).expect("the link can be cut");
    }

    /// Mends the link.
    pub fn mend(&self) {
        ip(&format!("link set {} up", self.link)).expect("the link can be mended");
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The link goes with the namespace.
        let _ = ip(&format!("netns del {}", self.name));
    }
}

/// Runs one command of `ip`; what it says if it fails.
fn ip(words: &str) -> Result<(), String> {
    let output = Command::new("ip").args(words.split_whitespace()).stdin(Stdio::null()).output();
    let output = output.map_err(|error| error.to_string())?;
    let told = String::from_utf8_lossy(&output.stderr).trim().to_string();
    output.status.success().then_some(()).ok_or(told)
}
