//! Two nodes.

use std::time::Duration;

use super::{measure, payload};
use crate::Error;
use crate::echo;
use crate::server::redis_url;

pub fn run(in_flight: u64) -> Result<f64, Error> {
    essaim::run(async {
        let node = echo::node("asker", &[], Some(&redis_url()?)).await?;
        let client = node.client();
        while !client.reaches("echo") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let figure =
            measure(in_flight, async move |id| client.ask(payload(id)).await.expect("the echo answers").id).await;
        node.drain().await;
        Ok(figure)
    })
}

pub fn respond() -> Result<(), Error> {
    essaim::run(async {
        let _node = echo::node("responder", &["echo"], Some(&redis_url()?)).await?;
        std::future::pending().await
    })
}
