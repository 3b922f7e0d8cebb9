//! What a body's framing tells before the body is there.

use std::cell::Cell;

use tokio::sync::Notify;

use crate::{BodyLimits, Problem};

/// What is wrong with the chunks of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkFault {
    /// A chunk announces more than a body may have.
    TooLarge,
    /// What frames the chunks, such as their extensions, is out of proportion to what is in them.
    Padded,
}

/// What the reader of a connection, which sees chunks as they are sent, tells the reader of a body, which sees what is in
/// them: so a body that will be refused is refused before it has been sent. A [`Json`](crate::Json) body looks for it in the
/// data of its connection, as an `Rc<BodyWatch>`.
#[derive(Debug, Default)]
pub struct BodyWatch {
    fault: Cell<Option<ChunkFault>>,
    seen: Notify,
}

impl BodyWatch {
    /// A fault was seen. The connection ends with its request, since nobody knows where the next one begins.
    pub fn report(&self, fault: ChunkFault) {
        self.fault.set(Some(fault));
        self.seen.notify_waiters();
    }

    /// Waits until a fault is seen, and says what the client is told.
    pub(crate) async fn refused(&self, limits: &BodyLimits) -> Problem {
        loop {
            let seen = self.seen.notified();
            match self.fault.get() {
                None => seen.await,
                Some(ChunkFault::TooLarge) => return limits.too_large(),
                Some(ChunkFault::Padded) => {
                    return Problem::bad_request("The chunks of the body are framed with far more than is in them.");
                }
            }
        }
    }
}
