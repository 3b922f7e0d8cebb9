//! Customers who order, cancel some of their orders, and repeat each request that was not answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use essaim::lock::Mutex;
use serde_json::json;

use crate::support::{Answer, Api, eventually};

/// The longest wait for one answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// One order as its customer knows it.
#[derive(Debug, Clone)]
pub struct Known {
    pub id: String,
    pub quantity: u64,
    /// The cancellation was acknowledged.
    pub cancelled: bool,
}

/// Customers at work. They stop with the value.
pub struct Shoppers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    /// Begins their idempotency keys, so that these are not those of others.
    tag: String,
    api: Api,
    product: String,
    known: Mutex<BTreeMap<String, Known>>,
    wrong: Mutex<Vec<String>>,
    acknowledged: AtomicUsize,
    stop: AtomicBool,
}

impl Shoppers {
    /// That many customers of one product, all logged in as this client is. Those of another tag are others.
    pub fn start(count: usize, tag: &str, api: &Api, product: &str) -> Self {
        let shared = Arc::new(Shared {
            tag: tag.into(),
            api: api.within(ANSWER_WITHIN),
            product: product.into(),
            known: Mutex::default(),
            wrong: Mutex::default(),
            acknowledged: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        });
        let shopper = |number: usize| {
            let shared = shared.clone();
            std::thread::spawn(move || shared.shop(number))
        };
        let threads = (0..count).map(shopper).collect();
        Self { shared, threads }
    }

    /// Waits until so many more orders and cancellations are acknowledged.
    #[track_caller]
    pub fn acknowledged_more(&self, more: usize) {
        let enough = self.acknowledged() + more;
        eventually("more orders to be acknowledged", || (self.acknowledged() >= enough).then_some(()));
    }

    pub fn acknowledged(&self) -> usize {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// The orders that are acknowledged now.
    pub fn acknowledged_orders(&self) -> Vec<String> {
        self.shared.known.lock().values().map(|known| known.id.clone()).collect()
    }

    /// Has every customer finish the requests that they have begun; their orders, by key.
    ///
    /// # Panics
    /// If a customer had an answer that cannot be true.
    #[track_caller]
    pub fn stop(mut self) -> BTreeMap<String, Known> {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("a customer does not panic");
        }
        let wrong = self.shared.wrong.lock();
        assert!(wrong.is_empty(), "{wrong:#?}");
        self.shared.known.lock().clone()
    }
}

impl Drop for Shoppers {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn shop(&self, number: usize) {
        for round in 0.. {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let (key, quantity) = (format!("{}-{number}-{round}", self.tag), (number + round) as u64 % 4 + 1);
            let lines = json!({ "lines": [{ "product_id": self.product, "quantity": quantity }] });
            let api = self.api.with("Idempotency-Key", &key);
            let answer =
                until_answered(&format!("order {key}"), || api.try_send("POST", "/orders", Some(lines.clone())));
            let (id, status) = (answer["id"].as_str().map(String::from), answer["status"].as_str().map(String::from));
            let Some(id) = id.filter(|_| matches!(answer.status, 200 | 201) && status.as_deref() != Some("rejected"))
            else {
                self.wrong.lock().push(format!("{key} was answered with {}: {answer:?}", answer.status));
                return;
            };
            self.note(key.clone(), Known { id: id.clone(), quantity, cancelled: false });
            if round % 3 == 1 {
                let path = format!("/orders/{id}/cancel");
                let answer = until_answered(&path, || self.api.try_send("POST", &path, None));
                if answer.status != 200 || answer["status"] != "cancelled" {
                    self.wrong.lock().push(format!("{path} was answered with {}: {answer:?}", answer.status));
                    return;
                }
                self.note(key, Known { id, quantity, cancelled: true });
            }
        }
    }

    fn note(&self, key: String, known: Known) {
        self.known.lock().insert(key, known);
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
    }
}

/// Sends a request again and again until it has an answer that is no 5xx, nor that it is under way.
fn until_answered(what: &str, send: impl Fn() -> Result<Answer, ureq::Error>) -> Answer {
    eventually(&format!("an answer to {what}"), || {
        send().ok().filter(|answer| answer.status < 500 && !answer.is_under_way())
    })
}
