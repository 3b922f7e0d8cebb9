//! Certificates of one test, made by `openssl`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::Scratch;

/// An authority, and what it has signed; all in one directory.
pub struct Authority {
    directory: Scratch,
}

/// A certificate and its key.
pub struct Certificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    /// # Panics
    /// If `openssl` is not installed.
    pub fn new() -> Self {
        let directory = Scratch::new("certificates");
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("authority-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let extensions = "-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign";
        openssl(
            &directory,
            &format!("req -x509 {NEW_KEY} -keyout ca.key -out ca.crt -days 30 -subj /CN={name} {extensions}"),
        );
        Self { directory }
    }

    /// Its own certificate.
    pub fn certificate(&self) -> PathBuf {
        self.directory.join("ca.crt")
    }

    /// Its own certificate with its key, as a server might use it that should not.
    pub fn itself(&self) -> Certificate {
        Certificate { certificate: self.certificate(), key: self.directory.join("ca.key") }
    }

    /// Signs a certificate for these alternative names, such as `DNS:localhost,IP:127.0.0.1`, or for none; with fewer than no
    /// days it has expired.
    pub fn sign(&self, name: &str, alternatives: &str, days: i32) -> Certificate {
        let names = if alternatives.is_empty() { String::new() } else { format!("subjectAltName={alternatives}\n") };
        let extensions = format!("{names}basicConstraints=CA:FALSE\n");
        std::fs::write(self.directory.join("extensions"), extensions).expect("the directory can be written");
        openssl(&self.directory, &format!("req {NEW_KEY} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
        let authority = "-CA ca.crt -CAkey ca.key -CAcreateserial -extfile extensions";
        openssl(&self.directory, &format!("x509 -req -in {name}.csr {authority} -days {days} -out {name}.crt"));
        Certificate {
            certificate: self.directory.join(&format!("{name}.crt")),
            key: self.directory.join(&format!("{name}.key")),
        }
    }
}

const NEW_KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";

fn openssl(directory: &Scratch, words: &str) {
    let path: &Path = directory.path();
    let output = Command::new("openssl").current_dir(path).args(words.split_whitespace()).output();
    let output =
        output.unwrap_or_else(|e| panic!("openssl cannot be started ({e}); on Debian: apt-get install openssl"));
    assert!(output.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&output.stderr));
}
