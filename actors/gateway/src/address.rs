//! Whose request it is, when proxies are in between.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use actix_web::http::header::{self, HeaderMap};

/// A network in the notation of RFC 4632, such as `10.0.0.0/8`; an address alone is a network of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    prefix: u32,
}

/// A text that names no network.
#[derive(Debug, thiserror::Error)]
#[error("gateway.trusted_proxies: `{0}` is no address and no network such as 10.0.0.0/8")]
pub(crate) struct NoNetwork(String);

impl FromStr for Network {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        let no_network = || NoNetwork(text.to_string());
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.trim().parse().map_err(|_| no_network())?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(bits), |p| p.trim().parse().map_err(|_| no_network()))?;
        if prefix > bits {
            return Err(no_network());
        }
        Ok(Self { address, prefix })
    }
}

impl Network {
    fn holds(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                (a.to_bits() ^ b.to_bits()).checked_shr(32 - self.prefix).unwrap_or(0) == 0
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                (a.to_bits() ^ b.to_bits()).checked_shr(128 - self.prefix).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// The proxies whose word about addresses is believed.
#[derive(Debug, Default)]
pub(crate) struct TrustedProxies(Vec<Network>);

impl TrustedProxies {
    /// These networks.
    ///
    /// # Errors
    /// If a text names no network.
    pub fn new(networks: &[String]) -> Result<Self, NoNetwork> {
        networks.iter().map(|n| n.parse()).collect::<Result<_, _>>().map(Self)
    }

    fn hold(&self, address: IpAddr) -> bool {
        self.0.iter().any(|n| n.holds(address))
    }

    /// The address of the client: the rightmost in `X-Forwarded-For` that is no trusted proxy, if the request comes
    /// from one. Addresses left of it may be made up by the client.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.hold(peer) {
            return peer;
        }
        // No line may be skipped, not even one that is no text: the line before it may be the client's own.
        let values: Vec<&[u8]> = headers.get_all(header::X_FORWARDED_FOR).map(|v| v.as_bytes()).collect();
        let mut client = peer;
        for entry in values.iter().rev().flat_map(|v| v.rsplit(|byte| *byte == b',')) {
            match std::str::from_utf8(entry).ok().and_then(|e| parse(e.trim())) {
                Some(address) => client = address,
                None => break,
            }
            if !self.hold(client) {
                break;
            }
        }
        client
    }
}

/// An address, with or without brackets and a port.
fn parse(entry: &str) -> Option<IpAddr> {
    let bare = || entry.trim_start_matches('[').trim_end_matches(']').parse();
    let address = bare().ok().or_else(|| entry.parse::<SocketAddr>().ok().map(|a| a.ip()));
    address.map(|a: IpAddr| a.to_canonical())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_line_that_is_no_text_does_not_hide_behind_an_older_one() {
        let trusted = TrustedProxies::new(&["127.0.0.1".into()]).unwrap();
        let mut headers = HeaderMap::new();
        headers.append(header::X_FORWARDED_FOR, header::HeaderValue::from_static("6.6.6.6"));
        headers.append(header::X_FORWARDED_FOR, header::HeaderValue::from_bytes(b"\xe9, 9.9.9.9").unwrap());
        assert_eq!(trusted.client("127.0.0.1".parse().unwrap(), &headers).to_string(), "9.9.9.9");
    }

    fn client(trusted: &[&str], peer: &str, forwarded: &[&str]) -> String {
        let trusted: Vec<String> = trusted.iter().map(|t| t.to_string()).collect();
        let request =
            forwarded.iter().fold(TestRequest::default(), |r, f| r.append_header((header::X_FORWARDED_FOR, *f)));
        let headers = request.to_http_request().headers().clone();
        TrustedProxies::new(&trusted).unwrap().client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn a_stranger_is_not_believed() {
        assert_eq!(client(&[], "192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(client(&["10.0.0.0/8"], "192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
    }

    #[test]
    fn the_rightmost_address_that_is_no_proxy_is_the_client() {
        let trusted = ["10.0.0.0/8", "fd00::/8"];
        assert_eq!(client(&trusted, "10.1.2.3", &["203.0.113.9, 198.51.100.7"]), "198.51.100.7");
        assert_eq!(client(&trusted, "10.1.2.3", &["203.0.113.9, 198.51.100.7, 10.9.9.9"]), "198.51.100.7");
        assert_eq!(client(&trusted, "10.1.2.3", &["203.0.113.9", "198.51.100.7", "fd00::1"]), "198.51.100.7");
        assert_eq!(client(&trusted, "::ffff:10.1.2.3", &["198.51.100.7:4711"]), "198.51.100.7");
        assert_eq!(client(&trusted, "10.1.2.3", &["[2001:db8::5]:80"]), "2001:db8::5");
    }

    #[test]
    fn without_a_usable_address_it_is_the_nearest_one_known() {
        assert_eq!(client(&["10.0.0.0/8"], "10.1.2.3", &[]), "10.1.2.3");
        assert_eq!(client(&["10.0.0.0/8"], "10.1.2.3", &["198.51.100.7, unknown"]), "10.1.2.3");
        assert_eq!(client(&["10.0.0.0/8"], "10.1.2.3", &["unknown, 10.4.4.4"]), "10.4.4.4");
    }

    #[test]
    fn networks_have_exact_borders_and_nonsense_is_refused() {
        let holds = |n: &str, a: &str| n.parse::<Network>().unwrap().holds(a.parse().unwrap());
        assert!(holds("192.0.2.128/25", "192.0.2.255") && !holds("192.0.2.128/25", "192.0.2.127"));
        assert!(holds("0.0.0.0/0", "8.8.8.8") && holds("::1", "::1") && !holds("::1", "::2"));
        assert!(!holds("0.0.0.0/0", "::1"));
        for text in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "proxy", "10.0.0.0/-1"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
