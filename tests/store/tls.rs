//! TLS to PostgreSQL and Redis with certificates of one's own: what is trusted, and what is refused in words.

use std::path::Path;
use std::process::Output;

use crate::support::{Authority, Certificate, Cluster, Postgres, Redis, Scratch, essaim};

/// The names of this machine.
const HERE: &str = "DNS:localhost,IP:127.0.0.1";

fn check(settings: &[String]) -> (Option<i32>, String) {
    let data = Scratch::new("check");
    let mut check = essaim();
    check.args(["check", "--listen", "127.0.0.1:0"]).arg("--data-dir").arg(data.path());
    for setting in settings {
        check.args(["--set", setting]);
    }
    let Output { status, stdout, .. } = check.output().expect("the binary can be started");
    (status.code(), String::from_utf8_lossy(&stdout).into_owned())
}

fn pem(path: &Path) -> String {
    std::fs::read_to_string(path).expect("the file is there")
}

/// Settings of a server with that certificate that lets in clients of the authority alone.
fn postgres_of(authority: &Authority, own: &Certificate) -> Postgres {
    let server = Postgres::with(&[]);
    server.require_certificates(&pem(&authority.certificate()), &pem(&own.certificate), &pem(&own.key));
    server
}

#[test]
fn postgres_is_reached_by_tls_with_own_certificates_and_what_does_not_fit_is_told() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let right = postgres_of(&authority, &authority.sign("server", HERE, 30));
    let database = right.database();
    let client = authority.sign("essaim", "DNS:essaim", 30);
    let foreign = stranger.sign("essaim", "DNS:essaim", 30);
    let url = |server: &Postgres, name: &str, ca: &Authority, own: Option<&Certificate>| {
        let own =
            own.map_or(String::new(), |c| format!("&sslcert={}&sslkey={}", c.certificate.display(), c.key.display()));
        let ca = ca.certificate();
        format!(
            "capabilities.users.database=postgres://essaim@localhost:{}/{name}?sslmode=verify-full&sslrootcert={}{own}",
            server.port(),
            ca.display()
        )
    };
    let (code, page) = check(&[url(&right, database.name(), &authority, Some(&client))]);
    assert_eq!(code, Some(0), "{page}");
    for (ca, own, words) in [
        (&stranger, Some(&client), ["nobody who is trusted here", "sslrootcert=PATH"]),
        (&authority, None, ["does not accept the certificate of this node", "sslcert=PATH"]),
        (&authority, Some(&foreign), ["does not accept the certificate of this node", "sslcert=PATH"]),
    ] {
        let (code, page) = check(&[url(&right, database.name(), ca, own)]);
        assert!(code == Some(73) && words.iter().all(|w| page.contains(w)), "{words:?}: {page}");
    }
    for (alternatives, days, words) in [
        (HERE, -1, ["certificate has expired", "renew it"]),
        ("DNS:elsewhere", 30, ["for another name", "the name that"]),
    ] {
        let wrong = postgres_of(&authority, &authority.sign("wrong", alternatives, days));
        let (code, page) = check(&[url(&wrong, "postgres", &authority, Some(&client))]);
        assert!(code == Some(73) && words.iter().all(|w| page.contains(w)), "{words:?}: {page}");
    }
    // And a node works with it.
    let cluster = Cluster::single().set(
        "capabilities.users.database",
        url(&right, database.name(), &authority, Some(&client)).split_once('=').unwrap().1,
    );
    let cluster = cluster.start();
    cluster.admin();
    let encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name LIKE 'essaim/%'";
    assert_eq!(right.sql("postgres", encrypted), "t");
    cluster.stop();
}

#[test]
fn redis_is_reached_by_tls_with_own_certificates_and_what_does_not_fit_is_told() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = authority.sign("server", HERE, 30);
    let right = Redis::with_tls(&authority.certificate(), &server.certificate, &server.key);
    let client = authority.sign("node", "DNS:node", 30);
    let settings = |redis: &Redis, ca: &Authority, own: Option<&Certificate>| {
        let mut settings =
            vec![format!("bridge.url={}", redis.tls_url()), format!("bridge.ca_file={}", ca.certificate().display())];
        if let Some(own) = own {
            settings.push(format!("bridge.cert_file={}", own.certificate.display()));
            settings.push(format!("bridge.key_file={}", own.key.display()));
        }
        settings
    };
    let (code, page) = check(&settings(&right, &authority, Some(&client)));
    assert_eq!(code, Some(0), "{page}");
    let foreign = stranger.sign("node", "DNS:node", 30);
    for (ca, own, words) in [
        (&stranger, Some(&client), ["nobody who is trusted here", "bridge.ca_file"]),
        (&authority, None, ["does not accept the certificate of this node", "bridge.cert_file"]),
        (&authority, Some(&foreign), ["does not accept the certificate of this node", "bridge.cert_file"]),
    ] {
        let (code, page) = check(&settings(&right, ca, own));
        assert!(code == Some(75) && words.iter().all(|w| page.contains(w)), "{words:?}: {code:?} {page}");
    }
    for (alternatives, days, words) in [
        (HERE, -1, ["certificate has expired", "renew it"]),
        ("DNS:elsewhere", 30, ["for another name", "the name that"]),
    ] {
        let own = authority.sign("wrong", alternatives, days);
        let wrong = Redis::with_tls(&authority.certificate(), &own.certificate, &own.key);
        let (code, page) = check(&settings(&wrong, &authority, Some(&client)));
        assert!(code == Some(75) && words.iter().all(|w| page.contains(w)), "{words:?}: {code:?} {page}");
    }
    // A node does not start either, and says the same.
    let mut run = essaim();
    let data = Scratch::new("refused");
    run.arg("run").arg("--data-dir").arg(data.path());
    for setting in settings(&right, &stranger, Some(&client)) {
        run.args(["--set", &setting]);
    }
    let output = run.output().expect("the binary can be started");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(75) && told.contains("bridge.ca_file"), "{told}");
    // And the wire, the log and all that is subscribed work with it.
    let mut cluster = Cluster::of("config/split.toml");
    for setting in settings(&right, &authority, Some(&client)) {
        let (key, value) = setting.split_once('=').expect("a setting has a value");
        cluster = cluster.set(key, value);
    }
    let cluster = cluster.start();
    cluster.admin();
    cluster.stop();
}

#[test]
fn certificates_without_tls_or_without_their_key_are_a_mistake_of_the_configuration() {
    let authority = Authority::new();
    let (ca, own) = (authority.certificate(), authority.sign("node", HERE, 30));
    let (url, ca) = ("bridge.url=rediss://localhost:1".to_string(), format!("bridge.ca_file={}", ca.display()));
    let (code, page) = check(&["bridge.url=redis://localhost:1".into(), ca]);
    assert!(code == Some(78) && page.contains("does not begin with rediss://"), "{page}");
    let (code, page) = check(&[url.clone(), format!("bridge.cert_file={}", own.certificate.display())]);
    assert!(code == Some(78) && page.contains("come together with bridge.key"), "{page}");
    let (code, page) = check(&[url, "bridge.ca=nonsense".into()]);
    assert!(code == Some(78) && page.contains("bridge.ca_file = "), "{page}");
}
