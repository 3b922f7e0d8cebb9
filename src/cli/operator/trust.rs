//! Whom a command believes to be the server that it asks over TLS, and what is wrong where it believes nobody.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use essaim::CertificateMistake;
use essaim::config::NodeConfig;
use essaim::exit::{self, Fatal};
use rustls::crypto::ring;
use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// The authority of who is asked.
#[derive(Debug, Args)]
pub struct Ca {
    /// The authority that signed the certificate of an https:// URL, as a PEM file; by default node.admin_ca, or those
    /// that the system trusts
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
}

/// Authorities that are trusted.
#[derive(Debug, Clone)]
pub struct Trust(Vec<Certificate<'static>>);

impl Trust {
    /// The authority that is named, the one of the configuration, or those of the system.
    ///
    /// # Errors
    /// If the file cannot be read, or one of the two is no certificate.
    pub fn of(Ca { ca }: &Ca, node: &NodeConfig) -> Result<Self, Fatal> {
        if let Some(file) = ca {
            return Self::in_file(file)
                .map_err(|why| Fatal::new(exit::USAGE, format!("--ca {}: {why}", file.display())));
        }
        match &*node.admin_ca {
            "" => Ok(Self::of_system()),
            pem => Self::in_pem(pem).map_err(|why| Fatal::new(exit::CONFIG, format!("`node.admin_ca`: {why}"))),
        }
    }

    fn in_file(file: &Path) -> Result<Self, String> {
        Self::in_pem(&std::fs::read_to_string(file).map_err(|error| format!("the file cannot be read: {error}"))?)
    }

    fn in_pem(pem: &str) -> Result<Self, String> {
        let mut found = Vec::new();
        for item in parse_pem(pem.as_bytes()) {
            match item.map_err(|error| format!("this is no PEM file: {error}"))? {
                PemItem::Certificate(certificate) => found.push(certificate),
                _ => continue,
            }
        }
        match found.is_empty() {
            true => Err("there is no certificate in it: give the PEM file of the authority".into()),
            false => Ok(Self(found)),
        }
    }

    /// What of them cannot be read is left out, as other programs do.
    fn of_system() -> Self {
        let found = rustls_native_certs::load_native_certs().certs;
        Self(found.iter().map(|der| Certificate::from_der(der).to_owned()).collect())
    }

    /// What asks; a whole answer may take so long.
    pub fn agent(&self, limit: Option<Duration>) -> Agent {
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&self.0))
            .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()));
        let config = Agent::config_builder().timeout_global(limit).http_status_as_error(false);
        config.tls_config(tls.build()).build().into()
    }
}

/// An error with what to do about it, where it is one of certificates.
pub fn advised(error: &str) -> String {
    let Some(mistake) = CertificateMistake::of(error) else { return error.into() };
    let remedy = match mistake {
        CertificateMistake::UnknownAuthority => {
            "give the authority that signed it with --ca FILE, or as node.admin_ca_file"
        }
        CertificateMistake::Expired | CertificateMistake::NotYetValid => "renew it, or correct the clocks",
        CertificateMistake::OtherName => "give the name that it has in --url",
        CertificateMistake::ClientUnknown => "ask at the node itself, or through a tunnel to it",
        CertificateMistake::NoTls => "begin --url with http:// instead of https://, or name its port for TLS",
    };
    format!("{mistake}: {remedy} ({error})")
}
