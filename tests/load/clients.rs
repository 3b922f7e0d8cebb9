//! Many clients at once, and clients who ask until they are answered.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

use essaim::Client;
use essaim_contract::{Ask, AskError};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::support::{Answer, Api, eventually};

/// Asks on the side: the ask goes on while the test waits for others on the same runtime.
pub fn ask_aside<M: Ask + Sync>(
    runtime: &Runtime,
    client: &Client,
    message: M,
) -> JoinHandle<Result<M::Reply, AskError<M::Error>>> {
    let client = client.clone();
    let task = runtime.spawn(async move { client.ask(message).await });
    runtime.block_on(tokio::task::yield_now());
    task
}

/// That many clients on threads of their own, who begin at the same moment; what each comes back with.
pub fn crowd<T: Send>(count: usize, client: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let (client, begin) = (&client, &Barrier::new(count));
    std::thread::scope(|scope| {
        let one = |number| {
            scope.spawn(move || {
                begin.wait();
                client(number)
            })
        };
        let all: Vec<_> = (0..count).map(one).collect();
        all.into_iter().map(|client| client.join().expect("no client panics")).collect()
    })
}

/// Sets the flag that ends a crowd when it is dropped: by a panic too, or the test would wait for its clients for ever.
pub struct Shift<'a>(pub &'a AtomicBool);

impl Drop for Shift<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// The final answer to an order, and the answers before it.
pub struct Placed {
    pub answer: Answer,
    /// Answers with a 5xx status.
    pub before: Vec<Answer>,
    /// How often the order was placed or under way, and neither confirmed nor rejected yet.
    pub pending: usize,
}

/// Orders pieces of one product under an idempotency key, again and again until the order is confirmed or rejected; a
/// server that does not answer is asked again.
#[track_caller]
pub fn order_until_answered(api: &Api, key: &str, product: &str, quantity: u64) -> Placed {
    let api = api.with("Idempotency-Key", key);
    let body = json!({ "lines": [{ "product_id": product, "quantity": quantity }] });
    let (mut before, mut pending) = (Vec::new(), 0);
    let answer = eventually("an answer", || {
        let answer = api.try_send("POST", "/orders", Some(body.clone())).ok()?;
        match answer.status {
            _ if answer.is_under_way() => pending += 1,
            500.. => before.push(answer),
            200 | 201 if answer["status"] == "pending" => pending += 1,
            _ => return Some(answer),
        }
        None
    });
    Placed { answer, before, pending }
}

/// All orders of the client, page by page.
#[track_caller]
pub fn orders_of(api: &Api) -> Vec<Value> {
    let (mut orders, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = api.get(&format!("/orders?limit=100{cursor}")).is(200);
        orders.extend(page["items"].as_array().expect("items are a list").iter().cloned());
        match page.body.get("next_cursor").and_then(Value::as_str) {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return orders,
        }
    }
}

/// How many pieces the client's orders hold: those that are confirmed, each of one line.
#[track_caller]
pub fn held_by(api: &Api) -> u64 {
    let confirmed = orders_of(api).into_iter().filter(|order| order["status"] == "confirmed");
    confirmed.map(|order| order["lines"][0]["quantity"].as_u64().expect("a quantity is a number")).sum()
}

/// How many pieces of a product can be ordered.
#[track_caller]
pub fn stock_of(api: &Api, product: &str) -> u64 {
    api.get(&format!("/products/{product}")).is(200)["stock"].as_u64().expect("stock is a number")
}
