//! The wire over Redis pub/sub.
//!
//! One RESP3 connection carries both directions, so a lost connection is one event with one meaning: what was under
//! way may be gone. The crate's own reconnecting manager would hide that moment, so the loop is here. Redis 6.2 or
//! newer.

mod channels;
mod claims;
mod cluster;
pub(crate) use self::cluster::Cluster;
mod endpoint;
mod keep;
mod log;
pub(crate) use self::log::RedisLog;
mod memory;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use redis::aio::MultiplexedConnection;
use redis::{PushInfo, PushKind, RedisError, Value};
use tokio::sync::{Notify, mpsc};

use self::claims::Claims;
use self::endpoint::Endpoint;
use self::keep::{Kept, Watched};
use self::memory::Memory;
use super::{ClaimError, Identity, PublishError, Renewal, Wire, WireEvent, WireEvents};
use crate::Env;
use crate::backoff::Backoff;
use crate::config::Settings;
use crate::outages::{Dependency, Outages};
use crate::task::{TaskName, Tasks};

/// The wire of one node.
pub(crate) struct Redis {
    shared: Arc<Shared>,
    cluster: Arc<Cluster>,
    claims: Claims,
}

struct Shared {
    endpoint: Endpoint,
    inbox: String,
    broadcast: String,
    backoff: Backoff,
    /// The connection that is in use, if one is, and its number.
    connection: Mutex<Option<(u64, MultiplexedConnection)>>,
    connections: AtomicU64,
    /// Wakes the loop that keeps the connection.
    broken: Notify,
    closed: AtomicBool,
    events: mpsc::UnboundedSender<WireEvent>,
    env: Env,
    outages: Outages,
}

impl Redis {
    /// Connects, joins the cluster that is there, claims the node's name and the capabilities that may have one host only,
    /// and subscribes the inbox.
    ///
    /// # Errors
    /// If the server does not answer, it has another cluster than this node's, or a live node has the name or a capability;
    /// it waits for a lease to end first.
    pub async fn join(
        settings: &Settings,
        exclusive: Vec<String>,
        env: Env,
        tasks: &Tasks,
    ) -> Result<(Self, Identity, WireEvents), ClaimError> {
        let endpoint = Endpoint::of(settings)?;
        let mut first = endpoint.connect(&endpoint.config()).await.map_err(|e| endpoint.unreachable(e))?;

        let cluster = Cluster::join(&mut first, endpoint.database(), (settings, Memory::of(settings)), &env).await?;
        let cluster = Arc::new(cluster);
        let mut claims = Claims::new(cluster.clone(), settings, exclusive);
        let (node, epoch) = (settings.node.name.clone(), claims.take(&mut first, &env).await?);
        let inbox = cluster.channels().inbox(&node, epoch);

        // Bounded by the windows that the node grants each sender (`wire.window_bytes`).
        let (events, receiver) = mpsc::unbounded_channel();
        let wire = &settings.wire;
        let shared = Arc::new(Shared {
            endpoint,
            inbox: inbox.clone(),
            broadcast: cluster.channels().broadcast(),
            backoff: Backoff {
                first: Duration::from_millis(wire.reconnect_first_ms),
                most: Duration::from_millis(wire.reconnect_most_ms),
            },
            connection: Mutex::new(None),
            connections: AtomicU64::new(0),
            broken: Notify::new(),
            closed: AtomicBool::new(false),
            events,
            env,
            outages: tasks.outages().clone(),
        });
        shared.connect().await.map_err(|e| shared.endpoint.unreachable(e))?;
        let kept = shared.clone();
        tasks.restarted_anywhere(TaskName::of_node("wire"), move || kept.clone().keep_connected());
        let me = Identity { node, epoch, inbox, cluster: cluster.identity().into() };
        Ok((Self { shared, cluster, claims }, me, receiver))
    }

    /// The cluster that the node has joined.
    pub fn cluster(&self) -> Arc<Cluster> {
        self.cluster.clone()
    }

    /// One line about the server, or why it does not answer.
    pub async fn check(url: &str, response_timeout: Duration) -> Result<String, ClaimError> {
        let endpoint = Endpoint::at(url, response_timeout)?;
        let mut connection = endpoint.connect(&endpoint.config()).await.map_err(|e| endpoint.unreachable(e))?;
        let info = redis::cmd("INFO").arg("server").query_async(&mut connection).await;
        let info: String = info.map_err(|e| endpoint.unreachable(e))?;
        let version = info.lines().find_map(|l| l.strip_prefix("redis_version:")).unwrap_or("of unknown version");
        Ok(format!("Redis {} at {}", version.trim(), endpoint.url()))
    }

    async fn publish_to(&self, channel: &str, frame: Bytes) -> Result<u64, PublishError> {
        let Some((number, mut connection)) = self.shared.current() else { return Err(PublishError::NotSent) };
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(channel).arg(&frame[..]);
        match connection.send_packed_command(&publish).await {
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
}

impl Wire for Redis {
    fn publish<'a>(&'a self, inbox: &'a str, frame: Bytes) -> BoxFuture<'a, Result<u64, PublishError>> {
        self.publish_to(inbox, frame).boxed()
    }

    fn broadcast(&self, frame: Bytes) -> BoxFuture<'_, Result<u64, PublishError>> {
        self.publish_to(&self.shared.broadcast, frame).boxed()
    }

    fn renew(&self) -> BoxFuture<'_, Renewal> {
        async move {
            match self.shared.current() {
                // What was given back is not taken again.
                _ if self.shared.closed.load(Ordering::Acquire) => Renewal::Unanswered,
                Some((_, mut connection)) => self.claims.renew(&mut connection, &self.shared.env).await,
                None => Renewal::Unanswered,
            }
        }
        .boxed()
    }

    fn reset(&self) {
        if let Some((number, _)) = self.shared.current() {
            self.shared.lost(number);
        }
    }

    fn close_inbox(&self) -> BoxFuture<'_, ()> {
        async move {
            if let Some((_, mut connection)) = self.shared.current()
                && let Err(error) = connection.unsubscribe(&self.shared.inbox).await
            {
                tracing::warn!(%error, "the inbox could not be unsubscribed");
            }
            let _ = self.shared.events.send(WireEvent::Closed);
        }
        .boxed()
    }

    fn release(&self) -> BoxFuture<'_, ()> {
        async move {
            self.shared.closed.store(true, Ordering::Release);
            if let Some((_, mut connection)) = self.shared.current() {
                self.claims.release(&mut connection).await;
            }
            self.shared.broken.notify_one();
        }
        .boxed()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        self.shared.broken.notify_one();
    }
}

impl Shared {
    fn current(&self) -> Option<(u64, MultiplexedConnection)> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes, once, that the connection of this number is gone.
    fn lost(&self, number: u64) {
        let gone = {
            let mut current = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
            current.take_if(|(n, _)| *n == number)
        };
        if gone.is_some() {
            let _ = self.events.send(WireEvent::Lost);
            self.broken.notify_one();
        }
    }

    /// Connects and subscribes; the connection is used only once both channels are confirmed.
    async fn connect(self: &Arc<Self>) -> Result<(), RedisError> {
        let number = self.connections.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::downgrade(self);
        let config = self.endpoint.config().set_push_sender(move |push: PushInfo| {
            let Some(shared) = shared.upgrade() else { return Err(redis::aio::SendError) };
            match push.kind {
                PushKind::Message => shared.heard(push.data),
                PushKind::Disconnection => shared.lost(number),
                _ => {}
            }
            Ok(())
        });
        let mut connection = self.endpoint.connect(&config).await?;
        connection.subscribe(&[&self.inbox, &self.broadcast][..]).await?;
        // In this order, so that whoever learns of the loss of this connection has learned of its start before.
        let _ = self.events.send(WireEvent::Restored);
        *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = Some((number, connection));
        Ok(())
    }

    fn heard(&self, data: Vec<Value>) {
        if let Some(Value::BulkString(frame)) = data.into_iter().nth(1) {
            let _ = self.events.send(WireEvent::Frame(frame.into()));
        }
    }

    async fn keep_connected(self: Arc<Self>) {
        keep::connected(&self).await;
    }
}

impl Kept for Arc<Shared> {
    fn watched(&self) -> Watched<'_> {
        let Shared { endpoint, broken, closed, backoff, env, outages, .. } = &**self;
        let (url, dependency) = (endpoint.url(), Dependency::wire());
        Watched { url, broken, closed, backoff: *backoff, dependency, outages, env }
    }

    fn is_connected(&self) -> bool {
        self.current().is_some()
    }

    async fn connect(&self) -> Result<(), RedisError> {
        Shared::connect(self).await
    }
}

/// The URL as it may be shown.
fn without_password(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        _ => url.to_string(),
    }
}
