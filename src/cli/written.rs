//! JSON that operators have written: in a file, or on standard input.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use essaim::api::MOST_PAYLOAD_BYTES;
use essaim::exit::{self, Fatal};

/// What is in a file, or on standard input (`-`); `of` is how it is called where it cannot be read.
///
/// # Errors
/// If there is none, too much of it, or no text.
pub fn read(path: &Path, of: &str) -> Result<String, Fatal> {
    let wrong = |what: String| Fatal::new(exit::USAGE, format!("{of}: {what}"));
    let mut bytes = Vec::new();
    // One byte more tells whether it is too long.
    let most = MOST_PAYLOAD_BYTES as u64 + 1;
    let read = match path.to_str() {
        Some("-") => io::stdin().lock().take(most).read_to_end(&mut bytes),
        _ => File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes)),
    };
    read.map_err(|error| wrong(format!("it cannot be read: {error}")))?;
    if bytes.len() > MOST_PAYLOAD_BYTES {
        return Err(wrong(too_long(bytes.len())));
    }
    String::from_utf8(bytes).map_err(|_| wrong("it is no text in UTF-8, so it is no JSON".into()))
}

/// What is said of JSON that has so many bytes, or more.
pub fn too_long(bytes: usize) -> String {
    format!("{bytes} bytes or more of JSON are too many: what is written by hand has at most {MOST_PAYLOAD_BYTES}")
}
