//! An ask from one process to another, with a Redis between them.

mod bare;
mod essaim;

use std::process::Command;
use std::time::Instant;

use crate::Error;
use crate::echo::Payload;
use crate::server::Server;

/// With its number, about as many bytes as the frames of the bare client.
const TEXT: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
/// The bytes of a frame of the bare client.
const FRAME: usize = 128;

/// One at a time: the median of the times, in microseconds. Else thousands of asks answered in a second.
pub fn run(system: &str, in_flight: u64) -> Result<f64, Error> {
    let _responder = Server::start(Command::new(std::env::current_exe()?).args(["respond", system]))?;
    match system {
        "essaim" => essaim::run(in_flight),
        "redis" => bare::run(in_flight),
        other => Err(format!("no remote system `{other}`").into()),
    }
}

/// The other process.
pub fn respond(system: &str) -> Result<(), Error> {
    match system {
        "essaim" => essaim::respond(),
        _ => bare::respond(),
    }
}

/// Asks from as many tasks as are under way at a time, on this thread.
async fn measure<F: Future<Output = u64>>(in_flight: u64, ask: impl Fn(u64) -> F + Clone + 'static) -> f64 {
    let run = async |asks: u64| {
        let tasks: Vec<_> = (0..in_flight)
            .map(|task| {
                let ask = ask.clone();
                tokio::task::spawn_local(async move {
                    let mut times = Vec::with_capacity((asks / in_flight) as usize);
                    for i in 0..asks / in_flight {
                        let (id, began) = (task * asks + i, Instant::now());
                        assert_eq!(ask(id).await, id + 1);
                        times.push(began.elapsed().as_nanos() as f64 / 1e3);
                    }
                    times
                })
            })
            .collect();
        let mut all = Vec::new();
        for task in tasks {
            all.extend(task.await.expect("every ask is answered"));
        }
        all
    };
    let asks = if in_flight == 1 { 20_000 } else { 300_000 };
    run(asks / 10).await;
    let began = Instant::now();
    let mut times = run(asks).await;
    if in_flight > 1 {
        return asks as f64 / began.elapsed().as_secs_f64() / 1e3;
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn payload(id: u64) -> Payload {
    Payload::new(id, TEXT)
}
