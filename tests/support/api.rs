//! A client of the platform's HTTP interface, with assertions that read as prose.

use std::ops::Index;
use std::time::Duration;

use serde_json::{Value, json};
use ureq::Agent;

use super::PATIENCE;

/// A client of one gateway (or of one admin listener). Cheap to clone.
#[derive(Clone)]
pub struct Api {
    base: String,
    agent: Agent,
    headers: Vec<(String, String)>,
}

/// What a request was answered with.
#[derive(Debug, Clone)]
pub struct Answer {
    request: String,
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub text: String,
    /// The text, if it is JSON; null otherwise.
    pub body: Value,
}

impl Api {
    /// A client of what listens at that port of this machine.
    pub fn at(port: u16) -> Self {
        Self::of("127.0.0.1", port)
    }

    /// A client of what listens there.
    pub fn of(address: &str, port: u16) -> Self {
        let config = Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build();
        Self { base: format!("http://{address}:{port}"), agent: config.new_agent(), headers: Vec::new() }
    }

    /// A client of what is below that path.
    pub fn under(&self, path: &str) -> Self {
        Self { base: format!("{}{path}", self.base), ..self.clone() }
    }

    /// The port it sends its requests to.
    pub fn port(&self) -> u16 {
        self.base.rsplit(':').next().and_then(|port| port.parse().ok()).expect("the address has a port")
    }

    /// Where it sends its requests, such as `http://127.0.0.1:8080`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// This client, sending one more header.
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut api = self.clone();
        api.headers.push((name.to_string(), value.to_string()));
        api
    }

    /// This client, sending another value of a header.
    pub fn headers_changed(&self, name: &str, change: impl Fn(&str) -> String) -> Self {
        let mut api = self.clone();
        api.headers.iter_mut().filter(|(known, _)| known == name).for_each(|(_, value)| *value = change(value));
        api
    }

    /// This client, giving up after that time.
    pub fn within(&self, limit: Duration) -> Self {
        let config = Agent::config_builder().http_status_as_error(false).timeout_global(Some(limit)).build();
        Self { agent: config.new_agent(), ..self.clone() }
    }

    /// This client, bearing that access token.
    pub fn bearing(&self, token: &str) -> Self {
        self.with("Authorization", &format!("Bearer {token}"))
    }

    /// The value of the header `Authorization` that it sends.
    pub fn token(&self) -> String {
        let header = self.headers.iter().find(|(name, _)| name == "Authorization");
        header.map(|(_, value)| value.clone()).expect("it is logged in")
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None)
    }

    #[track_caller]
    pub fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, Some(body))
    }

    #[track_caller]
    pub fn put(&self, path: &str, body: Value) -> Answer {
        self.send("PUT", path, Some(body))
    }

    #[track_caller]
    pub fn patch(&self, path: &str, body: Value) -> Answer {
        self.send("PATCH", path, Some(body))
    }

    #[track_caller]
    pub fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, None)
    }

    #[track_caller]
    pub fn send(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let answer = self.try_send(method, path, body);
        answer.unwrap_or_else(|e| panic!("{method} {path} at {} was not answered: {e}", self.base))
    }

    /// As the others, where having no answer is an answer too.
    ///
    /// # Errors
    /// If nobody listens, or the connection ends before the answer does.
    pub fn try_send(&self, method: &str, path: &str, body: Option<Value>) -> Result<Answer, ureq::Error> {
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let mut response = match body {
            Some(body) => {
                let request = request.header("Content-Type", "application/json").body(body.to_string());
                self.agent.run(request.expect("the request is well formed"))?
            }
            None => self.agent.run(request.body(()).expect("the request is well formed"))?,
        };
        let text = response.body_mut().read_to_string()?;
        let readable = |v: &ureq::http::HeaderValue| v.to_str().unwrap_or_default().to_string();
        let headers = response.headers().iter().map(|(n, v)| (n.to_string(), readable(v))).collect();
        Ok(Answer::of(&format!("{method} {path}"), response.status().as_u16(), headers, text))
    }

    /// Makes an account; the answer.
    #[track_caller]
    pub fn register(&self, email: &str, password: &str, name: &str) -> Answer {
        self.post("/users", json!({ "email": email, "password": password, "name": name })).is(201)
    }

    /// Logs in; the answer with both tokens.
    #[track_caller]
    pub fn login(&self, email: &str, password: &str) -> Answer {
        self.post("/auth/login", json!({ "email": email, "password": password })).is(200)
    }

    /// This client, logged in.
    #[track_caller]
    pub fn logged_in(&self, email: &str, password: &str) -> Self {
        let tokens = self.login(email, password);
        self.bearing(tokens["access_token"].as_str().expect("a token is a text"))
    }

    /// Makes a product; its id.
    #[track_caller]
    pub fn product(&self, sku: &str, price_cents: u64, stock: u64) -> String {
        let product = json!({
            "sku": sku, "name": format!("Product {sku}"), "price_cents": price_cents, "currency": "EUR", "stock": stock,
        });
        self.post("/products", product).is(201).id()
    }

    /// Asks for an order of one line.
    #[track_caller]
    pub fn order(&self, product: &str, quantity: u64) -> Answer {
        self.post("/orders", json!({ "lines": [{ "product_id": product, "quantity": quantity }] }))
    }
}

impl Answer {
    /// What a request was answered with.
    pub fn of(request: &str, status: u16, headers: Vec<(String, String)>, text: String) -> Self {
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Self { request: request.to_string(), status, headers, text, body }
    }

    /// What was asked for.
    pub fn request(&self) -> &str {
        &self.request
    }

    /// Whether it says that the first request with the idempotency key is under way: ask again.
    pub fn is_under_way(&self) -> bool {
        self.status == 409 && self.body["type"] == "urn:essaim:problem:idempotency-key-in-use"
    }

    /// This answer, if it has that status.
    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{} was answered: {}", self.request, self.text);
        self
    }

    /// This answer, if it is that problem, told as RFC 9457 says and with the trace in which it happened.
    #[track_caller]
    pub fn problem(self, status: u16, slug: &str) -> Self {
        let answer = self.is(status);
        let context = format!("{} was answered: {}", answer.request, answer.text);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{context}");
        assert_eq!(answer["type"], format!("urn:essaim:problem:{slug}"), "{context}");
        assert_eq!(answer["status"], status, "{context}");
        assert!(answer["title"].as_str().is_some_and(|t| !t.is_empty()), "{context}");
        let is_trace = |t: &str| t.len() == 32 && t.bytes().all(|b| b.is_ascii_hexdigit());
        assert!(answer["trace_id"].as_str().is_some_and(is_trace), "{context}");
        answer
    }

    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// The `id` of the body.
    #[track_caller]
    pub fn id(&self) -> String {
        self["id"].as_str().unwrap_or_else(|| panic!("there is no id in {}", self.text)).to_string()
    }
}

impl Index<&str> for Answer {
    type Output = Value;

    fn index(&self, key: &str) -> &Value {
        &self.body[key]
    }
}
