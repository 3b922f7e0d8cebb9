//! The log as a test sees it: lines to wait for.

use std::io::{self, Write};
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::subscriber::DefaultGuard;

/// The lines that this thread logs from now on.
pub(super) struct Log {
    lines: mpsc::UnboundedReceiver<String>,
    _guard: DefaultGuard,
}

impl Log {
    pub fn new() -> Self {
        let (sender, lines) = mpsc::unbounded_channel();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter("essaim_auth=debug")
            .with_ansi(false)
            .with_writer(move || Lines(sender.clone()))
            .finish();
        Self { lines, _guard: tracing::subscriber::set_default(subscriber) }
    }

    /// Waits for the next line that contains this text. It never comes: the test fails.
    pub async fn line(&mut self, text: &str) -> String {
        let find = async {
            loop {
                let line = self.lines.recv().await.expect("the log goes on");
                if line.contains(text) {
                    return line;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), find).await.unwrap_or_else(|_| panic!("no line says `{text}`"))
    }

    /// Whether a line that contains this text has come and was not waited for.
    pub fn has(&mut self, text: &str) -> bool {
        std::iter::from_fn(|| self.lines.try_recv().ok()).any(|line| line.contains(text))
    }
}

struct Lines(mpsc::UnboundedSender<String>);

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _ = self.0.send(String::from_utf8_lossy(line).into_owned());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
