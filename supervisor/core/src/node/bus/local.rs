//! Handlers of this node, by message type and by wire name, and what heartbeats report of them.

use std::any::TypeId;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use essaim_base::idhash::IdHasher;
use essaim_protocol::frame::HostReport;
use essaim_remote::ports::Hosts;
use futures_util::stream::{self, LocalBoxStream, StreamExt};

use crate::local::host::Host;
use crate::local::supervision::Health;
use crate::node::operators::SystemAsks;

/// The capabilities hosted in this node with their handlers.
pub struct LocalHandlers {
    /// The runtime's own asks, which heartbeats declare with each host's.
    system_asks: Arc<dyn SystemAsks>,
    hosts: Vec<Arc<Host>>,
    by_type: HashMap<TypeId, HandlerRef, BuildHasherDefault<IdHasher>>,
    by_name: HashMap<Arc<str>, HandlerRef>,
}

/// One handler entry of a host.
#[derive(Clone)]
pub struct HandlerRef {
    pub host: Arc<Host>,
    pub entry: usize,
}

impl LocalHandlers {
    pub fn of(hosts: Vec<Arc<Host>>, system_asks: Arc<dyn SystemAsks>) -> Self {
        let (mut by_type, mut by_name) = (HashMap::default(), HashMap::new());
        for host in &hosts {
            for (entry, handled) in host.entries().iter().enumerate().filter(|(_, e)| e.kind().is_on_wire()) {
                let handler = HandlerRef { host: host.clone(), entry };
                by_type.insert(handled.info().message_type, handler.clone());
                by_name.insert(handled.name().clone(), handler);
            }
        }
        Self { system_asks, hosts, by_type, by_name }
    }

    pub fn system_asks(&self) -> &Arc<dyn SystemAsks> {
        &self.system_asks
    }

    pub fn hosts(&self) -> &[Arc<Host>] {
        &self.hosts
    }

    pub fn host(&self, capability: &str) -> Option<&Arc<Host>> {
        self.hosts.iter().find(|host| &*host.name == capability)
    }

    /// Whether its host takes asks for a capability now.
    pub fn reaches(&self, capability: &str) -> bool {
        self.host(capability).is_some_and(|h| h.supervision.admits().is_ok() && h.startup.is_done())
    }

    /// The handler of asks or broadcasts of this type.
    pub fn by_type(&self, message: TypeId) -> Option<&HandlerRef> {
        self.by_type.get(&message)
    }

    /// The handler of asks or broadcasts of this wire name.
    pub fn by_name(&self, name: &str) -> Option<&HandlerRef> {
        self.by_name.get(name)
    }

    fn report(&self, host: &Host) -> HostReport {
        HostReport {
            running: host.supervision.health() == Health::Running && host.startup.is_done(),
            load: host.admitted(),
            limit: host.limit(),
            instances: host.instances().len() as u32,
            up: host.instances_up() as u32,
            restarts: host.supervision.restarts(),
            asks: host.asks().iter().map(|a| a.to_string()).collect(),
            messages: host
                .entries()
                .iter()
                .filter(|e| e.kind().is_on_wire())
                .map(|e| e.name().to_string())
                .chain(self.system_asks.names_of(&host.name))
                .collect(),
        }
    }
}

impl Hosts for LocalHandlers {
    fn names(&self) -> Vec<Arc<str>> {
        self.hosts.iter().map(|host| host.name.clone()).collect()
    }

    fn reports(&self) -> BTreeMap<String, HostReport> {
        self.hosts.iter().map(|host| (host.name.to_string(), self.report(host))).collect()
    }

    fn changes(&self, capability: &str) -> LocalBoxStream<'static, ()> {
        let Some(host) = self.host(capability).cloned() else { return stream::empty().boxed_local() };
        let receivers = (host.supervision.watch(), host.startup.watch());
        let next_change = async |(host, (mut health, mut startup)): (Arc<Host>, (_, _))| {
            let changed = tokio::select! {
                changed = tokio::sync::watch::Receiver::changed(&mut health) => changed,
                changed = tokio::sync::watch::Receiver::changed(&mut startup) => changed,
            };
            changed.ok().map(|()| ((), (host, (health, startup))))
        };
        stream::unfold((host, receivers), next_change).boxed_local()
    }
}
