//! A client that sends exactly what it is told.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A response.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Reply {
    /// Splits what was received.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Self { status, head, body: String::from_utf8_lossy(&bytes[end + 4..]).into_owned() })
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (given, value) = line.split_once(": ")?;
            given.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}\n{}", self.head, self.body))
    }

    /// The body as a problem, checked for what every problem has.
    pub fn problem(&self, status: u16, slug: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["type"], format!("urn:essaim:problem:{slug}"));
        assert_eq!(problem["status"], status);
        assert!(problem["title"].as_str().is_some_and(|t| !t.is_empty()));
        let trace_id = problem["trace_id"].as_str().expect("every problem names its trace");
        assert!(self.header("traceparent").is_some_and(|t| t.contains(trace_id)), "{self:?}");
        problem
    }
}

/// One connection.
pub struct Connection {
    stream: TcpStream,
    /// Whether the last request was a HEAD, whose response has no body.
    head: bool,
}

impl Connection {
    pub async fn open(to: SocketAddr) -> std::io::Result<Self> {
        Ok(Self { stream: TcpStream::connect(to).await?, head: false })
    }

    pub async fn write(&mut self, text: &str) {
        self.head = text.starts_with("HEAD ");
        // The server may have hung up already; the reply tells.
        let _ = self.stream.write_all(text.as_bytes()).await;
    }

    /// Reads one response with a `Content-Length`.
    pub async fn read(&mut self) -> Option<Reply> {
        let mut bytes = Vec::new();
        loop {
            if let Some(reply) = Reply::parse(&bytes) {
                let length = reply.header("content-length").and_then(|l| l.parse().ok()).unwrap_or(0);
                if reply.body.len() >= length || reply.status == 204 || self.head {
                    return Some(reply);
                }
            }
            match self.stream.read_buf(&mut bytes).await {
                Ok(read) if read > 0 => {}
                _ => return None,
            }
        }
    }

    /// Whether the server has hung up.
    pub async fn is_closed(&mut self) -> bool {
        self.stream.read_u8().await.is_err()
    }
}

/// Sends one request on a connection of its own. `lines` are its headers, each ended by `\r\n`.
pub async fn send(to: SocketAddr, line: &str, lines: &str, body: &str) -> Reply {
    let mut connection = Connection::open(to).await.expect("the gateway listens");
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    connection.write(&format!("{line} HTTP/1.1\r\nHost: t\r\n{lines}{length}\r\n{body}")).await;
    connection.read().await.expect("the gateway answers")
}
