//! What is wrong with the certificates of a connection, read from the words of rustls: drivers pass on no more than these.

use std::fmt;

/// Why two ends do not come to trust each other over TLS. It displays as a sentence about the server without its remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateMistake {
    /// Nobody whom this end trusts has signed the server's certificate.
    UnknownAuthority,
    /// The time of the server's certificate is over.
    Expired,
    /// The time of the server's certificate has not begun.
    NotYetValid,
    /// The server's certificate is for another name than the one in the URL.
    OtherName,
    /// The server wants a certificate of this end, and has none that it trusts.
    ClientUnknown,
    /// The other end does not speak TLS.
    NoTls,
}

/// Words of rustls, and what they mean. An alert comes from the server: it is about this end.
const WORDS: &[(&str, CertificateMistake)] = &[
    ("UnknownIssuer", CertificateMistake::UnknownAuthority),
    // Another authority of the same name.
    ("BadSignature", CertificateMistake::UnknownAuthority),
    ("CaUsedAsEndEntity", CertificateMistake::UnknownAuthority),
    ("certificate expired", CertificateMistake::Expired),
    ("peer certificate: Expired", CertificateMistake::Expired),
    ("certificate not valid yet", CertificateMistake::NotYetValid),
    ("peer certificate: NotValidYet", CertificateMistake::NotYetValid),
    ("certificate not valid for name", CertificateMistake::OtherName),
    ("NotValidForName", CertificateMistake::OtherName),
    ("fatal alert", CertificateMistake::ClientUnknown),
    // PostgreSQL misses a certificate only after the handshake.
    ("requires a valid client certificate", CertificateMistake::ClientUnknown),
    ("InvalidContentType", CertificateMistake::NoTls),
];

impl CertificateMistake {
    /// What an error means; `None` if it is none of these.
    pub fn of(error: &str) -> Option<Self> {
        WORDS.iter().find(|(words, _)| error.contains(words)).map(|(_, mistake)| *mistake)
    }
}

impl fmt::Display for CertificateMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownAuthority => "nobody who is trusted here has signed the server's certificate",
            Self::Expired => "the server's certificate has expired",
            Self::NotYetValid => "the server's certificate is not valid yet",
            Self::OtherName => "the server's certificate is for another name",
            Self::ClientUnknown => "the server does not accept the certificate of this node, or misses one",
            Self::NoTls => "the server does not speak TLS there",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rustls_says_is_told_in_words_and_what_is_no_matter_of_trust_is_left_alone() {
        for (error, mistake) in [
            ("invalid peer certificate: UnknownIssuer", CertificateMistake::UnknownAuthority),
            ("invalid peer certificate: certificate expired: verification time 2 (UNIX)", CertificateMistake::Expired),
            (
                "invalid peer certificate: certificate not valid for name \"h\"; certificate is",
                CertificateMistake::OtherName,
            ),
            ("received fatal alert: CertificateRequired", CertificateMistake::ClientUnknown),
            ("received corrupt message of type InvalidContentType", CertificateMistake::NoTls),
        ] {
            assert_eq!(CertificateMistake::of(error), Some(mistake), "{error}");
        }
        assert_eq!(CertificateMistake::of("connection refused"), None);
    }
}
