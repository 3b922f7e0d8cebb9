//! Essaim as it is: permit, deadline, panic guard, trace context and logging at the default level.

use super::ask_many;
use crate::Error;
use crate::echo;

pub fn run() -> Result<f64, Error> {
    essaim::run(async {
        let node = echo::node("local", &["echo"], None).await?;
        let client = node.client();
        Ok(ask_many(async move |payload| client.ask(payload).await.expect("the echo answers")).await)
    })
}
