//! Requests that can be followed: what comes later is answered as it comes.

use super::{ApiRequest, AwayNode};

/// A request that is answered page by page. With `accept: text/event-stream` its path answers with server-sent events, each
/// with one page as its data, for as long as somebody reads.
pub trait Followed: ApiRequest<Answer: FollowedPage> {
    /// The request for what comes after a page.
    fn after(self, page: &Self::Answer) -> Self;
}

/// A page of what can be followed.
pub trait FollowedPage {
    /// Whether nothing is on it.
    fn is_empty(&self) -> bool;
    /// Whether there is more at once.
    fn has_more(&self) -> bool;
    /// How much was gone before it was read.
    fn missed(&self) -> u64;
    /// Nodes that did not answer.
    fn away(&self) -> &[AwayNode];
}
