//! How the node that is asked answers for a dead letter with another payload: it asks the letter's capability.

use std::slice;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::api::{Away, Changed, CheckPayload, CheckedPayload, RehearseDead, RehearsedLetter, listed, with_payload};
use crate::host::ANSWER_TIME;
use crate::operation::{EditedLetter, LetterAnswer, LetterResults, Operation};
use crate::requests::{LIMIT, Operator, OperatorRequest, Refusal};

impl OperatorRequest for CheckPayload {
    async fn answer(self, operator: &Operator) -> Result<CheckedPayload, Refusal> {
        let letter = EditedLetter { id: self.id, payload: Some(self.payload) };
        operator.ask_of_letter(&self.capability, letter, Operation::CheckEdited, LIMIT).await
    }
}

impl OperatorRequest for RehearseDead {
    async fn answer(self, operator: &Operator) -> Result<RehearsedLetter, Refusal> {
        let letter = EditedLetter { id: self.id, payload: self.payload };
        // What is refused before anything is done is no act.
        if letter.payload.is_some() {
            let check = operator.ask_of_letter::<CheckedPayload>(
                &self.capability,
                letter.clone(),
                Operation::CheckEdited,
                LIMIT,
            );
            check.await?;
        }
        let with = letter.payload.as_deref().map(with_payload).unwrap_or_default();
        let act =
            format!("rehearses the dead letter {} of {}{with}", listed(slice::from_ref(&letter.id)), self.capability);
        // Its handler has as long as at any other time.
        let handler = Duration::from_millis(operator.bus.settings.durable.handler_timeout_ms);
        let limit = handler + 2 * ANSWER_TIME;
        operator.audited(act, operator.ask_of_letter(&self.capability, letter, Operation::Rehearse, limit)).await
    }
}

impl Operator {
    /// Replays one letter with another payload.
    pub(crate) async fn replay_edited(
        &self,
        ids: &[String],
        capability: Option<String>,
        payload: String,
    ) -> Result<Changed, Refusal> {
        let ([id], Some(capability)) = (ids, capability) else {
            let wrong = "a payload is for one letter: name one id, and the capability whose letter it is";
            return Err(Refusal::Wrong(wrong.into()));
        };
        let letter = EditedLetter { id: id.clone(), payload: Some(payload) };
        // What is refused before anything is done is no act.
        let check = Operation::CheckEdited(letter.clone());
        let mut changed = Changed::default();
        match self.ask_host::<LetterAnswer<CheckedPayload>>(&capability, &check).await {
            Ok(LetterAnswer::Done(_)) => {}
            Ok(LetterAnswer::Gone) => return Ok(changed),
            Ok(LetterAnswer::Unreadable(why)) => return Err(unreadable(&why)),
            Err(why) => {
                changed.away.push(Away { capability, why });
                return Ok(changed);
            }
        }
        let with = letter.payload.as_deref().map(with_payload).unwrap_or_default();
        let act = format!("replays dead letters {} of {capability}{with}", listed(ids));
        let replay = async {
            match self.ask_host::<LetterAnswer<LetterResults>>(&capability, &Operation::ReplayEdited(letter)).await {
                Ok(LetterAnswer::Done(LetterResults { done, refused })) => {
                    (changed.done, changed.refused) = (done, refused);
                }
                Ok(LetterAnswer::Gone) => {}
                Ok(LetterAnswer::Unreadable(why)) => return Err(unreadable(&why)),
                Err(why) => changed.away.push(Away { capability, why }),
            }
            Ok(changed)
        };
        self.audited(act, replay).await
    }

    async fn ask_of_letter<T: DeserializeOwned>(
        &self,
        capability: &str,
        letter: EditedLetter,
        operation: fn(EditedLetter) -> Operation,
        limit: Duration,
    ) -> Result<T, Refusal> {
        let id = letter.id.clone();
        match self.ask_host_within(capability, &operation(letter), limit).await {
            Ok(LetterAnswer::Done(answer)) => Ok(answer),
            Ok(LetterAnswer::Gone) => Err(Refusal::Wrong(format!(
                "`{capability}` keeps no dead letter `{id}` of its own: it was replayed or dropped, or its publisher keeps it, \
                 since there was no room for it; replay that one as it is"
            ))),
            Ok(LetterAnswer::Unreadable(why)) => Err(unreadable(&why)),
            Err(why) => Err(Refusal::Away(format!("`{capability}` did not answer: {why}"))),
        }
    }
}

fn unreadable(why: &str) -> Refusal {
    Refusal::Unreadable(format!("nothing was done, since the payload is refused: {why}"))
}
