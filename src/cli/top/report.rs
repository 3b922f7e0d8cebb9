//! A report for the tests of what is shown of one.

use essaim::NodeStatus;

/// A report of two nodes, one of which gives none; `front` has handled so many messages in so many seconds.
pub fn report(seconds: u64, ok: u64, failed: u64) -> NodeStatus {
    let json = serde_json::json!({
        "node": "front", "uptime_ms": seconds * 1_000,
        "capabilities": { "orders": {
            "state": "running", "instances": 4, "up": 3, "admitted": 7, "limit": 1024, "restarts": 2,
            "durable": { "waiting": 5, "parked": 1, "dead": 9 },
            "messages": { "outcomes": { "ok": ok, "failed": failed }, "ran": { "buckets": [0, 0, ok] } },
        } },
        "outages": [{ "dependency": "the log", "cause": "refused", "since_ms": 12_000 }],
        "members": [{ "node": "shop", "problem": "it is not heard" }],
    });
    serde_json::from_value(json).expect("it is a report")
}
