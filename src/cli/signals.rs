//! Signals that ask this process to end.

use std::io::Read;

use essaim::exit::{self, Fatal};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// SIGTERM, SIGINT (Ctrl-C), SIGHUP and, for the children of `essaim up`, the end of stdin.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    stdin: Option<oneshot::Receiver<()>>,
}

impl Signals {
    /// Begins to listen; from here on signals no longer end the process by themselves.
    pub fn listen(until_stdin_closes: bool) -> Result<Self, Fatal> {
        let listen = |kind| signal(kind).map_err(|e| Fatal::new(exit::GIVEN_UP, format!("no signal handler: {e}")));
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: listen(SignalKind::hangup())?,
            stdin: until_stdin_closes.then(end_of_stdin),
        })
    }

    /// Waits for the next one; its name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.hang_up.recv() => "SIGHUP",
            () = closed(&mut self.stdin) => "the end of stdin",
        }
    }
}

/// Waits until stdin has ended; reported once.
async fn closed(stdin: &mut Option<oneshot::Receiver<()>>) {
    match stdin {
        Some(end) => {
            let _ = end.await;
            *stdin = None;
        }
        None => std::future::pending().await,
    }
}

/// Reads stdin on a thread of its own, which the end of the process need not wait for.
fn end_of_stdin() -> oneshot::Receiver<()> {
    let (told, end) = oneshot::channel();
    let read = move || {
        let mut buffer = [0; 256];
        while matches!(std::io::stdin().read(&mut buffer), Ok(1..)) {}
        let _ = told.send(());
    };
    // Without the thread the sender is dropped, which ends the node: better than one that nobody can stop.
    #[allow(clippy::disallowed_methods)]
    let _ = std::thread::Builder::new().name("stdin".into()).spawn(read);
    end
}
