//! Requests over HTTP, made by wrk, which shares the machine with the server it asks.

pub mod bare;

use std::process::Command;

use serde_json::{Value, json};

use crate::Error;
use crate::server::{Scratch, Server, beside, free_port, wait_until};

const EMAIL: &str = "admin@example.com";
const PASSWORD: &str = "correct horse battery";
const CONNECTIONS: &str = "-c64";
const SECONDS: &str = "-d5s";
/// wrk's own is as long as an order is waited for at most.
const PATIENCE: &str = "--timeout=10s";

/// Requests answered in a second.
pub fn run(system: &str, route: &str) -> Result<f64, Error> {
    let scratch = Scratch::new()?;
    match (system, route) {
        ("essaim", "get") => {
            let platform = Platform::start(&scratch)?;
            let product = platform.product()?;
            wrk(&format!("{}/products/{product}", platform.url), None, &scratch)
        }
        ("essaim", "post") => {
            let platform = Platform::start(&scratch)?;
            let (token, product) = (platform.token()?, platform.product()?);
            let order = json!({ "lines": [{ "product_id": product, "quantity": 1 }] });
            wrk(&format!("{}/orders", platform.url), Some((&order, &token)), &scratch)
        }
        ("bare", "get") => {
            // The same document, from the platform itself.
            let platform = Platform::start(&scratch)?;
            let product = platform.get(&format!("/products/{}", platform.product()?))?;
            drop(platform);
            let server = bare::Bare::start(&scratch, &product)?;
            wrk(&format!("{}/product", server.url), None, &scratch)
        }
        ("bare", "post") => {
            let server = bare::Bare::start(&scratch, &Value::Null)?;
            let order = json!({ "customer": "customer-0001", "sku": "sku-0000042", "quantity": 1 });
            wrk(&format!("{}/orders", server.url), Some((&order, "")), &scratch)
        }
        _ => Err(format!("no case {system} {route}").into()),
    }
}

/// The platform in one process, with a database of its own.
pub struct Platform {
    server: Server,
    url: String,
}

impl Platform {
    /// Starts it and waits until it is ready.
    pub fn start(scratch: &Scratch) -> Result<Self, Error> {
        let port = free_port()?;
        let mut command = Command::new(beside("essaim")?);
        command.args(["run", "--listen", &format!("127.0.0.1:{port}"), "--data-dir"]).arg(scratch.path().join("data"));
        let password = format!("auth.first_admin.password={PASSWORD}");
        for set in ["gateway.rate_limit_per_second=0", "log.filter=warn", &password] {
            command.args(["--set", set]);
        }
        let (server, url) = (Server::start(&mut command)?, format!("http://127.0.0.1:{port}"));
        wait_until("essaim", || ureq::get(format!("{url}/readyz")).call().is_ok_and(|r| r.status() == 200))?;
        Ok(Self { server, url })
    }

    pub fn server(&self) -> &Server {
        &self.server
    }

    fn get(&self, path: &str) -> Result<Value, Error> {
        Ok(ureq::get(format!("{}{path}", self.url)).call()?.body_mut().read_json()?)
    }

    /// An access token of the first admin, who may be made a moment after the platform is ready.
    fn token(&self) -> Result<String, Error> {
        let login = || {
            let body = json!({ "email": EMAIL, "password": PASSWORD });
            let tokens: Value =
                ureq::post(format!("{}/auth/login", self.url)).send_json(body).ok()?.body_mut().read_json().ok()?;
            tokens["access_token"].as_str().map(String::from)
        };
        wait_until("the first admin", || login().is_some())?;
        login().ok_or_else(|| "no token".into())
    }

    /// A new product that is never sold out.
    fn product(&self) -> Result<String, Error> {
        let product =
            json!({ "sku": "BENCH", "name": "Bench", "price_cents": 450, "currency": "EUR", "stock": 1_000_000_000 });
        let made = ureq::post(format!("{}/products", self.url))
            .header("Authorization", format!("Bearer {}", self.token()?))
            .send_json(product)?
            .body_mut()
            .read_json::<Value>()?;
        made["id"].as_str().map(String::from).ok_or_else(|| format!("no id in {made}").into())
    }
}

/// Requests a second, of which none may fail.
fn wrk(url: &str, post: Option<(&Value, &str)>, scratch: &Scratch) -> Result<f64, Error> {
    let mut command = Command::new("wrk");
    command.args(["-t1", CONNECTIONS, SECONDS, PATIENCE]);
    if let Some((body, token)) = post {
        let script = scratch.path().join("post.lua");
        let lines = format!(
            "wrk.method = 'POST'\nwrk.body = '{body}'\nwrk.headers['Content-Type'] = 'application/json'\n\
             wrk.headers['Authorization'] = 'Bearer {token}'\n"
        );
        std::fs::write(&script, lines)?;
        command.arg("-s").arg(script);
    }
    let output = command.arg(url).output().map_err(|e| format!("wrk does not run ({e}): apt-get install wrk"))?;
    let told = String::from_utf8_lossy(&output.stdout);
    if told.contains("Non-2xx") || told.contains("Socket errors") {
        return Err(format!("requests failed:\n{told}").into());
    }
    let rate = told.lines().find_map(|l| l.trim().strip_prefix("Requests/sec:"));
    Ok(rate.ok_or_else(|| format!("wrk told no rate:\n{told}"))?.trim().parse()?)
}
