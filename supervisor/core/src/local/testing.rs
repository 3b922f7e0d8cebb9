//! A desk for tests of single parts: a capability with one ask, a host of it that has no actor, and a bus over hosts.

use std::sync::Arc;

use essaim_base::Env;
use essaim_base::task::Tasks;
use essaim_config::{Settings, SupervisionConfig};
use essaim_contract::{Ask, Capability, Message, Never};
use essaim_near::Near;
use essaim_trace::Recorder;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::local::handler::AskEntry;
use crate::local::host::Host;
use crate::local::instance::InstanceHandle;
use crate::local::mailbox::Mailbox;
use crate::local::supervision::Supervision;
use crate::node::bus::{Bus, BusParts, LocalHandlers};
use crate::node::near_bounds;
use crate::node::operators::NoAsks;

pub struct Desk;
impl Capability for Desk {
    const NAME: &'static str = "desk";
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Serve(pub u32);
impl Message for Serve {
    type To = Desk;
    const NAME: &'static str = "serve";
    const VERSION: u16 = 1;
}
impl Ask for Serve {
    type Reply = u32;
    type Error = Never;
}

/// A running host with so many instances, which nobody serves, and so many permits.
pub fn host(instances: usize, limit: u32) -> Host {
    let name: Arc<str> = Desk::NAME.into();
    let fatal = watch::channel(None).0;
    let supervision = Supervision::new(name.clone(), SupervisionConfig::default(), Env::system(), fatal);
    supervision.started();
    let instances = (0..instances).map(|_| InstanceHandle::new(0, Arc::default(), Mailbox::default()));
    let host = Host::new(name, supervision, &[], vec![Arc::new(AskEntry::<Serve>::of_type())], 0, instances, limit);
    host.instances().iter().for_each(|instance| instance.set_up(true));
    host
}

/// A bus over these hosts, without other nodes and without a log.
pub fn bus(hosts: Vec<Arc<Host>>) -> Arc<Bus> {
    let (env, settings) = (Env::system(), Arc::new(Settings::default()));
    let tasks = Tasks::new(env.clone(), settings.supervision.backoff(), watch::channel(None).0);
    let near = Near::new(near_bounds(&settings.near), env.clone());
    let local = Arc::new(LocalHandlers::of(hosts, Arc::new(NoAsks)));
    let watchdog = Arc::default();
    let recorder = Recorder::new("n", &settings.trace, &env, 1);
    let (config, remote, durable, log_file) = (Arc::default(), None, None, None);
    let parts = BusParts { env, settings, config, near, watchdog, tasks, recorder, local, remote, durable, log_file };
    Arc::new(Bus::new(parts))
}
