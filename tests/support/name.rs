//! A name that leads to a server, and later to another, as names do in a failover.

use std::io::copy;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::thread;

use essaim::lock::Mutex;

/// An address of its own, from which each connection is passed on to the server that the name leads to at that moment.
/// Connections that were made before stay where they are. It ends with the value.
pub struct Name {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    leads_to: AtomicU16,
    made: AtomicUsize,
    ended: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Name {
    /// A name that leads to the listener at that port of this machine.
    pub fn of(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let own = listener.local_addr().expect("it is bound").port();
        let (leads_to, made) = (AtomicU16::new(port), AtomicUsize::new(0));
        let shared = Arc::new(Shared { leads_to, made, ended: AtomicBool::new(false), open: Mutex::default() });
        let passing = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                if passing.ended.load(Ordering::Relaxed) {
                    return;
                }
                let port = passing.leads_to.load(Ordering::Relaxed);
                // Where nobody listens the client finds its connection closed.
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(("127.0.0.1", port))) else { continue };
                passing.pass(client, server);
            }
        });
        Self { port: own, shared }
    }

    /// The port at which it is reached.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// New connections lead there from now on; those that there are stay.
    pub fn leads_to(&self, port: u16) {
        self.shared.leads_to.store(port, Ordering::Relaxed);
    }

    /// How many connections were made through it.
    pub fn connections_made(&self) -> usize {
        self.shared.made.load(Ordering::Relaxed)
    }

    /// Ends the connections that there are.
    pub fn cut(&self) {
        let open = std::mem::take(&mut *self.shared.open.lock());
        open.iter().for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
    }
}

impl Shared {
    fn pass(&self, client: TcpStream, server: TcpStream) {
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let other = |stream: &TcpStream| stream.try_clone().expect("a socket has room for another handle");
        let (ways, kept) = ([(other(&client), other(&server)), (other(&server), other(&client))], [client, server]);
        for (mut from, mut to) in ways {
            thread::spawn(move || {
                let _ = copy(&mut from, &mut to);
                let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
            });
        }
        self.open.lock().extend(kept);
        self.made.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        self.cut();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

#[test]
fn a_name_leads_elsewhere_and_old_connections_stay() {
    use super::Redis;

    let (one, other) = (Redis::start(), Redis::start());
    one.command::<()>("SET who one");
    other.command::<()>("SET who other");
    let name = Name::of(one.port());
    let who = |connection: &mut redis::Connection| -> String {
        redis::cmd("GET").arg("who").query(connection).expect("the server answers")
    };
    let connect = || {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", name.port())).expect("the url is well formed");
        client.get_connection().expect("the name leads to a server")
    };
    let mut old = connect();
    name.leads_to(other.port());
    let mut new = connect();
    assert_eq!((who(&mut old), who(&mut new), name.connections_made()), ("one".into(), "other".into(), 2));
    name.cut();
    assert!(redis::cmd("PING").query::<String>(&mut old).is_err());
}
