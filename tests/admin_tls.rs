//! The admin listener over TLS, with certificates of one's own: who is trusted, and what is refused in words.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use crate::support::{Authority, Certificate, Process, Scratch, Signal, essaim, free_port, tells};

/// How long a client of TLS may say nothing.
const PATIENCE: Duration = Duration::from_secs(5);
const TOKEN: &str = "node.operators.ann=sesame";

mod code {
    pub const USAGE: i32 = 2;
    pub const UNAVAILABLE: i32 = 69;
    pub const CONFIG: i32 = 78;
}

/// What shows who a node is, as arguments.
fn shown_by(own: &Certificate) -> Vec<String> {
    let (certificate, key) = (own.certificate.display(), own.key.display());
    settings(&[format!("node.admin_cert_file={certificate}"), format!("node.admin_key_file={key}")])
}

fn settings(all: &[String]) -> Vec<String> {
    all.iter().flat_map(|setting| ["--set".into(), setting.clone()]).collect()
}

/// A node of one process with an admin listener at that address.
struct Listening {
    process: Process,
    gateway: u16,
    _data: Scratch,
}

impl Listening {
    fn start(admin: &str, arguments: &[String]) -> Self {
        let (gateway, data) = (free_port(), Scratch::new("listening"));
        let mut command = essaim();
        command.args(["run", "--listen", &format!("127.0.0.1:{gateway}"), "--set", "console.listen=127.0.0.1:0"]);
        command.args(["--set", &format!("node.admin_listen={admin}"), "--set", TOKEN]).args(arguments);
        let process = Process::start("listening", command.arg("--data-dir").arg(data.path()));
        process.wait_for_line("ready: every capability of this node runs");
        Self { process, gateway, _data: data }
    }

    fn stop(mut self) {
        self.process.signal(Signal::Term);
        assert_eq!(self.process.exit_code(), Some(0));
    }
}

/// What a command of Ann's comes to, far from the node's data directory and where the system trusts that authority.
#[track_caller]
fn said(arguments: &[&str], system: &Path) -> (Option<i32>, String) {
    let elsewhere = Scratch::new("elsewhere");
    let mut command = essaim();
    command.args(arguments).args(["--set", "node.operator_token=sesame", "--data-dir"]).arg(elsewhere.path());
    let Output { status, stdout, stderr } = command.env("SSL_CERT_FILE", system).output().expect("essaim runs");
    (status.code(), format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)))
}

#[test]
fn commands_reach_a_node_by_tls_whose_authority_is_given_configured_or_the_systems() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let admin = format!("localhost:{}", free_port());
    let own = authority.sign("admin", "DNS:localhost", 30);
    let node = Listening::start(&admin, &shown_by(&own));
    let (ca, other) = (authority.certificate(), stranger.certificate());
    let (ca_text, other_text, url) =
        (ca.display().to_string(), other.display().to_string(), format!("https://{admin}"));
    // One that says nothing keeps nobody waiting, and is not kept.
    let mut silent = TcpStream::connect(&admin).expect("it listens");
    for command in [&["dead", "list"][..], &["status"], &["top", "--once"], &["logs"], &["audit"]] {
        let asked = [command, &["--url", &url]].concat();
        tells(said(&[&asked[..], &["--ca", &ca_text]].concat(), &other), 0, &[]);
        tells(said(&asked, &ca), 0, &[]);
        tells(said(&[&asked[..], &["--set", &format!("node.admin_ca_file={ca_text}")]].concat(), &other), 0, &[]);
        tells(said(&asked, &other), code::UNAVAILABLE, &["nobody who is trusted here", "--ca FILE"]);
        tells(
            said(&[&asked[..], &["--ca", &other_text]].concat(), &ca),
            code::UNAVAILABLE,
            &["nobody who is trusted here", "--ca FILE"],
        );
    }
    // Found by the configuration, without a URL.
    let mut configured = vec!["dead".to_string(), "list".into(), "--set".into(), format!("node.admin_listen={admin}")];
    configured.extend(shown_by(&own));
    let configured: Vec<&str> = configured.iter().map(String::as_str).collect();
    tells(said(&configured, &ca), 0, &[]);
    silent.set_read_timeout(Some(PATIENCE * 4)).expect("it is open");
    assert_eq!(silent.read(&mut [0]).expect("the node closes it"), 0);
    node.stop();
}

#[test]
fn what_keeps_a_command_from_a_listener_is_told_with_what_to_do() {
    let authority = Authority::new();
    let admin = format!("localhost:{}", free_port());
    let node = Listening::start(&admin, &shown_by(&authority.sign("admin", "DNS:localhost", 30)));
    let ca = authority.certificate();
    let ask = |url: &str| said(&["dead", "list", "--url", url], &ca);
    let by_address = format!("https://{}", admin.replace("localhost", "127.0.0.1"));
    tells(
        ask(&by_address),
        code::UNAVAILABLE,
        &["for another name", "give the name that it has in --url", "localhost"],
    );
    let gateway = format!("https://localhost:{}", node.gateway);
    tells(ask(&gateway), code::UNAVAILABLE, &["does not speak TLS there", "http:// instead of https://"]);
    for url in [&admin, &format!("http://{admin}")] {
        tells(ask(url), code::USAGE, &["begin the URL with https://"]);
        tells(said(&["status", "--url", url], &ca), code::UNAVAILABLE, &["begin the URL with https://"]);
    }
    let no_file = said(&["dead", "list", "--url", &by_address, "--ca", "/there/is/none"], &ca);
    tells(no_file, code::USAGE, &["--ca /there/is/none", "cannot be read"]);
    let key = authority.itself().key.display().to_string();
    let no_certificate = said(&["dead", "list", "--url", &by_address, "--ca", &key], &ca);
    tells(no_certificate, code::USAGE, &["there is no certificate in it"]);
    // A program that speaks plain HTTP gets an answer in HTTP, also one that sends much.
    let mut plain = TcpStream::connect(&admin).expect("it listens");
    let body = "x".repeat(1 << 20);
    let _ =
        write!(plain, "POST /durable/dead/list HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let mut answer = String::new();
    plain.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("https://"), "{answer}");
    node.stop();
    let (port, expired) = (free_port().to_string(), authority.sign("expired", "DNS:localhost", -1));
    let mut server = Command::new("openssl");
    server
        .args(["s_server", "-www", "-accept", &port, "-cert"])
        .arg(&expired.certificate)
        .arg("-key")
        .arg(&expired.key);
    let server = Process::start("openssl s_server", &mut server);
    server.wait_for_line("ACCEPT");
    tells(ask(&format!("https://localhost:{port}")), code::UNAVAILABLE, &["certificate has expired", "renew it"]);
}

#[test]
fn a_certificate_that_nobody_could_trust_ends_the_start_and_is_found_by_check() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let right = authority.sign("right", "DNS:localhost", 30);
    let other_key = Certificate { certificate: right.certificate.clone(), key: authority.sign("b", "DNS:b", 30).key };
    let directory = Scratch::new("texts");
    let text = |name: &str, text: &str| {
        std::fs::write(directory.join(name), text).expect("the directory can be written");
        directory.join(name)
    };
    let broken = text("broken", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n");
    let foreign = format!("node.admin_ca_file={}", stranger.certificate().display());
    let alone = format!("node.admin_cert_file={}", right.certificate.display());
    for (arguments, words) in [
        (shown_by(&authority.sign("old", "DNS:localhost", -1)), ["`node.admin_cert` has expired", "renew it"]),
        (shown_by(&other_key), ["`node.admin_key` does not fit", "give the key"]),
        (shown_by(&authority.itself()), ["`node.admin_cert` is an authority's own", "CA:FALSE"]),
        (shown_by(&authority.sign("nameless", "", 30)), ["`node.admin_cert` tells no name", "subjectAltName"]),
        ([shown_by(&right), settings(&[foreign])].concat(), ["not signed by node.admin_ca", "behind the certificate"]),
        (settings(&[alone]), ["`node.admin_cert` must come together with node.admin_key", "without its key"]),
        (shown_by(&Certificate { certificate: broken, key: right.key.clone() }), ["cannot be read", "PEM file"]),
        (
            shown_by(&Certificate { certificate: "/there/is/none".into(), key: right.key.clone() }),
            ["`node.admin_cert_file`", "does not exist"],
        ),
    ] {
        for command in ["check", "run"] {
            let own = ["--listen", "127.0.0.1:0", "--set", "node.admin_listen=127.0.0.1:0"];
            let arguments = [&[command][..], &own, &arguments.iter().map(String::as_str).collect::<Vec<_>>()].concat();
            tells(said(&arguments, Path::new("")), code::CONFIG, &words);
        }
    }
}

#[test]
fn a_certificate_that_signs_itself_serves_those_who_are_given_it() {
    let directory = Scratch::new("itself");
    let words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout own.key -out own.crt -days 30 -subj \
                 /CN=own -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE";
    let made = Command::new("openssl").current_dir(directory.path()).args(words.split_whitespace()).output();
    assert!(made.expect("openssl runs").status.success());
    let own = Certificate { certificate: directory.join("own.crt"), key: directory.join("own.key") };
    let admin = format!("localhost:{}", free_port());
    let node = Listening::start(&admin, &shown_by(&own));
    let ca = own.certificate.display().to_string();
    tells(said(&["dead", "list", "--url", &format!("https://{admin}"), "--ca", &ca], Path::new("")), 0, &[]);
    node.stop();
}

#[test]
fn tokens_that_others_could_read_on_their_way_are_told_at_the_start_and_by_check() {
    const WORDS: &str = "tokens and answers are not encrypted at node.admin_listen";
    let authority = Authority::new();
    let with_tls = shown_by(&authority.sign("admin", "DNS:localhost", 30));
    for (address, arguments, is_told) in
        [("0.0.0.0", &[][..], true), ("0.0.0.0", &with_tls, false), ("127.0.0.1", &[], false)]
    {
        let admin = format!("{address}:{}", free_port());
        let listen = format!("node.admin_listen={admin}");
        let own = ["check", "--listen", "127.0.0.1:0", "--set", &listen];
        let arguments_here: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let (code, page) = said(&[&own[..], &arguments_here].concat(), Path::new(""));
        assert_eq!((code, page.matches(WORDS).count()), (Some(0), usize::from(is_told)), "{page}");
        let node = Listening::start(&admin, arguments);
        assert_eq!(node.process.has_line(WORDS), is_told, "{admin}");
        node.stop();
    }
}
