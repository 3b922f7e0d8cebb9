//! The end of a capability that is gone for good.

use std::collections::BTreeSet;

use essaim_protocol::log::Retired;

use crate::api::{Retire, Retirement};
use crate::requests::{Operator, OperatorRequest, Refusal, silent};

impl OperatorRequest for Retire {
    async fn answer(self, operator: &Operator) -> Result<Retirement, Refusal> {
        let Some(durable) = &operator.durable else { return Ok(Retirement::default()) };
        let (log, capability) = (&durable.log, &*self.capability);
        let registry = log.registry().await.map_err(|e| silent(&e))?;
        if !registry.partitions.contains_key(capability) {
            return Ok(Retirement::default());
        }
        let counts = log.counts(capability).await.map_err(|e| silent(&e))?;
        // Nodes as they are heard, and as the log knows them: one of the two hears of a new one first.
        let mut hosts = hosts_of(operator, capability);
        hosts.extend(counts.iter().filter_map(|count| count.owner.as_ref()).map(|(host, _)| node_of(host)));
        let subscriptions = registry.subscriptions.iter().filter(|(_, all)| all.contains_key(capability));
        let mut told = Retirement {
            known: true,
            waiting: counts.iter().map(|count| count.waiting).sum(),
            dead: log.dead_count(capability).await.map_err(|e| silent(&e))?,
            subscriptions: subscriptions.map(|(event, _)| event.clone()).collect(),
            ..Retirement::default()
        };
        told.hosts = hosts.into_iter().collect();
        if !told.hosts.is_empty() || self.rehearse {
            return Ok(told);
        }
        let retire = async {
            match log.retire(capability).await.map_err(|e| silent(&e))? {
                Retired::Done { messages } => (told.retired, told.lost) = (true, messages),
                Retired::Hosted { host } => told.hosts.push(node_of(&host)),
                Retired::Unknown => told.known = false,
            }
            Ok(told)
        };
        let told = operator.audited(format!("retires {capability}"), retire).await?;
        if told.retired {
            tracing::warn!(capability, messages = told.lost, "an operator has retired a capability");
        }
        Ok(told)
    }
}

/// The nodes that host a capability, in any state.
fn hosts_of(operator: &Operator, capability: &str) -> BTreeSet<String> {
    let here = operator.local.host(capability).map(|_| operator.node.clone());
    let peers = operator.remote.as_ref().map(|remote| remote.members().all()).unwrap_or_default();
    let elsewhere = peers.iter().filter(|peer| peer.heartbeat().capabilities.contains_key(capability));
    here.into_iter().chain(elsewhere.map(|peer| peer.name.to_string())).collect()
}

/// The node of a host as the log knows it.
fn node_of(host: &str) -> String {
    host.rsplit_once('/').map_or(host, |(node, _)| node).into()
}
