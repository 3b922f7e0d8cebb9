//! The outcome of one ask that was attempted several times.

use essaim_contract::{AskError, NotDelivered, Unknown};
use serde_bytes::ByteBuf;

/// The error of several attempts: that of the last one, unless an earlier one may have run.
pub(super) fn outcome_of_attempts(last: AskError<ByteBuf>, earlier_unknown: Option<Unknown>) -> AskError<ByteBuf> {
    match (last, earlier_unknown) {
        (AskError::NotDelivered(_) | AskError::Failed(_), Some(unknown)) => AskError::Unknown(unknown),
        (last, _) => last,
    }
}

/// Whether another attempt is harmless and may end differently.
pub(super) fn may_retry(error: &AskError<ByteBuf>, idempotent: bool) -> bool {
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
    fn an_attempt_that_may_have_run_stays_unknown_unless_a_later_one_is_rejected() {
        let lost = Unknown::WireLost { node: "a".into() };
        let refused = AskError::NotDelivered(NotDelivered::Draining { node: "b".into() });
        assert_eq!(outcome_of_attempts(refused.clone(), Some(lost.clone())), AskError::Unknown(lost.clone()));
        assert_eq!(outcome_of_attempts(refused.clone(), None), refused);
        let rejected = AskError::Rejected(ByteBuf::from([1]));
        assert_eq!(outcome_of_attempts(rejected.clone(), Some(lost)), rejected, "the actor has spoken");
    }
}
