//! TLS of the admin listener: `node.admin_cert` with `node.admin_key`, and in words what would keep clients from trusting them.

use std::sync::Arc;

use essaim_base::Env;
use essaim_base::certificates::CertificateMistake;
use essaim_config::{ConfigError, NodeConfig};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore, ServerConfig};

/// How the admin listener shows who it is.
#[derive(Clone)]
pub struct AdminTls(pub(crate) Arc<ServerConfig>);

/// Why a certificate, or its key, is of no use. It displays as the rest of a sentence, with the remedy.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("cannot be read: {0}; give the text of a PEM file, as {1}_file = \"PATH\"")]
    Unreadable(String, &'static str),
    #[error("does not fit node.admin_cert: give the key that the certificate was made with")]
    OtherKey,
    #[error(
        "is of a kind that TLS cannot use here ({0}): make one with `openssl ecparam -name prime256v1 -genkey -noout`"
    )]
    KindOfKey(String),
    #[error("has expired: renew it, or correct this machine's clock")]
    Expired,
    #[error("is not valid yet: wait until it is, or correct this machine's clock")]
    NotYetValid,
    #[error(
        "is an authority's own, with which no server may answer: sign one for this node with it, or make it with \
         `-addext basicConstraints=critical,CA:FALSE`"
    )]
    OfAuthority,
    #[error("tells no name: make it with `-addext subjectAltName=DNS:HOST`, the name that operators give in --url")]
    Nameless,
    #[error(
        "is not signed by node.admin_ca: give the authority that signed it, and what is between the two behind the certificate"
    )]
    OtherAuthority,
    #[error("is of no use ({0}): make another one")]
    Other(String),
}

impl AdminTls {
    /// That of the configuration; `None` without a certificate.
    ///
    /// # Errors
    /// If no client could trust the certificate, or the key is not its own.
    pub fn of(node: &NodeConfig, env: &Env) -> Result<Option<Self>, ConfigError> {
        let unusable = |key: &str, why: Unusable| ConfigError::new(format!("`{key}` {why}"));
        let authorities =
            certificates(&node.admin_ca, "node.admin_ca").map_err(|why| unusable("node.admin_ca", why))?;
        if node.admin_cert.is_empty() {
            return Ok(None);
        }
        let of_certificate = |why| unusable("node.admin_cert", why);
        let chain = certificates(&node.admin_cert, "node.admin_cert").map_err(of_certificate)?;
        let provider = Arc::new(ring::default_provider());
        check(&chain, &authorities, env, &provider).map_err(of_certificate)?;
        let key = PrivateKeyDer::from_pem_slice(node.admin_key.as_bytes())
            .map_err(|error| unusable("node.admin_key", unreadable(&error, "node.admin_key")))?;
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.and_then(|config| config.with_no_client_auth().with_single_cert(chain, key));
        match config {
            Ok(config) => Ok(Some(Self(Arc::new(config)))),
            Err(Error::InconsistentKeys(_)) => Err(unusable("node.admin_key", Unusable::OtherKey)),
            Err(error) => Err(unusable("node.admin_key", Unusable::KindOfKey(error.to_string()))),
        }
    }
}

/// All certificates of a PEM text; none of an empty one.
fn certificates(pem: &str, key: &'static str) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match read {
        Ok(read) if read.is_empty() && !pem.is_empty() => Err(unreadable(&pem::Error::NoItemsFound, key)),
        read => read.map_err(|error| unreadable(&error, key)),
    }
}

fn unreadable(error: &pem::Error, key: &'static str) -> Unusable {
    Unusable::Unreadable(error.to_string(), key)
}

/// Judges a certificate as its clients will. Who is trusted is theirs to know where the configuration does not say.
fn check(
    chain: &[CertificateDer<'_>],
    authorities: &[CertificateDer<'_>],
    env: &Env,
    provider: &CryptoProvider,
) -> Result<(), Unusable> {
    let Some((own, between)) = chain.split_first() else { return Err(Unusable::Other("there is none".into())) };
    let own = ParsedCertificate::try_from(own).map_err(|error| Unusable::Other(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities.iter().cloned());
    let now = UnixTime::since_unix_epoch(env.wall());
    let algorithms = provider.signature_verification_algorithms.all;
    match verify_server_cert_signed_by_trust_anchor(&own, &roots, between, now, algorithms) {
        Ok(()) => {}
        Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) if authorities.is_empty() => {}
        Err(error) => return Err(why(&error.to_string())),
    }
    match ServerName::try_from("no.name.of.it.invalid").map(|name| verify_server_name(&own, &name)) {
        Ok(Err(Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. })))
            if presented.is_empty() =>
        {
            Err(Unusable::Nameless)
        }
        _ => Ok(()),
    }
}

fn why(error: &str) -> Unusable {
    match CertificateMistake::of(error) {
        _ if error.contains("CaUsedAsEndEntity") => Unusable::OfAuthority,
        Some(CertificateMistake::Expired) => Unusable::Expired,
        Some(CertificateMistake::NotYetValid) => Unusable::NotYetValid,
        Some(CertificateMistake::UnknownAuthority) => Unusable::OtherAuthority,
        _ => Unusable::Other(error.into()),
    }
}
