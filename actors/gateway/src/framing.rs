//! How the requests of a connection are framed, seen from outside the parser: as they are read, before the body is there.
//!
//! The parser takes chunk extensions of any length and chunks that announce any size: it counts only what is in them. This
//! looks at the same bytes and says when a body will be refused. It refuses nothing itself, and where a client sends what is no
//! HTTP the parser's word counts, so it need not be as strict.

use essaim_http::ChunkFault;

/// Bytes that may frame the chunks of a body, beside those in proportion to what is in them.
const FRAME_BYTES: u64 = 64 << 10;
/// Bytes that may frame each byte in a chunk: a chunk of a single byte has five.
const FRAME_BYTES_A_BYTE: u64 = 8;
/// The most bytes of a line that are looked at: no header that frames a body is longer, nor is the size of a chunk.
const LINE_BYTES: usize = 64;

/// The requests of one connection.
#[derive(Debug)]
pub(crate) struct Framing {
    body_bytes_most: u64,
    at: At,
    /// The beginning of the line that is being read.
    line: Vec<u8>,
    body: Body,
    /// Bytes in the chunks of this body, and bytes around them.
    inside: u64,
    around: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// A line of a request's head.
    Head,
    /// Inside a body, or a chunk with its line break, that ends after so many bytes.
    Inside(u64),
    /// The line before a chunk.
    Size,
    /// The lines after the last chunk.
    Trailer,
}

/// How the head says that a body is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Body {
    #[default]
    None,
    Length(u64),
    Chunked,
}

impl Framing {
    /// Of a connection whose bodies have at most so many bytes.
    pub fn new(body_bytes_most: usize) -> Self {
        let body_bytes_most = body_bytes_most as u64;
        Self { body_bytes_most, at: At::Head, line: Vec::new(), body: Body::None, inside: 0, around: 0 }
    }

    /// Looks at what was read; the fault that it shows.
    pub fn read(&mut self, mut bytes: &[u8]) -> Option<ChunkFault> {
        let mut fault = None;
        while !bytes.is_empty() {
            if let At::Inside(left) = self.at {
                let taken = left.min(bytes.len() as u64);
                bytes = &bytes[taken as usize..];
                self.at = match left - taken {
                    0 if self.body == Body::Chunked => At::Size,
                    0 => self.next_request(),
                    left => At::Inside(left),
                };
                continue;
            }
            let end = bytes.iter().position(|b| *b == b'\n');
            let (part, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
            let room = LINE_BYTES - self.line.len();
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            bytes = rest;
            if self.at == At::Size {
                self.around = self.around.saturating_add(part.len() as u64);
                if self.around > FRAME_BYTES + FRAME_BYTES_A_BYTE * self.inside {
                    fault = fault.or(Some(ChunkFault::Padded));
                }
            }
            if end.is_some() {
                fault = fault.or(self.line_read());
                self.line.clear();
            }
        }
        fault
    }

    /// A whole line was read.
    fn line_read(&mut self) -> Option<ChunkFault> {
        let line = self.line.trim_ascii_end();
        match self.at {
            At::Head if line.is_empty() => {
                self.at = match self.body {
                    Body::Chunked => At::Size,
                    Body::Length(length) if length > 0 => At::Inside(length),
                    Body::Length(_) | Body::None => self.next_request(),
                };
            }
            At::Head => self.body = body_of(line).unwrap_or(self.body),
            At::Size => match size(line) {
                Some(0) => self.at = At::Trailer,
                // The parser says that this is no number.
                None => {}
                Some(size) => {
                    self.inside = self.inside.saturating_add(size);
                    self.around += 2;
                    self.at = At::Inside(size.saturating_add(2));
                    return (self.inside > self.body_bytes_most).then_some(ChunkFault::TooLarge);
                }
            },
            At::Trailer if line.is_empty() => self.at = self.next_request(),
            At::Trailer | At::Inside(_) => {}
        }
        None
    }

    fn next_request(&mut self) -> At {
        (self.body, self.inside, self.around) = (Body::None, 0, 0);
        At::Head
    }
}

/// What a line of a head says of the body, if it does.
fn body_of(line: &[u8]) -> Option<Body> {
    let colon = line.iter().position(|b| *b == b':')?;
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    if name.eq_ignore_ascii_case(b"content-length") {
        return str::from_utf8(value).ok()?.parse().ok().map(Body::Length);
    }
    (name.eq_ignore_ascii_case(b"transfer-encoding") && value.eq_ignore_ascii_case(b"chunked")).then_some(Body::Chunked)
}

/// The size that a line before a chunk tells, unless it has too many digits.
fn size(line: &[u8]) -> Option<u64> {
    let mut digits = line.iter().map_while(|b| char::from(*b).to_digit(16));
    digits.try_fold(0_u64, |size, digit| Some(size.checked_mul(16)? | u64::from(digit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "POST /a HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: chunked\r\n\r\n";
    const LIMIT: usize = 1_000;

    /// What is seen of a connection that is read in pieces of so many bytes.
    fn seen(text: &str, piece: usize) -> Option<ChunkFault> {
        let mut framing = Framing::new(LIMIT);
        text.as_bytes().chunks(piece).fold(None, |fault, piece| fault.or(framing.read(piece)))
    }

    #[track_caller]
    fn shows(text: &str, fault: Option<ChunkFault>) {
        for piece in [1, 2, 7, 64, 4_096, usize::MAX] {
            assert_eq!(seen(text, piece), fault, "in pieces of {piece}");
        }
    }

    #[test]
    fn a_chunk_that_announces_too_much_shows_at_its_first_line() {
        shows(&format!("{HEAD}ffffffffffffffff\r\n"), Some(ChunkFault::TooLarge));
        shows(&format!("{HEAD}3e9\r\n"), Some(ChunkFault::TooLarge));
        shows(&format!("{HEAD}10000000000000000\r\n"), None);
        shows(&format!("{HEAD}3e8\r\n"), None);
        let half = format!("1f4\r\n{}\r\n", "x".repeat(500));
        shows(&format!("{HEAD}{half}{half}"), None);
        shows(&format!("{HEAD}{half}{half}1\r\n"), Some(ChunkFault::TooLarge));
    }

    #[test]
    fn frames_out_of_proportion_show() {
        shows(&format!("{HEAD}1;{}", "e".repeat(FRAME_BYTES as usize)), Some(ChunkFault::Padded));
        shows(&format!("{HEAD}1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(1_000)), None);
        let one = format!("1;{}\r\nx\r\n", "e".repeat(200));
        shows(&format!("{HEAD}{}", one.repeat(400)), Some(ChunkFault::Padded));
        shows(&format!("{HEAD}{}0\r\n\r\n", "1\r\nx\r\n".repeat(LIMIT)), None);
    }

    #[test]
    fn what_stands_in_bodies_and_other_requests_is_no_chunk() {
        let body = "Transfer-Encoding: chunked\r\n\r\nffffffff\r\n";
        let with_length = format!("POST /a HTTP/1.1\r\ncontent-LENGTH: {}\r\n\r\n{body}", body.len());
        let get = "GET /a HTTP/1.1\r\nHost: b\r\n\r\n";
        let chunked = format!("{HEAD}{:x};a=b\r\n{body}\r\n0\r\n\r\n", body.len());
        shows(&[get, &with_length, &chunked, get, &chunked, &with_length, get].concat(), None);
        shows(&[&chunked, get, HEAD, "fffffff\r\n"].concat(), Some(ChunkFault::TooLarge));
        shows(&format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(5_000)), None);
    }
}
