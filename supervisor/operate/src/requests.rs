//! The node that an operator asks: it asks the capabilities' hosts, here and elsewhere, and puts their answers together.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use essaim_audit::Asker;
use essaim_base::{Env, codec};
use essaim_config::Config;
use essaim_contract::{AskError, NotDelivered, Principal};
use essaim_core::api::client::Client;
use essaim_core::node::bus::{Bus, LocalHandlers};
use essaim_durable::Durable;
use essaim_gather::GatheredStore;
use essaim_protocol::log::LogError;
use essaim_remote::Remote;
use essaim_store::tables::dead::DeadReason;
use essaim_trace::Recorder;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::*;
use crate::host;
use crate::node_ask;
use crate::operation::{DeadFilter, LetterResults, LetterSelection, Operation, name_of};

/// Versions of a registry over Redis are moments, in microseconds since 1970; this one is in 2001. Those of a file are a count
/// that never comes so far.
const FIRST_MOMENT: u64 = 1_000_000_000_000_000;
/// The longest wait for one host.
pub(crate) const LIMIT: Duration = Duration::from_secs(5);

/// The node that an operator asks.
pub struct Operator {
    pub bus: Arc<Bus>,
    pub env: Env,
    /// Its name.
    pub node: String,
    pub config: Arc<Config>,
    /// Its durable half; `None` where nothing is stored.
    pub durable: Option<Arc<Durable>>,
    /// The other nodes; `None` without a wire.
    pub remote: Option<Arc<Remote>>,
    pub local: Arc<LocalHandlers>,
    pub recorder: Arc<Recorder>,
    /// The gathered records of all nodes, if they are stored here.
    pub gathered: Option<Arc<GatheredStore>>,
    /// The node that stores them; `None` if none does.
    pub store_node: Option<String>,
    /// The largest message, in bytes (`wire.max_message_bytes`).
    pub most_bytes: u64,
    /// Who asks; `None` if that is this node itself.
    pub requester: Option<Requester>,
}

/// Who asks a node something over HTTP.
pub struct Requester {
    pub asker: Asker,
    /// On whose behalf messages are sent.
    pub principal: Option<Principal>,
}

/// Asks a client's node what an operator asks it. Who may is not looked at, and nothing is audited.
///
/// # Errors
/// Why there is no answer.
pub async fn ask<Q: OperatorRequest>(client: &Client, request: Q) -> Result<Q::Answer, Refusal> {
    request.answer(&Operator::of(client.bus())).await
}

/// Why an operator gets no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The request cannot be answered.
    Wrong(String),
    /// What was written cannot be read as what it is to be.
    Unreadable(String),
    /// Who should answer does not.
    Away(String),
    /// It was tried, and nothing of it remains.
    Undone(String),
}

/// A request that a node answers.
pub trait OperatorRequest: ApiRequest {
    /// The answer, or why there is none.
    #[allow(async_fn_in_trait)] // No other crate implements it.
    async fn answer(self, operator: &Operator) -> Result<Self::Answer, Refusal>;
}

impl OperatorRequest for ListDead {
    async fn answer(self, operator: &Operator) -> Result<DeadPage, Refusal> {
        if let Some(reason) = self.reason.as_deref().filter(|reason| DeadReason::parse(reason).is_none()) {
            let known: Vec<_> = DeadReason::ALL.iter().map(|reason| reason.as_str()).collect();
            let wrong = format!("nothing dies of `{reason}`: there are {}", known.join(", "));
            return Err(Refusal::Wrong(wrong));
        }
        let most = if self.most == 0 { MOST_LETTERS } else { self.most.min(MOST_LETTERS) };
        let mut page = DeadPage { asked_at_ms: operator.env.wall_ms(), ..DeadPage::default() };
        let from = self.after.as_ref().map(|place| place.kept_by.clone()).unwrap_or_default();
        for capability in operator.capabilities().await?.into_iter().filter(|capability| *capability >= from) {
            let mut after = self.after.clone().filter(|place| place.kept_by == capability);
            loop {
                let wanted = DeadFilter {
                    capability: self.capability.clone(),
                    reason: self.reason.clone(),
                    name: self.name.clone(),
                    until_ms: self.until_ms,
                    after: after.take(),
                    // One more tells whether there is another page.
                    most: most + 1 - page.letters.len() as u32,
                };
                match operator.ask_host::<Vec<DeadLetterSummary>>(&capability, &Operation::List(wanted)).await {
                    Ok(letters) => {
                        after = letters.last().map(DeadLetterSummary::place);
                        page.letters.extend(letters);
                    }
                    Err(why) => page.away.push(Away { capability: capability.clone(), why }),
                }
                if page.letters.len() as u32 > most {
                    page.letters.truncate(most as usize);
                    page.next = page.letters.last().map(DeadLetterSummary::place);
                    return Ok(page);
                }
                // A host gives as many as go into one answer: it has no more when it gives none.
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(page)
    }
}

impl OperatorRequest for ShowDead {
    async fn answer(self, operator: &Operator) -> Result<ShownDead, Refusal> {
        let mut shown = ShownDead::default();
        for capability in operator.capabilities().await? {
            match operator.ask_host::<Vec<DeadLetterDetail>>(&capability, &Operation::Show(self.id.clone())).await {
                Ok(letters) => shown.letters.extend(letters),
                Err(why) => shown.away.push(Away { capability, why }),
            }
        }
        Ok(shown)
    }
}

impl OperatorRequest for ReplayDead {
    async fn answer(self, operator: &Operator) -> Result<Changed, Refusal> {
        if let Some(payload) = self.payload {
            return operator.replay_edited(&self.ids, self.capability, payload).await;
        }
        operator
            .deal_with("replays", LetterSelection { ids: self.ids, capability: self.capability }, Operation::Replay)
            .await
    }
}

impl OperatorRequest for DropDead {
    async fn answer(self, operator: &Operator) -> Result<Changed, Refusal> {
        operator
            .deal_with("drops", LetterSelection { ids: self.ids, capability: self.capability }, Operation::Drop)
            .await
    }
}

impl OperatorRequest for AskLedger {
    async fn answer(self, operator: &Operator) -> Result<Ledger, Refusal> {
        let mut ledger = Ledger::default();
        for capability in operator.capabilities().await? {
            if self.capability.as_ref().is_some_and(|only| *only != capability) {
                continue;
            }
            match operator.ask_host::<Vec<LedgerLine>>(&capability, &Operation::Ledger).await {
                Ok(lines) => ledger.lines.extend(lines),
                Err(why) => ledger.away.push(Away { capability, why }),
            }
        }
        Ok(ledger)
    }
}

impl OperatorRequest for ListSubscriptions {
    async fn answer(self, operator: &Operator) -> Result<Subscriptions, Refusal> {
        let Some(durable) = &operator.durable else { return Ok(Subscriptions::default()) };
        let registry = durable.log.registry().await.map_err(|e| silent(&e))?;
        let mut found = Subscriptions::default();
        for (event, subscribers) in &registry.subscriptions {
            for (capability, subscription) in subscribers {
                found.subscriptions.push(SubscriptionLine {
                    event: event.clone(),
                    capability: capability.clone(),
                    when_full: word(subscription.when_full),
                    from: word(subscription.from),
                    retention_ms: subscription.retention_ms,
                    since_ms: (subscription.since >= FIRST_MOMENT).then_some(subscription.since / 1_000),
                    live: operator.has_live_host(capability),
                });
            }
        }
        Ok(found)
    }
}

impl OperatorRequest for DropSubscription {
    async fn answer(self, operator: &Operator) -> Result<DroppedSubscription, Refusal> {
        let Some(durable) = &operator.durable else { return Ok(DroppedSubscription::default()) };
        let drop = async {
            let dropped = durable.log.unsubscribe(&self.event, &self.capability).await.map_err(|e| silent(&e))?;
            Ok(DroppedSubscription { dropped, live: operator.has_live_host(&self.capability) })
        };
        operator.audited(format!("ends the subscription of {} to {}", self.capability, self.event), drop).await
    }
}

/// Whose they are, if that was said.
pub(crate) fn of(capability: Option<&str>) -> String {
    capability.map(|capability| format!(" of {capability}")).unwrap_or_default()
}

/// The word for a value, as it is stored.
fn word(value: impl Serialize) -> String {
    let word = serde_json::to_value(value).unwrap_or_default();
    word.as_str().unwrap_or_default().into()
}

/// The log did not answer a request about all capabilities.
pub(crate) fn silent(error: &LogError) -> Refusal {
    Refusal::Away(format!("the log does not answer: {error}"))
}

impl Operator {
    pub fn of(bus: &Arc<Bus>) -> Self {
        Self {
            bus: bus.clone(),
            env: bus.env.clone(),
            node: bus.settings.node.name.clone(),
            config: bus.config.clone(),
            durable: bus.durable().cloned(),
            remote: bus.remote().cloned(),
            local: bus.local().clone(),
            recorder: bus.recorder.clone(),
            gathered: bus.gathered.clone(),
            store_node: bus.settings.store_node().map(Into::into),
            most_bytes: bus.settings.wire.max_message_bytes,
            requester: None,
        }
    }

    /// This operator, who is known.
    pub fn asked_by(self, requester: Requester) -> Self {
        Self { requester: Some(requester), ..self }
    }

    pub fn principal(&self) -> Option<Principal> {
        self.requester.as_ref()?.principal.clone()
    }

    /// Whether a host of a capability takes messages now, in this node or another. It does not matter how asks of this node would
    /// come to it, as for `Bus::reaches`.
    fn has_live_host(&self, capability: &str) -> bool {
        self.local.reaches(capability) || self.remote.as_ref().is_some_and(|remote| remote.members().reach(capability))
    }

    /// The capabilities that the log knows: all that have durable messages, or a database where some could be.
    pub async fn capabilities(&self) -> Result<BTreeSet<String>, Refusal> {
        let Some(durable) = &self.durable else { return Ok(BTreeSet::new()) };
        let registry = durable.log.registry().await.map_err(|e| silent(&e))?;
        Ok(registry.partitions.keys().cloned().collect())
    }

    /// The capabilities that are about to be asked to change something.
    pub async fn capabilities_to_change(&self) -> Result<BTreeSet<String>, Refusal> {
        self.capabilities().await.map_err(|refusal| match refusal {
            Refusal::Away(why) => Refusal::Away(format!("nothing was done: {why}")),
            other => other,
        })
    }

    async fn deal_with(
        &self,
        verb: &str,
        selection: LetterSelection,
        operation: fn(LetterSelection) -> Operation,
    ) -> Result<Changed, Refusal> {
        if selection.ids.len() > MOST_LETTERS as usize {
            let wrong = format!("{} ids are more than {MOST_LETTERS} in one request", selection.ids.len());
            return Err(Refusal::Wrong(wrong));
        }
        let capabilities = self.capabilities_to_change().await?;
        let act = format!("{verb} dead letters {}{}", listed(&selection.ids), of(selection.capability.as_deref()));
        let deal = async {
            let mut changed = Changed::default();
            for capability in capabilities {
                match self.ask_host::<LetterResults>(&capability, &operation(selection.clone())).await {
                    Ok(LetterResults { done, refused }) => {
                        changed.done.extend(done);
                        changed.refused.extend(refused);
                    }
                    Err(why) => changed.away.push(Away { capability, why }),
                }
            }
            Ok(changed)
        };
        self.audited(act, deal).await
    }

    /// Asks the host of a capability, in this node or another.
    ///
    /// # Errors
    /// The reason in words: an operator reads it beside the capability, and nothing decides by it.
    pub(crate) async fn ask_host<T: DeserializeOwned>(
        &self,
        capability: &str,
        operation: &Operation,
    ) -> Result<T, String> {
        self.ask_host_within(capability, operation, LIMIT).await
    }

    /// As [`Operator::ask_host`], with a time limit of its own.
    ///
    /// # Errors
    /// As [`Operator::ask_host`].
    pub(crate) async fn ask_host_within<T: DeserializeOwned>(
        &self,
        capability: &str,
        operation: &Operation,
        limit: Duration,
    ) -> Result<T, String> {
        let body = codec::encode(operation).map_err(|e| e.to_string())?;
        let call = node_ask::call(&self.env, limit);
        let answered = match (self.local.host(capability), &self.remote) {
            (Some(host), _) => match host::answer(self, host, &body, call) {
                Ok(answering) => answering.await,
                Err(why) => Err(AskError::NotDelivered(why)),
            },
            (None, Some(remote)) => {
                let (name, capability) = (name_of(capability), capability.to_string());
                remote.ask(node_ask::remote_ask(capability.into(), name.into(), body, call)).await
            }
            (None, None) => Err(AskError::NotDelivered(NotDelivered::NoHost { capability: capability.to_string() })),
        };
        node_ask::read(answered)
    }
}
