//! A primary of Redis, its replica, and the name that leads to the primary.

use super::{Name, Redis};

/// Two servers that change places, and a name that follows when it is told to. They end with the value.
pub struct Pair {
    pub primary: Redis,
    pub replica: Redis,
    pub name: Name,
}

impl Pair {
    /// # Panics
    /// As [`Redis::start`].
    pub fn start() -> Self {
        let (primary, replica) = (Redis::durable(), Redis::durable());
        replica.follow(&primary);
        let name = Name::of(primary.port());
        Self { primary, replica, name }
    }

    /// The address for `bridge.url`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.name.port())
    }

    /// The replica becomes the primary of the one before. Nothing ends a connection, and the name does not follow.
    #[track_caller]
    pub fn swap(&mut self) {
        self.replica.lead();
        self.primary.follow(&self.replica);
        std::mem::swap(&mut self.primary, &mut self.replica);
    }

    /// The name leads to the primary from now on.
    pub fn name_follows(&self) {
        self.name.leads_to(self.primary.port());
    }
}
