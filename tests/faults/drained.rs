//! Hosts and gateways that leave in order and come back: no request is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use serde_json::json;

use super::stage::Stage;
use crate::support::Api;

/// People who set a product's stock again and again. That may not be done twice, so it is not repeated where its outcome
/// is unknown: unlike a read or an order, it shows every answer that a leaving host owes.
struct Storekeepers {
    stop: Arc<AtomicBool>,
    people: Vec<JoinHandle<Vec<String>>>,
}

impl Storekeepers {
    fn start(api: &Api) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let work = |number: u64| {
            let (api, stop, product) = (api.clone(), stop.clone(), api.product(&format!("S{number}"), 100, 0));
            let path = format!("/products/{product}/stock");
            std::thread::spawn(move || {
                let mut failed = Vec::new();
                for stock in 1_u64.. {
                    match api.try_send("PUT", &path, Some(json!({ "stock": stock }))) {
                        Ok(answer) if answer.status == 200 && answer["stock"] == stock => {}
                        other => failed.push(format!("{other:?}")),
                    }
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                }
                failed
            })
        };
        let people = (0..3).map(work).collect();
        Self { stop, people }
    }

    /// Their requests that were refused.
    fn stop(mut self) -> Vec<String> {
        self.end()
    }

    fn end(&mut self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.people.drain(..).flat_map(|person| person.join().unwrap_or_default()).collect()
    }
}

impl Drop for Storekeepers {
    fn drop(&mut self) {
        self.end();
    }
}

#[test]
fn hosts_that_are_restarted_in_turn_cost_nobody_anything() {
    let mut stage = Stage::replicated(&["front-2"], |c| c);
    let (load, storekeepers) = (stage.load(), Storekeepers::start(&stage.customer));
    for host in ["shop-1", "identity-1", "shop-2", "identity-2"] {
        stage.cluster.node(host).stop();
        load.served_more(60, 20);
        stage.cluster.node(host).restart();
        stage.all_hear_all();
        load.served_more(60, 20);
    }
    assert_eq!(storekeepers.stop(), Vec::<String>::new());
    let told = load.stop();
    told.all_was_served();
    stage.is_as_told(&told);
}

#[test]
fn gateways_that_are_restarted_in_turn_cost_nobody_anything_who_goes_when_told() {
    // Long enough that a customer who has just seen that a gateway is ready is served by it, on a busy machine too.
    let mut stage = Stage::replicated(&["identity-2", "shop-2"], |c| c.set("drain.announce_ms", 2_000));
    let load = stage.load();
    for gateway in ["front-1", "front-2"] {
        stage.cluster.node(gateway).stop();
        load.served_more(60, 20);
        stage.cluster.node(gateway).restart();
        load.served_more(60, 20);
    }
    let told = load.stop();
    told.all_was_served();
    stage.is_as_told(&told);
}
