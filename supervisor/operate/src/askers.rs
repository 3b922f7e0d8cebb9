//! Who asks at the node's own listeners: at its socket the operating system says who is at the other end, at the admin listener
//! a token does.
//!
//! Unix alone has such sockets. Linux and macOS tell user and process of the other end; only Linux tells, too, who logged in
//! before they became that user.

use std::any::Any;
use std::net::{SocketAddr, ToSocketAddrs};

use actix_web::HttpRequest;
use actix_web::dev::Extensions;
use actix_web::http::header::AUTHORIZATION;
use essaim_audit::Asker;
use essaim_config::NodeConfig;
use nix::unistd::{Uid, User};
use tokio::net::UnixStream;

use crate::access::{Access, Right};

/// The other end of a connection to the node's socket.
struct SocketPeer(Asker);

/// Notes who is at the other end of a connection. It runs on the listener's own thread, where looking up a name may take its time.
pub(crate) fn note_peer(connection: &dyn Any, noted: &mut Extensions) {
    let Some(Ok(peer)) = connection.downcast_ref::<UnixStream>().map(UnixStream::peer_cred) else { return };
    let (uid, pid) = (peer.uid(), peer.pid());
    let process = pid.map(|pid| format!(", process {pid}")).unwrap_or_default();
    let user = name_of(uid);
    let asker = match pid.and_then(login_of).filter(|login| *login != uid) {
        Some(login) => (name_of(login), format!("as {user}, uid {uid}{process}")),
        None => (user, format!("uid {uid}{process}")),
    };
    noted.insert(SocketPeer(Asker { who: asker.0, via: "socket".into(), origin: asker.1 }));
}

fn name_of(uid: u32) -> String {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    user.map_or_else(|| format!("uid {uid}"), |user| user.name)
}

/// The user who logged in, whoever they are now.
#[cfg(target_os = "linux")]
fn login_of(pid: i32) -> Option<u32> {
    // The largest number stands for nobody.
    let login = std::fs::read_to_string(format!("/proc/{pid}/loginuid")).ok()?;
    login.trim().parse().ok().filter(|uid| *uid != u32::MAX)
}

#[cfg(not(target_os = "linux"))]
fn login_of(_pid: i32) -> Option<u32> {
    None
}

/// The node's socket, which only its own user may open.
pub(crate) struct SocketAccess;

impl Access for SocketAccess {
    fn asker(&self, http: &HttpRequest, _right: Right) -> Result<Asker, String> {
        let peer = http.conn_data::<SocketPeer>().map(|peer| peer.0.clone());
        peer.ok_or_else(|| "the operating system does not say who asks at this socket".into())
    }
}

/// The admin listener.
pub(crate) struct ListenerAccess {
    /// Tokens with the names of those whom they were given.
    tokens: Vec<(String, String)>,
    /// Whether other machines reach it.
    is_public: bool,
    /// Whether what is sent to it is encrypted.
    has_tls: bool,
}

/// What is to be known at a start of a listener that is configured so; nothing where its address leads nowhere.
pub fn listener_warning(node: &NodeConfig) -> Option<&'static str> {
    ListenerAccess::of(node, node.admin_listen.to_socket_addrs().ok()?).warning()
}

impl ListenerAccess {
    /// The access at these addresses.
    pub fn of(node: &NodeConfig, mut addresses: impl Iterator<Item = SocketAddr>) -> Self {
        let named = node.operators.iter().map(|(name, token)| (name.clone(), token.clone()));
        let unnamed = ("operator_token".to_string(), node.operator_token.clone());
        let tokens = named.chain([unnamed]).filter(|(_, token)| !token.is_empty()).collect();
        let is_public = addresses.any(|address| !address.ip().is_loopback());
        Self { tokens, is_public, has_tls: !node.admin_cert.is_empty() }
    }

    /// What is to be known of it at a start.
    pub fn warning(&self) -> Option<&'static str> {
        match (self.is_public, self.tokens.is_empty(), self.has_tls) {
            (true, true, _) => Some(
                "operators are refused at node.admin_listen, which other machines reach, since there is no token: set \
                 node.operators, or listen at a loopback address",
            ),
            (true, false, false) => Some(
                "tokens and answers are not encrypted at node.admin_listen, which other machines reach: set \
                 node.admin_cert_file and node.admin_key_file, or listen at a loopback address",
            ),
            _ => None,
        }
    }

    /// Whether nobody has to be known.
    fn is_open(&self, right: Right) -> bool {
        match right {
            Right::Probe => true,
            Right::Look => !self.is_public,
            Right::LookPersonal => false,
            Right::Change => !self.is_public && self.tokens.is_empty(),
        }
    }
}

impl Access for ListenerAccess {
    fn asker(&self, http: &HttpRequest, right: Right) -> Result<Asker, String> {
        let origin = http.peer_addr().map(|address| address.ip().to_string()).unwrap_or_default();
        let given = http.headers().get(AUTHORIZATION);
        // A token that is not known is a mistake, also where none is needed.
        if let Some(given) = given.filter(|_| right != Right::Probe && !self.tokens.is_empty()) {
            let given = given.to_str().ok().and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
            // All are compared, so that the time tells nothing.
            let mut known = None;
            for (who, token) in &self.tokens {
                if is_same(given, token) {
                    known = Some(who);
                }
            }
            let who = known.ok_or("the token is not known: is it one of node.operators, or node.operator_token?")?;
            return Ok(Asker { who: who.clone(), via: "token".into(), origin });
        }
        if self.is_open(right) {
            return Ok(Asker { who: origin.clone(), via: "address".into(), origin });
        }
        let why = match right {
            Right::LookPersonal => "records of messages and log lines may be personal",
            _ if self.is_public => "others reach this address, so who asks has to be known",
            _ => "who changes something has to be known",
        };
        Err(match self.tokens.is_empty() {
            true => format!("{why}: ask at the node's socket, or set node.operator_token or node.operators"),
            false => format!("{why}: send a token of node.operators, or node.operator_token, as a bearer token"),
        })
    }
}

/// Compares in a time that tells nothing of where they differ.
fn is_same(given: &str, token: &str) -> bool {
    let differing = given.bytes().zip(token.bytes()).fold(0, |differing, (a, b)| differing | (a ^ b));
    given.len() == token.len() && differing == 0
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn access(tokens: &[(&str, &str)], address: &str) -> ListenerAccess {
        let operators = tokens.iter().map(|(name, token)| (name.to_string(), token.to_string())).collect();
        let node = NodeConfig { operators, ..NodeConfig::default() };
        ListenerAccess::of(&node, std::iter::once(address.parse().expect("an address")))
    }

    fn asked(access: &ListenerAccess, token: Option<&str>, right: Right) -> Result<String, String> {
        let request = TestRequest::get().peer_addr("192.0.2.7:1".parse().expect("an address"));
        let request = match token {
            Some(token) => request.insert_header((AUTHORIZATION, format!("Bearer {token}"))),
            None => request,
        };
        access.asker(&request.to_http_request(), right).map(|asker| asker.to_string())
    }

    #[test]
    fn tokens_tell_operators_apart_and_a_name_is_no_token() {
        let access = access(&[("ann", "sesame"), ("bob", "thyme")], "127.0.0.1:9100");
        for right in [Right::Look, Right::LookPersonal, Right::Change] {
            assert_eq!(asked(&access, Some("sesame"), right).as_deref(), Ok("ann (token, 192.0.2.7)"));
            assert_eq!(asked(&access, Some("thyme"), right).as_deref(), Ok("bob (token, 192.0.2.7)"));
            for wrong in ["ann", "", "sesame ", "sesam", "thymee"] {
                assert!(asked(&access, Some(wrong), right).is_err(), "{wrong}");
            }
        }
        assert!(asked(&access, None, Right::Change).is_err() && asked(&access, None, Right::LookPersonal).is_err());
        assert!(asked(&access, None, Right::Look).is_ok() && asked(&access, Some("ann"), Right::Probe).is_ok());
    }

    #[test]
    fn without_tokens_only_an_address_of_this_machine_takes_changes() {
        let (near, public) = (access(&[], "[::1]:9100"), access(&[], "0.0.0.0:9100"));
        assert_eq!(asked(&near, None, Right::Change).as_deref(), Ok("192.0.2.7 (address)"));
        assert!(asked(&near, None, Right::Look).is_ok() && asked(&near, None, Right::LookPersonal).is_err());
        for right in [Right::Look, Right::LookPersonal, Right::Change] {
            assert!(asked(&public, None, right).is_err_and(|why| why.contains("node.operators")), "{right:?}");
        }
        assert!(asked(&public, None, Right::Probe).is_ok());
    }

    #[test]
    fn what_other_machines_could_read_or_nobody_could_ask_is_told() {
        let warning = |tokens: &[(&str, &str)], address: &str, cert: &str| {
            let node = NodeConfig {
                admin_listen: address.into(),
                admin_cert: cert.into(),
                operators: tokens.iter().map(|(name, token)| (name.to_string(), token.to_string())).collect(),
                ..NodeConfig::default()
            };
            listener_warning(&node).unwrap_or_default()
        };
        let ann: &[_] = &[("ann", "sesame")];
        assert!(warning(ann, "0.0.0.0:9100", "").contains("not encrypted"));
        assert!(warning(&[], "0.0.0.0:9100", "PEM").contains("no token"));
        for (tokens, address, cert) in [(ann, "0.0.0.0:9100", "PEM"), (ann, "127.0.0.1:9100", ""), (&[], "", "")] {
            assert_eq!(warning(tokens, address, cert), "", "{address}");
        }
    }

    #[test]
    fn a_user_of_this_machine_has_a_name() {
        assert_eq!(name_of(0), "root");
        assert_eq!(name_of(4_000_000_001), "uid 4000000001");
    }
}
