//! An ask within one thread, many at a time: producers and actor share it, as an HTTP worker and an actor may.

mod actix;
mod essaim;
#[cfg(feature = "peers")]
mod kameo;
#[cfg(feature = "peers")]
mod ractor;

use std::time::Instant;

use crate::Error;
use crate::echo::Payload;

/// Asks under way at a time.
const IN_FLIGHT: u64 = 256;
const ASKS: u64 = 1_000_000;
const WARM_UP: u64 = 100_000;
const TEXT: &str = "0123456789abcdef0123456789abcdef";

/// Asks answered in a second, in millions.
pub fn run(system: &str) -> Result<f64, Error> {
    match system {
        "essaim" => essaim::run(),
        "actix" => Ok(actix::run()),
        #[cfg(feature = "peers")]
        "ractor" => ractor::run(),
        #[cfg(feature = "peers")]
        "kameo" => kameo::run(),
        other => Err(format!("no local system `{other}`").into()),
    }
}

/// Asks from as many tasks as are under way at a time, on this thread.
async fn ask_many(ask: impl AsyncFn(Payload) -> Payload + Clone + 'static) -> f64 {
    let run = async |asks: u64| {
        let tasks: Vec<_> = (0..IN_FLIGHT)
            .map(|task| {
                let ask = ask.clone();
                tokio::task::spawn_local(async move {
                    for i in 0..asks / IN_FLIGHT {
                        let id = task * asks + i;
                        assert_eq!(ask(Payload::new(id, TEXT)).await.id, id + 1);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("every ask is answered");
        }
    };
    run(WARM_UP).await;
    let began = Instant::now();
    run(ASKS).await;
    ASKS as f64 / began.elapsed().as_secs_f64() / 1e6
}

#[cfg(feature = "peers")]
fn on_one_thread(work: impl Future<Output = f64>) -> Result<f64, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(tokio::task::LocalSet::new().block_on(&runtime, work))
}
