//! One HTTP/1.1 connection, kept open from request to request.
//!
//! Clients with a pool hide what the tests of drains and faults are about: whether the server hung up on a connection
//! that it had not said it would close.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use super::PATIENCE;

/// A connection to a server of this machine.
pub struct Kept {
    stream: BufReader<TcpStream>,
}

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: &'static str,
    pub path: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Option<Value>,
}

/// What it was answered with.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    /// Names are in lower case.
    headers: Vec<(String, String)>,
    /// Null if it is not JSON.
    pub body: Value,
}

impl Request {
    /// A request without a body.
    pub fn get(path: impl Into<String>) -> Self {
        Self { method: "GET", path: path.into(), headers: Vec::new(), body: None }
    }

    /// A request with a body.
    pub fn post(path: impl Into<String>, body: Value) -> Self {
        Self { method: "POST", path: path.into(), headers: Vec::new(), body: Some(body) }
    }

    /// This request, with one more header.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl Kept {
    /// Connects.
    ///
    /// # Errors
    /// If nobody listens.
    pub fn open(port: u16) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Sends a request and waits for its reply.
    ///
    /// # Errors
    /// If the connection ends before the reply does, or the server falls silent.
    pub fn send(&mut self, request: &Request) -> Result<Reply> {
        let body = request.body.as_ref().map(Value::to_string).unwrap_or_default();
        let mut text = format!("{} {} HTTP/1.1\r\nHost: localhost\r\n", request.method, request.path);
        for (name, value) in &request.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if request.body.is_some() {
            text.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()));
        }
        // In one write, so that a server that hangs up has had all of it or nothing.
        self.stream.get_mut().write_all(format!("{text}\r\n{body}").as_bytes())?;
        self.read()
    }

    fn read(&mut self) -> Result<Reply> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(|| garbled(&first))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| garbled(&line))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_string()));
        }
        let mut reply = Reply { status, headers, body: Value::Null };
        let length = reply.header("content-length").and_then(|l| l.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        reply.body = serde_json::from_slice(&body).unwrap_or_default();
        Ok(reply)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line)? {
            0 => Err(Error::new(ErrorKind::UnexpectedEof, "the server hung up")),
            _ => Ok(line.trim_end().to_string()),
        }
    }
}

impl Reply {
    /// A reply without headers.
    pub fn of(status: u16, body: Value) -> Self {
        Self { status, headers: Vec::new(), body }
    }

    /// The first header of that name, which is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// Whether the server closes the connection after this reply.
    pub fn closes(&self) -> bool {
        self.header("connection").is_some_and(|c| c.eq_ignore_ascii_case("close"))
    }
}

fn garbled(line: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("not HTTP: {line}"))
}
