//! TLS to the server: the certificates of `bridge.ca`, `bridge.cert` and `bridge.key`, and what an error of TLS says in words.

use essaim_base::certificates::CertificateMistake;
use essaim_config::BridgeConfig;
use redis::{Client, ClientTlsConfig, RedisResult, TlsCertificates};

/// How servers and clients show who they are.
#[derive(Clone, Default)]
pub(super) struct Certificates(Option<TlsCertificates>);

impl Certificates {
    /// Those of these settings. Without any, servers must have a certificate of a public authority.
    pub fn of(bridge: &BridgeConfig) -> Self {
        let text = |pem: &str| (!pem.is_empty()).then(|| pem.as_bytes().to_vec());
        let client_tls = text(&bridge.cert)
            .zip(text(&bridge.key))
            .map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key });
        let root_cert = text(&bridge.ca);
        Self((client_tls.is_some() || root_cert.is_some()).then_some(TlsCertificates { client_tls, root_cert }))
    }

    /// A client of the server at this URL.
    ///
    /// # Errors
    /// If the URL or one of the certificates is malformed.
    pub fn client(&self, url: String) -> RedisResult<Client> {
        match &self.0 {
            Some(certificates) => Client::build_with_tls(url, certificates.clone()),
            None => Client::open(url),
        }
    }
}

/// What is wrong and what to do about it, if the error is one of TLS.
pub(super) fn advice(error: &str) -> Option<String> {
    let mistake = CertificateMistake::of(error)?;
    let remedy = match mistake {
        CertificateMistake::UnknownAuthority => "set bridge.ca_file to the certificate of the authority that signed it",
        CertificateMistake::Expired | CertificateMistake::NotYetValid => "renew it, or correct the clocks",
        CertificateMistake::OtherName => "give the server in bridge.url the name that its certificate has",
        CertificateMistake::ClientUnknown => {
            "set bridge.cert_file and bridge.key_file to a certificate that it trusts, and its key"
        }
        CertificateMistake::NoTls => "begin bridge.url with redis:// instead of rediss://, or name its port for TLS",
    };
    Some(format!("{mistake}: {remedy} ({error})"))
}
