//! The secret that the nodes of a cluster have in common.

use essaim::config::{BridgeConfig, Unsigned};
use essaim::exit;

use super::page::Page;
use super::plan::Planned;

/// Whether each node believes the others, and nobody else.
pub fn check(nodes: &[Planned], page: &mut Page) {
    let bridge = |node: &Planned| node.config.settings.bridge.clone();
    let bridged: Vec<(&str, BridgeConfig)> =
        nodes.iter().map(|node| (node.name.as_str(), bridge(node))).filter(|(_, b)| !b.url.is_empty()).collect();
    if bridged.iter().all(|(_, bridge)| bridge.secret.is_empty()) {
        if !bridged.is_empty() {
            page.warnings.push(
                "bridge.secret is not set: whoever may publish on the bridge's server can do what an administrator can; \
                 `openssl rand -hex 32` makes one, and so does `essaim up` for the nodes that it starts (docs/security.md)"
                    .into(),
            );
        }
        return;
    }
    for (name, bridge) in &bridged {
        let refused = bridged.iter().filter(|(_, other)| !believes(bridge, &other.secret));
        let refused: Vec<_> = refused.map(|(other, _)| format!("`{other}`")).collect();
        if !refused.is_empty() {
            let those = refused.join(", ");
            page.problem(
                exit::CONFIG,
                format!(
                    "`{name}` refuses what {those} says: give them one bridge.secret, or `{name}` theirs in \
                     bridge.old_secrets (docs/security.md has the steps)"
                ),
            );
        }
        if bridge.unsigned == Unsigned::Accept {
            page.warnings.push(format!(
                "`{name}` believes what nobody has signed (bridge.unsigned = \"accept\"): only until all nodes have bridge.secret"
            ));
        }
    }
}

/// Whether a node believes one that signs with this secret, or not at all.
fn believes(bridge: &BridgeConfig, secret: &str) -> bool {
    let knows = || bridge.secret == secret || bridge.old_secrets.iter().any(|old| old == secret);
    bridge.secret.is_empty() || bridge.unsigned == Unsigned::Accept || (!secret.is_empty() && knows())
}
