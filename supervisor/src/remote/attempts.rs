//! What several attempts at one ask mean together.

use essaim_contract::{AskError, NotDelivered, Unknown};
use serde_bytes::ByteBuf;

/// The truth about several attempts, one of which may have run.
pub(super) fn doubtful(last: AskError<ByteBuf>, doubt: Option<Unknown>) -> AskError<ByteBuf> {
    match (last, doubt) {
        (AskError::NotDelivered(_) | AskError::Failed(_), Some(unknown)) => AskError::Unknown(unknown),
        (last, _) => last,
    }
}

/// Whether another attempt is harmless and may end differently.
pub(super) fn repeatable(error: &AskError<ByteBuf>, idempotent: bool) -> bool {
    match error {
        AskError::Rejected(_) | AskError::Failed(_) => false,
        AskError::NotDelivered(why) => !matches!(
            why,
            NotDelivered::Cycle { .. }
                | NotDelivered::TooLarge { .. }
                | NotDelivered::Undecodable { .. }
                | NotDelivered::Expired { .. }
        ),
        AskError::Unknown(_) => idempotent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_run_stays_unknown_whatever_a_later_attempt_says() {
        let lost = Unknown::WireLost { node: "a".into() };
        let refused = AskError::NotDelivered(NotDelivered::Draining { node: "b".into() });
        assert_eq!(doubtful(refused.clone(), Some(lost.clone())), AskError::Unknown(lost.clone()));
        assert_eq!(doubtful(refused.clone(), None), refused);
        let rejected = AskError::Rejected(ByteBuf::from([1]));
        assert_eq!(doubtful(rejected.clone(), Some(lost)), rejected, "the actor has spoken");
    }
}
