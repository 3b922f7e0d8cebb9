//! Input that is wrong, or meant to do harm: the platform always answers with a problem that helps and tells nothing of
//! its inside, or hangs up; it goes on serving others, and nothing panics.
//!
//! # Layout
//!
//! - [`bodies`]: JSON that is none, too much, or not what was asked for.
//! - [`strings`]: characters that mean something to databases, paths and browsers.
//! - [`identities`]: other people's orders and addresses.
//! - [`tokens`]: access tokens that nobody issued, refresh tokens that were stolen.
//! - [`requests`]: methods, types, headers and framing that HTTP does not allow.
//! - [`slow`]: clients that take their time.
//! - [`frames`]: nonsense on a node's inbox.
//! - [`forged`]: frames of somebody who may publish on the server, and knows no secret.
//! - [`rights`]: what a node may do on the server.
//! - [`fuzz`]: the decoder of frames, with many small mutations.
//! - [`logins`]: what the time of a refused login tells.
//! - [`schemathesis`]: requests made from the document by a tool of others.

mod bodies;
mod forged;
mod frames;
mod fuzz;
mod identities;
mod logins;
mod requests;
mod rights;
mod schemathesis;
mod slow;
mod strings;
mod tokens;

use std::sync::OnceLock;

use crate::support::{Answer, Api, Cluster, Postgres, Raw};
use essaim::lock::{Mutex, MutexGuard};

/// One process that all tests of hostile HTTP requests share; it must survive all of them.
struct Site {
    cluster: Mutex<Cluster>,
    /// A client that is not logged in.
    anybody: Api,
    admin: Api,
    ana: Api,
    ben: Api,
}

/// What a customer's password is here.
const PASSWORD: &str = "a long enough password";

impl Site {
    fn shared() -> &'static Self {
        static SHARED: OnceLock<Site> = OnceLock::new();
        SHARED.get_or_init(|| {
            // Half on PostgreSQL, half on SQLite: they do not mind the same characters.
            let database = Postgres::shared().database();
            let mut cluster = Cluster::single().set("gateway.rate_limit_per_second", 0).set("gateway.home", "");
            for capability in ["catalog", "orders"] {
                cluster = cluster.set(&format!("capabilities.{capability}.database"), database.url());
            }
            let cluster = cluster.start();
            let (anybody, admin) = (cluster.api(), cluster.admin());
            let customer = |name: &str| {
                let email = format!("{name}@hostile.example");
                anybody.register(&email, PASSWORD, name);
                anybody.logged_in(&email, PASSWORD)
            };
            let (ana, ben) = (customer("ana"), customer("ben"));
            Self { cluster: Mutex::new(cluster), anybody, admin, ana, ben }
        })
    }

    /// A connection of its own.
    fn raw(&self) -> Raw {
        Raw::at(self.anybody.port())
    }

    fn cluster(&self) -> MutexGuard<'_, Cluster> {
        self.cluster.lock()
    }

    /// Fails if something inside broke: the process must run, and its log must tell of no panic and no error.
    #[track_caller]
    fn is_sound(&self) {
        self.anybody.get("/livez").is(200);
        let mut cluster = self.cluster();
        let process = cluster.node("main").process();
        assert!(process.is_running());
        let broken = |line: &String| line.contains("panicked") || line.contains(" ERROR ");
        let lines: Vec<_> = process.lines().into_iter().filter(broken).collect();
        assert!(lines.is_empty(), "{}", lines.join("\n"));
    }
}

/// Words that belong to the inside: SQL and databases, Rust and its libraries, files of the source.
const INSIDE: &[&str] = &[
    "SELECT ",
    "INSERT ",
    "UPDATE ",
    "sqlite",
    "SQLite",
    "sqlx",
    "sea_orm",
    "postgres",
    "constraint",
    "panicked",
    "backtrace",
    "serde",
    "struct ",
    "u32",
    "i64",
    "usize",
    "Option<",
    "actix",
    "essaim_",
    ".rs:",
    "/src/",
    "::",
];

/// This answer, if it is a problem that the client caused, says what is wrong, and nothing of the inside.
#[track_caller]
fn refused(answer: Answer) -> Answer {
    let context = format!("{} was answered {}: {}", answer.request(), answer.status, answer.text);
    assert!((400..500).contains(&answer.status), "{context}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{context}");
    assert_eq!(answer["status"], answer.status, "{context}");
    for member in ["type", "title", "detail", "trace_id"] {
        assert!(answer[member].as_str().is_some_and(|text| !text.is_empty()), "no `{member}`: {context}");
    }
    assert!(answer.header("x-request-id").is_some() && answer.header("traceparent").is_some(), "{context}");
    tells_nothing(answer)
}

/// This answer, if it tells nothing of the inside.
#[track_caller]
fn tells_nothing(answer: Answer) -> Answer {
    let told = INSIDE.iter().find(|word| answer.text.contains(**word));
    assert!(told.is_none(), "{} tells `{}`: {}", answer.request(), told.unwrap_or(&""), answer.text);
    answer
}

/// This answer, if it is refused with that status.
#[track_caller]
fn refused_with(status: u16, answer: Answer) -> Answer {
    refused(answer.is(status))
}

/// The text of a request with a JSON body, its length told truly.
fn request(line: &str, api_headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "{line} HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{api_headers}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}
