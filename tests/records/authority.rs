//! Certificates for a receiver over TLS, of an authority of the test's own.

use std::path::PathBuf;
use std::process::Command;

use crate::support::Scratch;

/// An authority that only those trust who are told to, and a certificate of it for the address of this machine.
pub struct Authority(Scratch);

impl Authority {
    /// A new one of this name.
    pub fn named(name: &str) -> Self {
        let files = Scratch::new("authority");
        // The machine's own configuration would add extensions.
        files.write("config", "[req]\ndistinguished_name = name\n[name]\n");
        let authority = Self(files);
        let subject = format!("/CN={name}");
        authority.certify(&["-keyout", "own.key", "-out", "own.pem", "-subj", &subject], "CA:TRUE");
        let address = ["-CA", "own.pem", "-CAkey", "own.key", "-addext", "subjectAltName=IP:127.0.0.1"];
        let files = ["-keyout", "receiver.key", "-out", "receiver.pem", "-subj", "/CN=receiver"];
        authority.certify(&[address, files].concat(), "CA:FALSE");
        authority
    }

    /// The file with its own certificate, for those who trust it.
    pub fn file(&self) -> PathBuf {
        self.0.join("own.pem")
    }

    /// The certificate of the receiver and its key, as PEM.
    pub fn certificate(&self) -> (String, String) {
        let text = |name: &str| std::fs::read_to_string(self.0.join(name)).expect("openssl has written it");
        (text("receiver.pem"), text("receiver.key"))
    }

    fn certify(&self, arguments: &[&str], is_authority: &str) {
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-config", "config", "-nodes", "-days", "2"]).current_dir(self.0.path());
        openssl.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
        openssl.args(["-addext", &format!("basicConstraints=critical,{is_authority}")]);
        let output = openssl.args(arguments).output().expect("there is openssl");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
