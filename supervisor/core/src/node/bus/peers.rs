//! The bus as the port by which durable work hears of the other nodes.

use essaim_durable::ports::Peers;

use super::Bus;

impl Peers for Bus {
    fn hosts(&self, node: &str, capability: &str) -> bool {
        self.remote().is_some_and(|remote| remote.members().hosts(node, capability))
    }
}
