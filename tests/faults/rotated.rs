//! A secret that is introduced, replaced and taken out while customers are at work: each step restarts a node at a time, and costs
//! nobody anything.

use super::stage::Stage;

const FIRST: &str = "the first secret of more than 32 characters";
const SECOND: &str = "the second secret of more than 32 characters";

/// The steps of docs/security.md, one after the other: what each node gets at its restart.
const STEPS: [&[(&str, &str)]; 4] = [
    &[("bridge.secret", FIRST), ("bridge.unsigned", "accept")],
    // The end of the introduction, and the first step of the replacement.
    &[("bridge.unsigned", "refuse"), ("bridge.old_secrets", SECOND)],
    &[("bridge.secret", SECOND), ("bridge.old_secrets", FIRST)],
    &[("bridge.old_secrets", "[]")],
];

#[test]
fn a_secret_is_introduced_and_replaced_under_load_and_nobody_notices() {
    // Long enough that a customer who has just seen that a gateway is ready is served by it, on a busy machine too.
    let mut stage = Stage::replicated(&[], |c| c.set("drain.announce_ms", 2_000));
    let load = stage.load();
    for step in STEPS {
        for node in ["shop-1", "identity-1", "shop-2", "identity-2", "front-1", "front-2"] {
            let restarted = stage.cluster.node(node);
            step.iter().for_each(|(key, value)| restarted.set(key, value));
            restarted.stop();
            restarted.restart();
            stage.all_hear_all();
            load.served_more(20, 5);
        }
    }
    let told = load.stop();
    told.all_was_served();
    stage.is_as_told(&told);
    for node in stage.cluster.running() {
        let status = node.admin().get("/status").is(200);
        for why in ["untagged", "unknown_secret", "forged"] {
            assert_eq!(status["refused_frames"][why], 0, "{}: {why}", node.name());
            assert_eq!(status["refused_messages"][why], 0, "{}: {why}", node.name());
        }
    }
}
