//! The `redis` crate alone: a PUBLISH for each message and a PUBLISH for its answer. What is waiting when a message can
//! be written goes out as one pipeline, on both sides.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::StreamExt;
use redis::aio::MultiplexedConnection;
use tokio::sync::{mpsc, oneshot};

use super::{FRAME, measure};
use crate::Error;
use crate::server::redis_url;

const ASKS: &str = "bench:asks";
const ANSWERS: &str = "bench:answers";
/// Messages that may wait for a pipeline.
const WAITING: usize = 4_096;
/// Messages of one pipeline.
const TOGETHER: usize = 256;

async fn connection(client: &redis::Client) -> Result<MultiplexedConnection, Error> {
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
    Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
}

fn on_one_thread<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, work)
}

fn id_of(frame: &[u8]) -> Option<u64> {
    frame.first_chunk().map(|id| u64::from_le_bytes(*id))
}

fn frame(id: u64) -> [u8; FRAME] {
    let mut frame = [b'x'; FRAME];
    frame[..8].copy_from_slice(&id.to_le_bytes());
    frame
}

async fn publish(connection: &mut MultiplexedConnection, to: &str, frames: &[[u8; FRAME]]) -> Result<(), Error> {
    let mut pipeline = redis::pipe();
    for frame in frames {
        pipeline.publish(to, &frame[..]).ignore();
    }
    Ok(pipeline.query_async(connection).await?)
}

pub fn respond() -> Result<(), Error> {
    on_one_thread(async {
        let client = redis::Client::open(redis_url()?)?;
        let mut connection = connection(&client).await?;
        let mut asks = client.get_async_pubsub().await?;
        asks.subscribe(ASKS).await?;
        let mut asks = asks.into_on_message().ready_chunks(TOGETHER);
        while let Some(asks) = asks.next().await {
            let ids = asks.iter().filter_map(|ask| id_of(ask.get_payload_bytes()));
            let answers: Vec<_> = ids.map(|id| frame(id + 1)).collect();
            publish(&mut connection, ANSWERS, &answers).await?;
        }
        Ok(())
    })
}

type Waiting = Rc<Mutex<HashMap<u64, oneshot::Sender<u64>>>>;

pub fn run(in_flight: u64) -> Result<f64, Error> {
    on_one_thread(async {
        let client = redis::Client::open(redis_url()?)?;
        let mut connection = connection(&client).await?;
        let mut answers = client.get_async_pubsub().await?;
        answers.subscribe(ANSWERS).await?;
        wait_for_subscriber(&mut connection).await?;
        let waiting = Waiting::default();
        tokio::task::spawn_local(hear(answers, waiting.clone()));
        let (asks, mut unsent) = mpsc::channel::<u64>(WAITING);
        tokio::task::spawn_local(async move {
            let mut ids = Vec::new();
            while unsent.recv_many(&mut ids, TOGETHER).await > 0 {
                let frames: Vec<_> = ids.drain(..).map(frame).collect();
                publish(&mut connection, ASKS, &frames).await.expect("Redis answers");
            }
        });
        let ask = async move |id| {
            let (answer, answered) = oneshot::channel();
            waiting.lock().expect("nobody panics").insert(id + 1, answer);
            asks.send(id).await.expect("the writer lives");
            answered.await.expect("the answer comes")
        };
        Ok(measure(in_flight, ask).await)
    })
}

async fn hear(answers: redis::aio::PubSub, waiting: Waiting) {
    let mut answers = answers.into_on_message();
    while let Some(answer) = answers.next().await {
        let id = id_of(answer.get_payload_bytes()).expect("an answer has an id");
        if let Some(asker) = waiting.lock().expect("nobody panics").remove(&id) {
            let _ = asker.send(id);
        }
    }
}

async fn wait_for_subscriber(connection: &mut MultiplexedConnection) -> Result<(), Error> {
    loop {
        let (_, subscribers): (String, u64) =
            redis::cmd("PUBSUB").arg("NUMSUB").arg(ASKS).query_async(connection).await?;
        if subscribers > 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
