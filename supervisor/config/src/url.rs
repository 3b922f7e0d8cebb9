//! The URLs of servers: how they may be shown, and the mistakes that people make in them.
//!
//! User and password stand before the first `/`, `?` or `#`, and before the one `@`. A password that has one of these as it is makes
//! another URL of it, which may even be a valid one: of another host, with half of the password in its name.

/// What is special in user and password, as a mistake in them is told.
const ENCODED: &str = "`@` is %40, `#` is %23, `/` is %2F, `?` is %3F, `:` is %3A, `%` is %25";

/// A URL as it may be shown: without user and password, and without the query, which may hold others.
pub fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.split('?').next().unwrap_or_default().into() };
    if scheme == "sqlite" {
        return url.into();
    }
    if has_bare_character(rest) {
        // Where the password ends cannot be said.
        return format!("{scheme}://…");
    }
    let rest = rest.split('?').next().unwrap_or_default();
    let authority = rest.find('/').unwrap_or(rest.len());
    match rest[..authority].rfind('@') {
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => format!("{scheme}://{rest}"),
    }
}

/// What a URL of a server must be and is not, as the rest of a sentence about its key; nothing of the URL is repeated.
pub(crate) fn mistake(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    if has_bare_character(rest) {
        return Some(format!("have what is special in user and password percent-encoded: {ENCODED}"));
    }
    let authority = &rest[..end_of_authority(rest)];
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
    let port = |host: &str| match host.rsplit_once(':') {
        Some((_, port)) if !host.ends_with(']') => port.parse::<u16>().is_ok(),
        _ => true,
    };
    (!hosts.split(',').all(port)).then(|| {
        format!("have a number from 0 to 65535 as the port behind its host, and what is special in user and password percent-encoded: {ENCODED}")
    })
}

/// Whether an `@` follows what ends user, password and host, or another `@`. In the values of a query it may stand.
fn has_bare_character(rest: &str) -> bool {
    let end = end_of_authority(rest);
    let behind = rest[end..].split('@').next().filter(|before| before.len() < rest[end..].len());
    let is_in_query = |before: &str| before.split_once('?').is_some_and(|(_, query)| query.contains('='));
    rest[..end].matches('@').count() > 1 || behind.is_some_and(|before| !is_in_query(before))
}

fn end_of_authority(rest: &str) -> usize {
    rest.find(['/', '?', '#']).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_that_is_not_encoded_is_found_and_never_shown() {
        for scheme in ["redis", "postgres", "redis+sentinel"] {
            for password in
                ["se@cret", "se#cret", "se/cret", "se?cret", "1#cret", "1/cret", "1?cret", "@cret", "cret#", "cret/@"]
            {
                let url = format!("{scheme}://user:{password}@host:1/0");
                let told = mistake(&url).unwrap_or_else(|| panic!("{url} is taken"));
                assert!(told.contains("percent-encoded") && !told.contains("cret"), "{told}");
                assert_eq!(without_password(&url), format!("{scheme}://…"), "{url}");
            }
        }
    }

    #[test]
    fn a_url_that_is_right_is_taken_and_shown_without_its_password() {
        for (url, shown) in [
            ("redis://host", "redis://host"),
            ("redis://user:p%40%23%2Fss@host:6379/1?protocol=resp3", "redis://host:6379/1"),
            ("redis://:pass@[::1]:6379", "redis://[::1]:6379"),
            ("redis://[::1]", "redis://[::1]"),
            (
                "redis+sentinel://u:p@one,two:5000,[::1]/shop/3?sentinel_password=a@b",
                "redis+sentinel://one,two:5000,[::1]/shop/3",
            ),
            ("postgres:///db?host=/run/postgresql&password=p@ss", "postgres:///db"),
            ("postgres://host/db?user=me@there", "postgres://host/db"),
            ("postgres://u@%2Frun%2Fpostgresql/db", "postgres://%2Frun%2Fpostgresql/db"),
            ("https://collector/v1/traces", "https://collector/v1/traces"),
        ] {
            assert_eq!(mistake(url), None, "{url}");
            assert_eq!(without_password(url), shown);
        }
    }

    #[test]
    fn the_path_of_a_file_is_shown_as_it_is() {
        assert_eq!(without_password("sqlite:///var/me@home/x?.sqlite3"), "sqlite:///var/me@home/x?.sqlite3");
    }

    #[test]
    fn a_port_that_is_no_port_is_found() {
        for url in ["redis://host:port", "redis://host:70000", "redis://u:p@host:6379x/1", "postgres://host:/db"] {
            assert!(mistake(url).is_some_and(|told| told.contains("port")), "{url}");
        }
    }
}
