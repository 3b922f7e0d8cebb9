//! A client that sends exactly the bytes it is told, well-formed or not.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

use super::{Answer, PATIENCE};

/// One connection to an HTTP server of this machine.
pub struct Raw {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Raw {
    /// Connects to what listens at that port.
    ///
    /// # Panics
    /// If nothing does.
    #[track_caller]
    pub fn at(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap_or_else(|e| panic!("port {port}: {e}"));
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout can be set");
        stream.set_nodelay(true).expect("nodelay can be set");
        Self { stream, received: Vec::new() }
    }

    /// Sends bytes; whether the server still takes them.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Sends nothing more, and still listens.
    pub fn finish(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The next answer; `None` if the connection ends without one.
    ///
    /// # Panics
    /// If nothing comes and the connection does not end.
    #[track_caller]
    pub fn answer(&mut self) -> Option<Answer> {
        loop {
            if let Some((answer, length)) = parse(&self.received) {
                self.received.drain(..length);
                return Some(answer);
            }
            if !self.read() {
                return None;
            }
        }
    }

    /// The rest of what comes until the connection ends.
    ///
    /// # Panics
    /// If it does not end.
    #[track_caller]
    pub fn rest(&mut self) -> String {
        while self.read() {}
        String::from_utf8_lossy(&std::mem::take(&mut self.received)).into_owned()
    }

    /// Whether there was more to read.
    #[track_caller]
    fn read(&mut self) -> bool {
        let mut chunk = [0; 16 << 10];
        match self.stream.read(&mut chunk) {
            Ok(0) => false,
            Ok(length) => {
                self.received.extend(&chunk[..length]);
                true
            }
            Err(e) if matches!(e.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => false,
            Err(e) => panic!("the server neither answers nor hangs up: {e}"),
        }
    }
}

/// The first answer in these bytes, if it is complete, and its length.
fn parse(bytes: &[u8]) -> Option<(Answer, usize)> {
    let head = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let mut lines = text.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let header = |line: &str| line.split_once(':').map(|(name, value)| (name.to_string(), value.trim().to_string()));
    let headers: Vec<_> = lines.filter_map(header).collect();
    let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let end = head + 4 + length.and_then(|(_, value)| value.parse::<usize>().ok()).unwrap_or(0);
    let body = bytes.get(head + 4..end)?;
    Some((Answer::of("raw bytes", status, headers, String::from_utf8_lossy(body).into_owned()), end))
}

#[test]
fn answers_are_taken_apart_one_after_another() {
    let two = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 2";
    let (first, length) = parse(two).unwrap();
    assert_eq!((first.status, first.text.as_str(), first.header("content-length")), (404, "{}", Some("2")));
    let (second, more) = parse(&two[length..]).unwrap();
    assert_eq!(second.status, 204);
    assert!(parse(&two[length + more..]).is_none(), "it is not complete");
}
