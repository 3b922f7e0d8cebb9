//! The wire over Redis pub/sub.
//!
//! One RESP3 connection carries both directions, so a lost connection is one event with one meaning: frames in either direction
//! may be lost. The client library's own reconnecting manager would hide that moment, so the loop is here. Redis 6.2 or newer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use essaim_base::Env;
use essaim_base::outages::Dependency;
use essaim_base::task::{TaskName, Tasks};
use essaim_config::Settings;
use essaim_protocol::wire::{Channel, ClaimError, Identity, PublishError, Renewal, Wire, WireEvent, WireEvents};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use redis::{PushInfo, PushKind, Value};
use tokio::sync::mpsc;

use super::claims::Claims;
use super::cluster::Cluster;
use super::cluster_file::ClusterFile;
use super::command_error::CommandError;
use super::connection::{Connected, ConnectionKeeper, ConnectionUse};
use super::endpoint::{Endpoint, NoConnection, run_of};
use super::server_process::ServerProcess;

/// The wire of one node.
pub struct RedisWire {
    shared: Arc<WireShared>,
    cluster: Arc<Cluster>,
    claims: Claims,
}

struct WireShared {
    keeper: ConnectionKeeper,
    inbox: String,
    broadcast: String,
    server: ServerProcess,
    events: mpsc::UnboundedSender<WireEvent>,
    env: Env,
}

impl RedisWire {
    /// Connects, joins the cluster on the server, claims the node's name and the capabilities that may have one host only, and
    /// subscribes the inbox.
    ///
    /// # Errors
    /// If the server does not answer or cannot be a bridge, if it has another cluster than this node's, or if a live node has the
    /// name or a capability. It first waits for a lease to end, and for a server that loads its data.
    pub async fn join(
        settings: &Settings,
        exclusive: Vec<String>,
        env: Env,
        tasks: &Tasks,
    ) -> Result<(Self, Identity, WireEvents), ClaimError> {
        let endpoint = Arc::new(Endpoint::of(settings)?);
        let keeper = ConnectionKeeper::new(endpoint.clone(), settings, Dependency::wire(), tasks.outages(), &env);
        let mut first = keeper.first().await?;

        let cluster =
            Cluster::join(&mut first, endpoint.database(), (settings, ClusterFile::of(settings)), &env).await?;
        let cluster = Arc::new(cluster);
        let mut claims = Claims::new(cluster.clone(), settings, exclusive);
        let (node, epoch) = (settings.node.name.clone(), claims.take(&mut first, &env).await?);
        let inbox = cluster.channels().inbox(&node, epoch);

        // Bounded by the windows that the node grants each sender (`wire.window_bytes`).
        let (events, receiver) = mpsc::unbounded_channel();
        let shared = Arc::new(WireShared {
            keeper,
            inbox: inbox.clone(),
            broadcast: cluster.channels().broadcast(),
            server: ServerProcess::new(Duration::from_millis(settings.members.lease_ms)),
            events,
            env,
        });
        shared.keeper.begin(&shared).await?;
        let kept = shared.clone();
        tasks.restarted_anywhere(TaskName::of_node("wire"), move || kept.clone().keep_connected());
        let broadcast = cluster.channels().broadcast();
        let me = Identity { node, epoch, inbox, broadcast, cluster: cluster.identity().into() };
        Ok((Self { shared, cluster, claims }, me, receiver))
    }

    #[cfg(test)]
    pub(crate) fn keeper(&self) -> &ConnectionKeeper {
        &self.shared.keeper
    }

    /// The cluster that the node has joined.
    pub fn cluster(&self) -> Arc<Cluster> {
        self.cluster.clone()
    }

    async fn publish_to(&self, channel: &str, frame: Bytes) -> Result<u64, PublishError> {
        let Some(Connected { number, mut connection, .. }) = self.shared.keeper.current() else {
            return Err(PublishError::NotSent);
        };
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(channel).arg(&frame[..]);
        match connection.send_packed_command(&publish).await {
            Ok(Value::Int(0)) => match self.shared.server.has_no_receiver(&mut connection, &self.shared.env).await {
                true => Ok(0),
                false => Err(PublishError::Unanswered),
            },
            Ok(Value::Int(receivers)) => Ok(receivers as u64),
            Ok(other) => {
                tracing::error!(?other, "PUBLISH was answered with something else than a count");
                Err(PublishError::Unanswered)
            }
            Err(error) => {
                tracing::debug!(%error, "PUBLISH failed");
                self.shared.lost(number);
                Err(PublishError::Unanswered)
            }
        }
    }

    async fn renew_claims(&self) -> Renewal {
        let keeper = &self.shared.keeper;
        let Some(Connected { number, mut connection, .. }) = keeper.current() else {
            return keeper.unsupported().map_or(Renewal::Unanswered, Renewal::Unsupported);
        };
        match self.claims.renew(&mut connection, &self.shared.env).await {
            Ok(renewal) => renewal,
            Err(error) => {
                tracing::debug!(%error, "the lease could not be renewed");
                let failed = CommandError::of(&error);
                if failed.is_wrong_server() {
                    keeper.is_outdated(number, failed.message());
                }
                Renewal::Unanswered
            }
        }
    }
}

impl Wire for RedisWire {
    fn publish<'a>(&'a self, inbox: &'a str, frame: Bytes) -> BoxFuture<'a, Result<u64, PublishError>> {
        self.publish_to(inbox, frame).boxed()
    }

    fn broadcast(&self, frame: Bytes) -> BoxFuture<'_, Result<u64, PublishError>> {
        self.publish_to(&self.shared.broadcast, frame).boxed()
    }

    fn renew(&self) -> BoxFuture<'_, Renewal> {
        async move {
            match self.shared.keeper.is_closed() {
                // Claims that were released are not taken again.
                true => Renewal::Unanswered,
                false => self.renew_claims().await,
            }
        }
        .boxed()
    }

    fn announce_release(&self, within: Duration) -> BoxFuture<'_, ()> {
        async move {
            if let Some(mut current) = self.shared.keeper.current() {
                self.claims.announce_release(within, &mut current.connection).await;
            }
        }
        .boxed()
    }

    fn reset(&self) {
        if let Some(current) = self.shared.keeper.current() {
            self.shared.lost(current.number);
        }
    }

    fn close_inbox(&self) -> BoxFuture<'_, ()> {
        async move {
            // A new connection would subscribe it again.
            self.shared.keeper.settle().await;
            if let Some(mut current) = self.shared.keeper.current()
                && let Err(error) = current.connection.unsubscribe(&self.shared.inbox).await
            {
                tracing::warn!(%error, "the inbox could not be unsubscribed");
            }
            let _ = self.shared.events.send(WireEvent::Closed);
        }
        .boxed()
    }

    fn release(&self) -> BoxFuture<'_, ()> {
        async move {
            self.shared.keeper.close();
            if let Some(mut current) = self.shared.keeper.current() {
                self.claims.release(&mut current.connection).await;
            }
        }
        .boxed()
    }
}

impl Drop for RedisWire {
    fn drop(&mut self) {
        self.shared.keeper.close();
    }
}

impl WireShared {
    /// Records that the connection of this number is lost, and reports that once.
    fn lost(&self, number: u64) {
        if self.keeper.lost(number) {
            let _ = self.events.send(WireEvent::Lost);
        }
    }

    fn heard(&self, data: Vec<Value>) {
        let mut data = data.into_iter();
        if let (Some(Value::BulkString(channel)), Some(Value::BulkString(frame))) = (data.next(), data.next()) {
            let channel = if channel == self.inbox.as_bytes() { Channel::Inbox } else { Channel::Broadcast };
            let _ = self.events.send(WireEvent::Frame(channel, frame.into()));
        }
    }

    async fn keep_connected(self: Arc<Self>) {
        self.keeper.keep(&self).await;
    }
}

impl ConnectionUse for Arc<WireShared> {
    /// Connects and subscribes: the connection is used only once both channels are confirmed.
    async fn connect(&self, number: u64) -> Result<Connected, NoConnection> {
        let shared = Arc::downgrade(self);
        let endpoint = self.keeper.endpoint();
        let config = endpoint.config().set_push_sender(move |push: PushInfo| {
            let Some(shared) = shared.upgrade() else { return Err(redis::aio::SendError) };
            match push.kind {
                PushKind::Message => shared.heard(push.data),
                PushKind::Disconnection => shared.lost(number),
                _ => {}
            }
            Ok(())
        });
        let mut connection = endpoint.connect(&config).await?;
        connection.subscribe(&[&self.inbox, &self.broadcast][..]).await?;
        let run = run_of(&mut connection).await?;
        Ok(Connected { number, connection, run })
    }

    /// The event of a connection's start comes before it is put into use, and so before the event of its loss.
    fn connected(&self, new: &Connected, old: Option<&Connected>) {
        let is_other = self.server.is_other(&new.run, self.env.now());
        if old.is_some() && is_other {
            // Frames that were sent to the former server are not received.
            let _ = self.events.send(WireEvent::Lost);
        }
        if old.is_none() || is_other {
            let _ = self.events.send(WireEvent::Restored);
        }
    }

    /// The old connection delivers all frames from before the new subscription was confirmed; duplicates are known by their ids.
    async fn replaced(&self, mut old: Connected) {
        let both = [&self.inbox, &self.broadcast];
        if let Err(error) = old.connection.unsubscribe(&both[..]).await {
            tracing::debug!(%error, "an old connection ended before its subscriptions");
        }
    }
}
