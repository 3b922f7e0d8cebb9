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

async fn measure(in_flight: u64, ask: impl AsyncFn(u64) -> u64 + Clone + 'static) -> f64 {
    if in_flight == 1 { latency(ask).await } else { throughput(in_flight, ask).await }
}

async fn latency(ask: impl AsyncFn(u64) -> u64) -> f64 {
    let mut times = Vec::new();
    for id in 0..22_000 {
        let began = Instant::now();
        assert_eq!(ask(id).await, id + 1);
        times.push(began.elapsed().as_nanos() as f64 / 1e3);
    }
    // The first 2,000 warm up.
    let mut times = times.split_off(2_000);
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Asks from as many tasks as are under way at a time, on this thread.
async fn throughput(in_flight: u64, ask: impl AsyncFn(u64) -> u64 + Clone + 'static) -> f64 {
    let run = async |asks: u64| {
        let each = asks / in_flight;
        let tasks: Vec<_> = (0..in_flight)
            .map(|task| {
                let ask = ask.clone();
                tokio::task::spawn_local(async move {
                    for id in task * each..(task + 1) * each {
                        assert_eq!(ask(id).await, id + 1);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("every ask is answered");
        }
    };
    run(30_720).await;
    let began = Instant::now();
    run(307_200).await;
    307_200.0 / began.elapsed().as_secs_f64() / 1e3
}

fn payload(id: u64) -> Payload {
    Payload::new(id, TEXT)
}
