//! Acts of operators: each is kept by the node that was asked before it is done, with its end behind it; and those of all nodes.

use std::collections::BTreeMap;
use std::sync::Arc;

use essaim_audit::{ActEnd, Asker, AuditEntry, AuditQuestion, EndKind};
use essaim_base::crash;
use essaim_core::api::client::Client;
use essaim_core::node::bus::Bus;

use crate::api::*;
use crate::node_ask::NodeAsk;
use crate::records::halve;
use crate::requests::{Operator, OperatorRequest, Refusal};
use crate::status::AbsentStatus;

/// What an answer says of an act, for the audit: nothing of what is in messages.
pub(crate) trait Ending {
    fn end(&self) -> ActEnd;
}

impl Operator {
    /// Does what somebody asks for, once it is kept who it is; a node that asks itself is nobody.
    ///
    /// # Errors
    /// If it cannot be kept, so that nothing was done; or those of the work.
    pub(crate) async fn audited<T: Ending>(
        &self,
        act: String,
        work: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        match &self.requester {
            Some(requester) => audited(&self.bus, &requester.asker, &act, work).await,
            None => work.await,
        }
    }

    /// Nodes that are no members now, of those that the topology names or that were heard lately. What only they keep is not known.
    fn nodes_away(&self) -> Vec<AwayNode> {
        let Some(remote) = &self.remote else { return Vec::new() };
        let unheard = |name: &String| (name.clone(), "it is not heard".to_string());
        let mut away: BTreeMap<_, _> = self.bus.settings.nodes.keys().map(unheard).collect();
        away.extend(AbsentStatus::all(remote.members(), self.env.now()).into_iter().map(|one| (one.node, one.why)));
        away.remove(&self.node);
        remote.members().all().iter().for_each(|peer| drop(away.remove(&*peer.name)));
        away.into_iter().map(|(node, why)| AwayNode::new(node, why)).collect()
    }
}

/// Keeps an act of a server of a capability's own, such as a login, before it is done.
///
/// # Errors
/// If it cannot be kept: then it is not to be done.
pub async fn keep_act(client: &Client, asker: &Asker, act: &str) -> Result<(), Refusal> {
    audited(client.bus(), asker, act, async { Ok(()) }).await
}

async fn audited<T: Ending>(
    bus: &Bus,
    asker: &Asker,
    act: &str,
    work: impl Future<Output = Result<T, Refusal>>,
) -> Result<T, Refusal> {
    let unkept = |why| Refusal::Away(format!("nothing was done, since it cannot be kept who did it: {why}"));
    let id = bus.audit.begin(asker, act).await.map_err(unkept)?;
    tracing::info!(target: "essaim::audit", operator = %asker, changes = act, "an operator changes something");
    crash::point("audit.before-act");
    let done = work.await;
    crash::point("audit.after-act");
    bus.audit.end(id, &done.as_ref().map_or_else(Ending::end, Ending::end)).await;
    done
}

impl Ending for () {
    fn end(&self) -> ActEnd {
        ended(EndKind::Done, "")
    }
}

impl Ending for Refusal {
    fn end(&self) -> ActEnd {
        match self {
            // Why tells of what was written, which may be a payload.
            Self::Wrong(_) | Self::Unreadable(_) => ended(EndKind::Nothing, "it was refused"),
            Self::Away(_) => ended(EndKind::Unknown, "who should have answered did not"),
            Self::Undone(_) => ended(EndKind::Nothing, "it could not be done"),
        }
    }
}

impl Ending for Changed {
    fn end(&self) -> ActEnd {
        of_counts(self.done.len(), self.refused.len(), &self.away)
    }
}

impl Ending for ErasedSubject {
    fn end(&self) -> ActEnd {
        let done = self.dead + self.retained + self.parked + self.records;
        of_counts(done as usize, self.refused.len(), &self.away)
    }
}

impl Ending for RetriedParked {
    fn end(&self) -> ActEnd {
        of_counts(self.ids.len(), 0, &self.away)
    }
}

impl Ending for SentMessage {
    fn end(&self) -> ActEnd {
        let kind = match self.outcome {
            SentOutcome::Ok | SentOutcome::Stored => EndKind::Done,
            SentOutcome::Rejected | SentOutcome::Failed | SentOutcome::NotDelivered | SentOutcome::NotStored => {
                EndKind::Nothing
            }
            SentOutcome::Unknown => EndKind::Unknown,
        };
        let id = self.id.as_ref().map(|id| format!(", id {id}")).unwrap_or_default();
        ended(kind, format!("{}{id}, trace {}", self.outcome.as_str(), self.trace))
    }
}

impl Ending for FiredSchedule {
    fn end(&self) -> ActEnd {
        ended(EndKind::Done, format!("id {}", self.id))
    }
}

impl Ending for DroppedSubscription {
    fn end(&self) -> ActEnd {
        if self.dropped { ended(EndKind::Done, "") } else { ended(EndKind::Nothing, "there was none") }
    }
}

impl Ending for Retirement {
    fn end(&self) -> ActEnd {
        match () {
            () if self.retired => ended(EndKind::Done, format!("{} messages lost", self.lost)),
            () if self.hosts.is_empty() => ended(EndKind::Nothing, "the log does not know it"),
            () => ended(EndKind::Nothing, format!("hosted by {}", self.hosts.join(", "))),
        }
    }
}

impl Ending for BackupManifest {
    fn end(&self) -> ActEnd {
        let bytes: u64 = self.files.iter().map(|file| file.bytes).sum();
        ended(EndKind::Done, format!("{} files, {bytes} bytes", self.files.len()))
    }
}

impl Ending for RehearsedLetter {
    fn end(&self) -> ActEnd {
        ended(EndKind::Done, "nothing of it remains")
    }
}

fn ended(kind: EndKind, detail: impl Into<String>) -> ActEnd {
    ActEnd { kind, detail: detail.into() }
}

fn of_counts(done: usize, refused: usize, away: &[Away]) -> ActEnd {
    let kind = match () {
        () if !away.is_empty() => EndKind::Unknown,
        () if done == 0 => EndKind::Nothing,
        () if refused > 0 => EndKind::Partly,
        () => EndKind::Done,
    };
    let mut detail = format!("{done} of {}", done + refused);
    if !away.is_empty() {
        let away: Vec<_> = away.iter().map(|away| &*away.capability).collect();
        detail += &format!("; no answer from {}", away.join(", "));
    }
    ended(kind, detail)
}

impl NodeAsk for AuditQuestion {
    const NAME: &'static str = "essaim.audit.v1";
    type Answer = Vec<AuditEntry>;

    async fn answer(&self, bus: &Arc<Bus>) -> Result<Vec<AuditEntry>, String> {
        // One more tells whether there are more.
        let question = Self { most: self.most.min(MOST_ACTS + 1), ..self.clone() };
        bus.audit.list(&question).await.map_err(|error| error.to_string())
    }

    fn want_less(&mut self) -> bool {
        halve(&mut self.most)
    }
}

impl OperatorRequest for ListAudit {
    async fn answer(self, operator: &Operator) -> Result<AuditPage, Refusal> {
        let most = if self.0.most == 0 { MOST_ACTS } else { self.0.most.min(MOST_ACTS) };
        let question = AuditQuestion { most: most + 1, ..self.0 };
        let mut page = AuditPage { away: operator.nodes_away(), ..AuditPage::default() };
        for (node, acts) in operator.ask_nodes(|_| question.clone()).await {
            match acts {
                Ok(acts) => page.acts.extend(acts),
                Err(why) => page.away.push(AwayNode::new(node, why)),
            }
        }
        page.acts.sort_by_key(|act| std::cmp::Reverse(act.place()));
        if page.acts.len() as u32 > most {
            page.acts.truncate(most as usize);
            page.next = page.acts.last().map(AuditEntry::place);
        }
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_tells_what_is_known_and_no_more() {
        let away = || vec![Away { capability: "orders".into(), why: "it holds hunter22".into() }];
        for (done, refused, away, kind, detail) in [
            (2, 0, Vec::new(), EndKind::Done, "2 of 2"),
            (1, 1, Vec::new(), EndKind::Partly, "1 of 2"),
            (0, 0, Vec::new(), EndKind::Nothing, "0 of 0"),
            (2, 0, away(), EndKind::Unknown, "2 of 2; no answer from orders"),
        ] {
            assert_eq!(of_counts(done, refused, &away), ended(kind, detail));
        }
        let refused = Refusal::Unreadable("invalid type: string \"hunter22\"".into()).end();
        assert!(refused.kind == EndKind::Nothing && !refused.detail.contains("hunter22"));
        assert_eq!(Refusal::Away("it does not answer".into()).end().kind, EndKind::Unknown);
    }
}
