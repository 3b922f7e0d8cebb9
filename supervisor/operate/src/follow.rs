//! What is written from now on, sent to its readers as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use essaim_core::node::operators::JoinedBus;
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::api::{AwayNode, Followed, FollowedPage};
use crate::requests::{Operator, OperatorRequest, Refusal};

/// Readers at a time, at most: each asks all nodes.
pub(crate) const MOST_READERS: usize = 32;
/// How often nodes are asked for more.
const PAUSE: Duration = Duration::from_millis(300);
/// After so many pages without anything a reader hears that it is still read to, so that one that is gone is noticed.
const QUIET_PAGES: u32 = 40;

/// Those who read what comes, in one node.
#[derive(Clone)]
pub(crate) struct Readers(Arc<Semaphore>);

impl Default for Readers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST_READERS)))
    }
}

impl Readers {
    /// The events for one more reader, until `ends`; `None` if there are too many. Pages are asked for as fast as they are
    /// read: nothing waits here for a slow reader, which is told what it missed.
    pub fn events<Q: OperatorRequest + Followed + Clone + 'static>(
        &self,
        request: Q,
        bus: JoinedBus,
        ends: watch::Receiver<bool>,
    ) -> Option<impl Stream<Item = Result<Bytes, Infallible>> + use<Q>> {
        let place = self.0.clone().try_acquire_owned().ok()?;
        let reader = Reader { request, bus, ends, has_more: true, away: None, _place: place };
        Some(unfold(reader, async |mut reader| Some((Ok(reader.next().await?), reader))))
    }
}

struct Reader<Q> {
    request: Q,
    bus: JoinedBus,
    ends: watch::Receiver<bool>,
    has_more: bool,
    /// The nodes that did not answer, as the reader knows them; `None` before its first page.
    away: Option<Vec<AwayNode>>,
    _place: OwnedSemaphorePermit,
}

impl<Q: OperatorRequest + Followed + Clone> Reader<Q> {
    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        let mut ends = self.ends.clone();
        tokio::select! {
            _ = ends.wait_for(|ends| *ends) => None,
            event = self.event() => event,
        }
    }

    async fn event(&mut self) -> Option<Bytes> {
        for _ in 0..QUIET_PAGES {
            if !self.has_more {
                tokio::time::sleep(PAUSE).await;
            }
            // Not held meanwhile: a reader is no reason for a node to live on.
            let operator = self.bus.borrow().as_ref().map(Operator::of)?;
            let page = match self.request.clone().answer(&operator).await {
                Ok(page) => page,
                Err(Refusal::Wrong(why) | Refusal::Unreadable(why) | Refusal::Away(why) | Refusal::Undone(why)) => {
                    tracing::warn!(path = Q::PATH, why, "what comes cannot be read any more: a reader is sent away");
                    return None;
                }
            };
            self.request = self.request.clone().after(&page);
            let is_read = self.has_more && !page.has_more();
            self.has_more = page.has_more();
            let is_known = self.away.as_deref() == Some(page.away());
            // That all that was known is read is told, whatever the last page has.
            if !is_known || is_read || !page.is_empty() || page.missed() > 0 {
                self.away = Some(page.away().to_vec());
                return Some(event(serde_json::to_string(&page).unwrap_or_default().as_bytes()));
            }
        }
        Some(NO_EVENT)
    }
}

/// What tells a reader that it is still read to.
pub const NO_EVENT: Bytes = Bytes::from_static(b":\n\n");

/// An event of this JSON, which has no line breaks.
pub fn event(json: &[u8]) -> Bytes {
    [b"data: ", json, b"\n\n"].concat().into()
}
