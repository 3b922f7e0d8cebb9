//! Drain: how a node leaves. It announces, refuses late asks, finishes its handlers, relays what they have sent, answers what
//! came until its inbox was closed, exports and has stored what was recorded of all this, has its files whole, and goes.

use std::time::Duration;

use crate::node::RunningNode;

impl RunningNode {
    /// Leaves: tells the others, finishes what is under way, and goes. Ends after `drain.timeout_ms` at the latest.
    pub async fn drain(&self) {
        let limit = Duration::from_millis(self.bus.settings.drain.timeout_ms);
        if tokio::time::timeout(limit, self.leave()).await.is_err() {
            tracing::warn!(
                timeout_ms = limit.as_millis() as u64,
                "not everything was finished in time; ending all the same"
            );
        }
        self.settle().await;
    }

    /// Has the files of databases and log whole without their journals. What else this process writes is its lease alone.
    async fn settle(&self) {
        for database in self.bus.hosts().iter().filter_map(|host| host.database()) {
            if let Err(error) = database.settle().await {
                let capability = database.capability();
                tracing::warn!(capability, %error, "the file of its database is not whole without its -wal");
            }
        }
        if let Some(durable) = self.bus.durable() {
            durable.log.settle().await;
        }
    }

    async fn leave(&self) {
        self.bus.set_draining();
        // On this machine files have one host, and the next one waits for it.
        essaim_store::announce_end(self.bus.env.wall_ms() + self.bus.settings.drain.timeout_ms);
        let hosts = self.bus.hosts();
        let announced = async {
            if let Some(remote) = self.bus.remote() {
                remote.announce_leave().await;
            }
        };
        // The hosts' own drains (the gateway's) still ask hosts of this node, which go on serving them.
        let drained = futures_util::future::join_all(hosts.iter().map(|h| h.drain()));
        futures_util::future::join(announced, drained).await;
        if let Some(durable) = self.bus.durable() {
            durable.drain.run().await;
        }
        for host in hosts {
            host.idle().await;
        }
        if let Some(durable) = self.bus.durable() {
            durable.flush().await;
        }
        if let Some(remote) = self.bus.remote() {
            remote.finish_answers().await;
            self.operators.asks.leave(&self.bus).await;
            remote.close().await;
        }
        if let Some(exporter) = &self.exporter {
            exporter.flush().await;
        }
        let listeners = std::mem::take(&mut *self.listeners.lock());
        for listener in listeners {
            listener.stop().await;
        }
    }
}
