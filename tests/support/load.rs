//! Customers who read and order without pause, and count what they are told.
//!
//! Each outcome is one of four. *Served*: the right answer. *Pending*: an order that is surely placed, and confirmed
//! later. *Honest*: an error that says what is true, 503 with a `Retry-After` where nothing happened and 504 where that
//! is not known. *Dishonest*: all else, such as a live gateway that hangs up, a 500 or a wrong answer. An order that
//! was not served is sent again with its idempotency key until it is, as the documentation tells customers to, so in
//! the end there is exactly one order for each key.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use essaim::lock::{Condvar, Mutex, MutexGuard};
use serde_json::json;

use super::kept::{Kept, Reply, Request};
use super::{ADMIN_EMAIL, Api, PATIENCE};

/// How long a customer rests between two requests, so that the nodes are busy and the machine is not.
const REST: Duration = Duration::from_millis(8);
/// How long a customer waits before an order that was not served is sent again, or a gateway is looked for again.
const PAUSE: Duration = Duration::from_millis(20);

/// How requests are counted that were with a gateway when the test killed it.
pub const GATEWAY_KILLED: &str = "gateway-killed";

/// What the customers buy; what it costs never changes.
#[derive(Debug, Clone)]
pub struct Product {
    pub id: String,
    pub price_cents: u64,
}

/// Customers at work. They stop with the value.
pub struct Load {
    shared: Arc<Shared>,
    customers: Vec<JoinHandle<()>>,
}

struct Shared {
    gateways: Vec<u16>,
    token: String,
    product: Product,
    told: Mutex<Told>,
    changed: Condvar,
}

/// Answers of all customers.
#[derive(Debug, Default, Clone)]
pub struct Told {
    /// Reads that were served, and those that ended with an honest error, by its problem.
    pub reads: Count,
    /// The same of attempts to order.
    pub orders: Count,
    /// Dishonest answers, each in one line.
    pub dishonest: Vec<String>,
    /// The orders that were acknowledged, by their key.
    pub acknowledged: BTreeMap<String, String>,
    /// Gateways that are about to be killed.
    excused: BTreeSet<u16>,
    /// How many answers each customer has had.
    answers: BTreeMap<String, u64>,
    stop: bool,
}

/// Requests of one kind.
#[derive(Debug, Default, Clone)]
pub struct Count {
    pub served: u64,
    /// Orders that were placed and not confirmed yet.
    pub pending: u64,
    pub honest: BTreeMap<String, u64>,
}

impl Load {
    /// Lets that many customers, all logged in with the token of the first administrator, use these gateways. With more than one they leave a
    /// gateway that says `Connection: close`, and go to one that says that it is ready.
    pub fn start(customers: usize, gateways: &[u16], token: &str, product: &Product) -> Self {
        let (token, product) = (token.to_string(), product.clone());
        let (told, changed) = (Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { gateways: gateways.to_vec(), token, product, told, changed });
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let customer = |turn| {
            let name = format!("customer-{}", NEXT.fetch_add(1, Ordering::Relaxed));
            let mut customer = Customer { shared: shared.clone(), name, turn, kept: None };
            std::thread::spawn(move || customer.work())
        };
        let customers = (0..customers).map(customer).collect();
        Self { shared, customers }
    }

    /// Waits until as many more reads and orders have been served as are asked for.
    ///
    /// # Panics
    /// If they are not in time, or an answer is dishonest.
    #[track_caller]
    pub fn served_more(&self, reads: u64, orders: u64) {
        let told = self.told();
        let (reads, orders) = (told.reads.served + reads, told.orders.served + orders);
        self.wait(|told| told.reads.served >= reads && told.orders.served >= orders);
    }

    /// Waits until every single customer has had an answer to a request that was made after this call.
    ///
    /// # Panics
    /// As [`Load::served_more`].
    #[track_caller]
    pub fn everybody_answered(&self) {
        // The first of the two may be to a request that was made before.
        let enough: BTreeMap<_, _> = self.told().answers.into_iter().map(|(name, count)| (name, count + 2)).collect();
        self.wait(|told| enough.iter().all(|(name, count)| told.answers[name] >= *count));
    }

    #[track_caller]
    fn wait(&self, enough: impl Fn(&Told) -> bool) {
        let started = Instant::now();
        let mut told = self.shared.told();
        while !enough(&told) {
            assert!(told.dishonest.is_empty(), "{:#?}", told.dishonest);
            assert!(started.elapsed() < PATIENCE, "the customers are not served any more: {told:#?}");
            self.shared.changed.wait_for(&mut told, PATIENCE);
        }
    }

    /// From here on this gateway may hang up without being counted as dishonest.
    pub fn excuse(&self, gateway: u16) {
        self.shared.told().excused.insert(gateway);
    }

    /// What was told so far.
    pub fn told(&self) -> Told {
        self.shared.told().clone()
    }

    /// Lets every customer finish, each order included; the answers of all.
    ///
    /// # Panics
    /// If an answer was dishonest.
    #[track_caller]
    pub fn stop(mut self) -> Told {
        self.end();
        let told = self.told();
        assert!(told.dishonest.is_empty(), "{} dishonest answers: {:#?}", told.dishonest.len(), told.dishonest);
        told
    }

    fn end(&mut self) {
        self.shared.told().stop = true;
        self.shared.changed.notify_all();
        for customer in self.customers.drain(..) {
            let _ = customer.join();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end();
    }
}

impl Told {
    /// Asserts that no request was refused.
    #[track_caller]
    pub fn all_was_served(&self) {
        assert!(self.reads.honest.is_empty() && self.orders.honest.is_empty(), "{self:#?}");
    }

    /// Asserts that every acknowledged order exists once, that there is no other, and that the stock says the same.
    #[track_caller]
    pub fn is_what_happened(&self, customer: &Api, product: &Product, stock_before: u64) {
        let ids: BTreeSet<_> = self.acknowledged.values().collect();
        assert_eq!(ids.len(), self.acknowledged.len(), "two keys got the same order");
        let mut found = BTreeSet::new();
        let mut page = customer.get("/orders?limit=100").is(200);
        loop {
            for order in page["items"].as_array().expect("orders are listed") {
                assert_eq!(order["status"], "confirmed", "{order}");
                assert!(found.insert(order["id"].as_str().expect("an order has an id").to_string()));
            }
            let Some(next) = page["next_cursor"].as_str() else { break };
            page = customer.get(&format!("/orders?limit=100&cursor={next}")).is(200);
        }
        assert_eq!(found.iter().collect::<BTreeSet<_>>(), ids, "the orders there are, and those acknowledged");
        let left = customer.get(&format!("/products/{}", product.id)).is(200)["stock"].as_u64();
        assert_eq!(left, Some(stock_before - found.len() as u64), "the stock after {} orders", found.len());
    }
}

/// One customer, on a thread of their own.
struct Customer {
    shared: Arc<Shared>,
    /// Sets the keys of this customer's orders apart from those of all others.
    name: String,
    /// Which gateway is next.
    turn: usize,
    /// A connection to the gateway of that port.
    kept: Option<(u16, Kept)>,
}

impl Customer {
    fn work(&mut self) {
        for round in 0.. {
            if self.rests(REST) {
                return;
            }
            match round % 3 {
                0 => self.order(format!("{}-{round}", self.name)),
                1 => self.read(),
                _ => self.read_self(),
            }
        }
    }

    /// Reads the product, which the shop answers.
    fn read(&mut self) {
        let product = self.shared.product.clone();
        let reply = self.send(&Request::get(format!("/products/{}", product.id)));
        let right = |r: &Reply| r.status == 200 && r.body["id"] == product.id && price(r) == Some(product.price_cents);
        let outcome = outcome("a read of the product", reply, right);
        self.note(|told| told.reads.note(outcome, &mut told.dishonest));
    }

    /// Reads the customer's own account, which another capability answers.
    fn read_self(&mut self) {
        let request = Request::get("/users/me").with("Authorization", format!("Bearer {}", self.shared.token));
        let right = |r: &Reply| r.status == 200 && r.body["email"] == ADMIN_EMAIL;
        let outcome = outcome("a read of the account", self.send(&request), right);
        self.note(|told| told.reads.note(outcome, &mut told.dishonest));
    }

    /// Orders one piece, again and again with the same key until the order is acknowledged.
    fn order(&mut self, key: String) {
        let lines = json!({ "lines": [{ "product_id": self.shared.product.id, "quantity": 1 }] });
        let request = Request::post("/orders", lines).with("Idempotency-Key", key.clone());
        let request = request.with("Authorization", format!("Bearer {}", self.shared.token));
        let started = Instant::now();
        loop {
            let reply = self.send(&request);
            let id = reply.as_ref().ok().and_then(|r| r.body["id"].as_str()).map(String::from);
            let placed = |r: &Reply, status: &str| matches!(r.status, 200 | 201) && r.body["status"] == status;
            let pending = reply.as_ref().is_ok_and(|r| placed(r, "pending"));
            let outcome = match outcome("an order", reply, |r| placed(r, "confirmed") || placed(r, "pending")) {
                Outcome::Served if pending => Outcome::Pending,
                outcome => outcome,
            };
            let again = matches!(outcome, Outcome::Honest(_) | Outcome::Pending);
            let over = !again || started.elapsed() > PATIENCE;
            self.note(|told| {
                if let (Outcome::Served, Some(id)) = (&outcome, id) {
                    told.acknowledged.insert(key.clone(), id);
                } else if over {
                    told.dishonest.push(format!("the order {key} was never acknowledged: {outcome:?}"));
                }
                told.orders.note(outcome, &mut told.dishonest);
            });
            if over {
                return;
            }
            self.pause();
        }
    }

    fn send(&mut self, request: &Request) -> Result<Reply, Unanswered> {
        let (port, mut kept) = match self.kept.take() {
            Some(kept) => kept,
            None => self.connect().map_err(Unanswered::Live)?,
        };
        let reply = kept.send(request).map_err(|error| match self.shared.told().excused.contains(&port) {
            true => Unanswered::Excused,
            false => Unanswered::Live(format!("{} {}: {error}", request.method, request.path)),
        })?;
        match reply.closes() {
            true => self.turn += 1,
            false => self.kept = Some((port, kept)),
        }
        Ok(reply)
    }

    /// A connection to a gateway: to the only one, or to one that is ready.
    fn connect(&mut self) -> Result<(u16, Kept), String> {
        let gateways = &self.shared.gateways;
        if let [only] = gateways[..] {
            return Kept::open(only).map(|kept| (only, kept)).map_err(|error| format!("connecting: {error}"));
        }
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            let port = gateways[self.turn % gateways.len()];
            let ready = Kept::open(port).ok().and_then(|mut kept| {
                let reply = kept.send(&Request::get("/readyz")).ok()?;
                (reply.status == 200 && !reply.closes()).then_some((port, kept))
            });
            match ready {
                Some(kept) => return Ok(kept),
                None => self.turn += 1,
            }
            self.pause();
        }
        Err("no gateway was ready".into())
    }

    /// Rests, not longer than the load goes on; whether it is over.
    fn rests(&self, time: Duration) -> bool {
        let mut told = self.shared.told();
        let rested = Instant::now() + time;
        while !told.stop {
            let Some(left) = rested.checked_duration_since(Instant::now()) else { return false };
            self.shared.changed.wait_for(&mut told, left);
        }
        true
    }

    fn pause(&self) {
        std::thread::sleep(PAUSE);
    }

    fn note(&self, note: impl FnOnce(&mut Told)) {
        let mut told = self.shared.told();
        note(&mut told);
        *told.answers.entry(self.name.clone()).or_default() += 1;
        drop(told);
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock()
    }
}

/// Why there is no reply.
#[derive(Debug)]
enum Unanswered {
    /// The gateway was killed by the test.
    Excused,
    /// The gateway was not killed.
    Live(String),
}

#[derive(Debug)]
enum Outcome {
    Served,
    Pending,
    Honest(String),
    Dishonest(String),
}

impl Count {
    fn note(&mut self, outcome: Outcome, dishonest: &mut Vec<String>) {
        match outcome {
            Outcome::Served => self.served += 1,
            Outcome::Pending => self.pending += 1,
            Outcome::Honest(problem) => *self.honest.entry(problem).or_default() += 1,
            Outcome::Dishonest(what) => dishonest.push(what),
        }
    }
}

fn price(reply: &Reply) -> Option<u64> {
    reply.body["price_cents"].as_u64()
}

/// Judges the answer to a request; `right` says whether a success is the right one.
fn outcome(what: &str, reply: Result<Reply, Unanswered>, right: impl Fn(&Reply) -> bool) -> Outcome {
    let reply = match reply {
        Ok(reply) => reply,
        Err(Unanswered::Excused) => return Outcome::Honest(GATEWAY_KILLED.into()),
        Err(Unanswered::Live(error)) => return Outcome::Dishonest(format!("{what} was not answered: {error}")),
    };
    if right(&reply) {
        return Outcome::Served;
    }
    let problem = reply.body["type"].as_str().and_then(|t| t.strip_prefix("urn:essaim:problem:"));
    match (reply.status, problem) {
        (503, Some(problem)) if reply.header("retry-after").is_some() => Outcome::Honest(problem.into()),
        (409, Some(problem @ "idempotency-key-in-use")) => Outcome::Honest(problem.into()),
        (504, Some("outcome-unknown")) => Outcome::Honest("outcome-unknown".into()),
        (status, _) => Outcome::Dishonest(format!("{what} was answered with {status}: {}", reply.body)),
    }
}

#[test]
fn an_error_is_honest_only_if_it_says_what_a_client_may_do() {
    let judged = |status, problem: &str| {
        let body = json!({ "type": format!("urn:essaim:problem:{problem}") });
        outcome("it", Ok(Reply::of(status, body)), |r| r.status == 200)
    };
    assert!(matches!(judged(200, ""), Outcome::Served));
    assert!(matches!(judged(504, "outcome-unknown"), Outcome::Honest(p) if p == "outcome-unknown"));
    assert!(matches!(judged(503, "unavailable"), Outcome::Dishonest(_)), "without Retry-After it helps nobody");
    assert!(matches!(judged(500, "internal-error"), Outcome::Dishonest(_)));
    let hung_up = Err(Unanswered::Live("hung up".into()));
    assert!(matches!(outcome("it", hung_up, |_| true), Outcome::Dishonest(_)));
}
