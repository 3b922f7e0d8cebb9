//! Whether the nodes can listen where they are to, as far as that can be tried on this machine.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use essaim::{WANTS_TLS, exit};

use super::page::Page;
use super::plan::{ADMIN, Planned};
use crate::cli::operator;

/// How long what listens at an address may take to say what it is.
const PATIENCE: Duration = Duration::from_secs(1);

/// Tries each address once. One of another machine proves nothing.
pub fn check(nodes: &[Planned], page: &mut Page) {
    let mut tried = BTreeSet::new();
    for node in nodes {
        for (of, address) in node.listens() {
            if tried.insert(address.clone()) {
                try_one(node, of, &address, page);
            }
        }
    }
}

/// Whether this node runs here: it answers at its socket, or at one of its addresses.
fn runs(node: &Planned) -> bool {
    let answers =
        |(_, address): (&str, String)| address.to_socket_addrs().is_ok_and(|mut all| all.any(|a| is_alive(&a)));
    UnixStream::connect(operator::socket(&node.config.settings.node)).is_ok() || node.listens().into_iter().any(answers)
}

fn try_one(node: &Planned, of: &str, address: &str, page: &mut Page) {
    let key = if of == ADMIN { "node.admin_listen".into() } else { format!("{of}.listen") };
    let of_node = format!("`{}` cannot listen at {address} ({key})", node.name);
    let addresses: Vec<SocketAddr> = match address.to_socket_addrs() {
        Ok(addresses) => addresses.collect(),
        Err(error) => {
            return page.problem(exit::ADDRESS_IN_USE, format!("{of_node}: {error}; give it an IP address and a port"));
        }
    };
    match TcpListener::bind(&addresses[..]) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::AddrInUse => match runs(node) {
            true => page.warnings.push(format!("{address} ({key} of `{}`) is in use: the node runs", node.name)),
            false => page.problem(
                exit::ADDRESS_IN_USE,
                format!("{of_node}: it is in use; choose another address, or end who listens there"),
            ),
        },
        Err(error) if error.kind() == ErrorKind::PermissionDenied => page.problem(
            exit::ADDRESS_IN_USE,
            format!("{of_node}: this user may not; use a port from 1024 on, or grant CAP_NET_BIND_SERVICE"),
        ),
        // An address that this machine does not have may be right for the one on which the node is to run.
        Err(error) if error.kind() == ErrorKind::AddrNotAvailable => {
            page.warnings.push(format!("{of_node} on this machine, which does not have the address"));
        }
        Err(error) => page.problem(exit::ADDRESS_IN_USE, format!("{of_node}: {error}")),
    }
}

/// Whether something listens there that answers as a node does.
fn is_alive(address: &SocketAddr) -> bool {
    let asked = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: check\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        let _ = stream.take(4_096).read_to_end(&mut answer);
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let is_well = |answer: &str| answer.starts_with("HTTP/1.1 200") && answer.trim_end().ends_with("ok");
    asked().is_ok_and(|answer| is_well(&answer) || answer.ends_with(WANTS_TLS))
}
