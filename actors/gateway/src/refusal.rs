//! What the HTTP parser refuses, told as every other error is.

use actix_web::body::MessageBody;
use actix_web::http::StatusCode;
use essaim::trace::TraceContext;
use essaim_http::Problem;

use crate::front::Front;
use crate::visit::REQUEST_ID;
use crate::{answer, gate};

/// A status line and the few headers that the server gives an answer of its own are shorter than this.
const LONGEST_BARE_HEAD: usize = 256;

/// Where the last answer in what is about to be sent begins, and its status, if it is an error without a body that did
/// not come through the gate: the gate gives each answer an id.
pub(crate) fn bare_status(bytes: &[u8]) -> Option<(usize, StatusCode)> {
    const LINE: &[u8] = b"HTTP/1.";
    if !bytes.ends_with(b"\r\n\r\n") {
        return None;
    }
    let from = bytes.len().saturating_sub(LONGEST_BARE_HEAD);
    let at = from + bytes[from..].windows(LINE.len()).rposition(|w| w == LINE)?;
    let head = std::str::from_utf8(&bytes[at..]).ok()?;
    let status = StatusCode::from_bytes(head.get(9..12)?.as_bytes()).ok()?;
    let ours = head.lines().any(|l| l.split(':').next().is_some_and(|n| n.eq_ignore_ascii_case(REQUEST_ID.as_str())));
    let is_error = status.is_client_error() || status.is_server_error();
    (is_error && !ours).then_some((at, status))
}

/// The whole answer in place of the bare one.
pub(crate) fn tell(front: &Front, status: StatusCode) -> Vec<u8> {
    let trace = TraceContext::root(&front.env);
    let response = answer::refusal(front, &trace, problem(front, status));
    let (response, body) = response.into_parts();
    let body = body.try_into_bytes().unwrap_or_default();
    let reason = status.canonical_reason().unwrap_or_default();
    let mut bytes = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).into_bytes();
    for (name, value) in response.headers() {
        bytes.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    bytes.extend(format!("content-length: {}\r\nconnection: close\r\n\r\n", body.len()).as_bytes());
    bytes.extend(&body);
    bytes
}

fn problem(front: &Front, status: StatusCode) -> Problem {
    match status {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => gate::headers_too_large(&front.settings),
        StatusCode::REQUEST_TIMEOUT => Problem::too_slow("The headers did not arrive in time."),
        StatusCode::BAD_REQUEST => {
            Problem::bad_request("This is no well-formed HTTP/1.1 request, or its path is too long.")
        }
        other => answer::of_bare_status(front, other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_error_without_a_body_and_without_an_id_is_bare() {
        let bare = "HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let ours = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nx-request-id: 1\r\n\r\n";
        let fine = "HTTP/1.1 204 No Content\r\ndate: now\r\n\r\n";
        let status = |text: &str| bare_status(text.as_bytes()).map(|(at, status)| (at, status.as_u16()));
        assert_eq!(status(bare), Some((0, 431)));
        assert_eq!(status(&format!("{ours}{bare}")), Some((ours.len(), 431)), "it is the last of two");
        for text in [ours, fine, "", "\r\n\r\n", "{\"a\":1}", "HTTP/1.1 x\r\n\r\n"] {
            assert_eq!(status(text), None, "{text}");
        }
    }
}
