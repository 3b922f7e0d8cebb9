use super::*;

fn failed() -> Fault<&'static str> {
    Fault::Failed(Failure { kind: FailureKind::Error, detail: "the shop burns".into() })
}

#[test]
fn a_failure_claims_that_nothing_was_committed_only_where_that_is_true() {
    assert!(matches!(truth(failed(), CommitState::Nothing), AskError::Failed(_)));
    let unanswered = truth(failed(), CommitState::Committing);
    assert!(matches!(unanswered, AskError::Unknown(Unknown::CommitUnanswered)));
    let after = truth(failed(), CommitState::Committed);
    assert!(matches!(after, AskError::Unknown(Unknown::FailedAfterCommit { detail }) if detail.contains("burns")));
}

#[test]
fn a_rejection_and_an_unknown_outcome_stay_what_they_are() {
    for state in [CommitState::Nothing, CommitState::Committing, CommitState::Committed] {
        assert!(matches!(truth(Fault::Rejected("no"), state), AskError::Rejected("no")));
        let unknown = truth::<&str>(Fault::Unknown(Unknown::CommitUnanswered), state);
        assert!(matches!(unknown, AskError::Unknown(Unknown::CommitUnanswered)));
    }
}

#[test]
fn a_state_that_is_not_kept_is_dropped_although_its_destructor_panics() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in a destructor");
        }
    }
    assert!(keep(false, Box::new(Bomb)).is_none());
    assert!(keep(true, Box::new(1)).is_some());
}
