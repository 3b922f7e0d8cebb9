//! Listening at the address that a setting names.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};

use essaim_base::exit;
use socket2::{Domain, Protocol, Socket, Type};

use super::start::StartError;

/// Connections that wait to be accepted, at most; the system may allow fewer (`net.core.somaxconn`). The standard library has
/// 128: of a burst, those beyond are not heard before they try again a second later.
const BACKLOG: i32 = 4_096;

/// Listens at an address; `setting` is where it stands, such as `gateway.listen`.
///
/// # Errors
/// If the address cannot be had; nothing that trying again would mend.
pub fn listen(setting: &str, address: &str) -> Result<TcpListener, StartError> {
    first_of(address).map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => StartError::fatal(
            exit::ADDRESS_IN_USE,
            format_args!("address {address} is in use: stop what listens there, or choose another with {setting}"),
        ),
        _ => StartError::fatal(
            exit::CONFIG,
            format_args!("cannot listen at {setting} = \"{address}\": {error}; give an address such as 127.0.0.1:8080"),
        ),
    })
}

/// Listens at the first of a name's addresses that can be had.
fn first_of(name: &str) -> io::Result<TcpListener> {
    let mut refused = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in name.to_socket_addrs()? {
        match listen_at(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

fn listen_at(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // As the standard library: an address can be had again at once after its process has ended.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_of_connections_waits_to_be_accepted() {
        let listener = listen("t.listen", "127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // A connection that is not heard tries again after a second.
        let connect = |_| TcpStream::connect_timeout(&address, Duration::from_millis(900)).expect("it is heard");
        let waiting: Vec<TcpStream> = (0..300).map(connect).collect();
        assert_eq!(waiting.len(), 300);
    }

    #[test]
    fn an_address_that_cannot_be_had_is_named_with_its_setting() {
        let holder = listen("t.listen", "localhost:0").unwrap();
        let taken = holder.local_addr().unwrap().to_string();
        let held = listen("t.listen", &taken).unwrap_err().to_string();
        assert!(held.starts_with(&format!("address {taken} is in use")) && held.contains("t.listen"), "{held}");
        let wrong = listen("t.listen", "nonsense").unwrap_err().to_string();
        assert!(wrong.contains("cannot listen at t.listen = \"nonsense\""), "{wrong}");
    }
}
