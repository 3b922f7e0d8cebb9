//! What is shown of a status, and how.

use std::collections::BTreeMap;

use essaim::api::DurableReport;
use essaim::store::DatabaseReport;
use essaim::{CapabilityStatus, Health, MemberCapability, MemberStatus, NodeState, NodeStatus, TaskState, TaskStatus};

use super::super::mark::{doubtful, wrong};
use super::super::print::{columns, short, span};

/// The cluster as a table.
pub fn table(node: &NodeStatus) -> String {
    let epoch = node.epoch.map_or("-".into(), |e| e.to_string());
    let seen = format!("up {}", span(node.uptime_ms));
    let mut nodes = vec![[node.node.clone(), epoch, node.version.clone(), state(node), seen]];
    let mut capabilities = rows(node);
    for member in &node.members {
        let seen = format!("heard {} ago", span(member.heard_ms_ago));
        let (name, epoch) = (member.node.clone(), member.epoch.to_string());
        let own = match (&member.report, &member.problem, member.state) {
            (Some(report), ..) => state(report),
            (None, Some(_), _) => wrong("no report"),
            (None, None, NodeState::Ready) => "ready".into(),
            (None, None, NodeState::Draining) => doubtful("draining"),
        };
        nodes.push([name, epoch, member.version.clone(), own, seen]);
        match &member.report {
            Some(report) => capabilities.extend(rows(report)),
            None => capabilities.extend(rows_as_heard(member)),
        }
    }
    nodes.sort();
    nodes.insert(0, ["NODE", "EPOCH", "VERSION", "STATE", "SEEN"].map(String::from));
    capabilities.sort();
    let heading = [
        "CAPABILITY",
        "NODE",
        "STATE",
        "INSTANCES",
        "BUSY",
        "RESTARTS",
        "PANICS",
        "LATE",
        "WAITING",
        "DEAD",
        "DATABASE",
    ];
    capabilities.insert(0, heading.map(String::from));
    let (nodes, capabilities) = (columns(&nodes), columns(&capabilities));
    format!("{nodes}\n{capabilities}{}{}{}", reasons(node), messages(node), tasks(node))
}

fn state(node: &NodeStatus) -> String {
    let is_up = node.capabilities.values().all(|c| c.health == Health::Running);
    let is_down = |task: &TaskStatus| task.state == TaskState::Panicked;
    match () {
        () if node.draining => doubtful("draining"),
        () if is_up && node.reasons.is_empty() && !node.tasks.iter().any(is_down) => "ready".into(),
        () => wrong("not ready"),
    }
}

/// The capabilities of a node that tells of itself.
fn rows(node: &NodeStatus) -> Vec<[String; 11]> {
    let row = |(name, c): (&String, &CapabilityStatus)| {
        [
            name.clone(),
            node.node.clone(),
            health(&c.health),
            up_of(c.up as u64, c.instances as u64),
            busy_of(c.admitted, c.limit),
            c.restarts.to_string(),
            c.panics.to_string(),
            c.missed_deadlines.to_string(),
            c.durable.as_ref().map_or("-".into(), waiting),
            c.durable.as_ref().map_or("-".into(), |d| where_any(d.dead, doubtful)),
            c.database.as_ref().map_or("-".into(), database),
        ]
    };
    node.capabilities.iter().map(row).collect()
}

fn health(health: &Health) -> String {
    match health {
        Health::Running => "running".into(),
        Health::Starting { reason } if reason.is_empty() => doubtful("starting"),
        Health::Starting { reason } => doubtful(&format!("starting: {}", short(reason))),
        Health::Failed { reason } if reason.is_empty() => wrong("failed"),
        Health::Failed { reason } => wrong(&format!("failed: {}", short(reason))),
    }
}

/// Instances that are up, of all.
fn up_of(up: u64, all: u64) -> String {
    let text = format!("{up}/{all}");
    if up < all { doubtful(&text) } else { text }
}

/// Messages that were admitted, of those that may be; a mailbox that is full refuses the next.
fn busy_of(admitted: u32, limit: u32) -> String {
    let text = format!("{admitted}/{limit}");
    if admitted >= limit && limit > 0 { wrong(&text) } else { text }
}

fn where_any(count: u64, mark: fn(&str) -> String) -> String {
    if count > 0 { mark(&count.to_string()) } else { count.to_string() }
}

/// The capabilities of a node that gives no report: its heartbeats do not tell the rest.
fn rows_as_heard(member: &MemberStatus) -> Vec<[String; 11]> {
    let row = |(name, c): (&String, &MemberCapability)| {
        let state = if c.running { "running".into() } else { wrong("not running") };
        let (instances, busy) = (up_of(c.up.into(), c.instances.into()), busy_of(c.load, c.limit));
        let (node, restarts) = (member.node.clone(), c.restarts.to_string());
        let [panics, late, waiting, dead, database] = ["?"; 5].map(String::from);
        [name.clone(), node, state, instances, busy, restarts, panics, late, waiting, dead, database]
    };
    member.capabilities.iter().map(row).collect()
}

/// Why nodes are not well, where any is not.
fn reasons(node: &NodeStatus) -> String {
    let mut rows = vec![["NOT WELL", "WHY"].map(String::from)];
    let own = |node: &NodeStatus| node.reasons.iter().map(|why| [node.node.clone(), wrong(why)]).collect::<Vec<_>>();
    rows.extend(own(node));
    for member in &node.members {
        rows.extend(member.report.as_deref().into_iter().flat_map(own));
        let silent = |why: &String| [member.node.clone(), wrong(&format!("gives no report: {why}"))];
        rows.extend(member.problem.iter().map(silent));
    }
    if rows.len() == 1 { String::new() } else { format!("\n{}", columns(&rows)) }
}

/// The tasks of the runtime that have panicked, if any have.
fn tasks(node: &NodeStatus) -> String {
    let mut rows = vec![["TASK", "OF", "STATE", "RESTARTS", "LAST PANIC"].map(String::from)];
    let is_told = |task: &&TaskStatus| task.restarts > 0 || task.state == TaskState::Panicked;
    for task in node.reports().flat_map(|node| &node.tasks).filter(is_told) {
        let state = match task.state {
            TaskState::Running => "running".into(),
            TaskState::Ended => "ended".into(),
            TaskState::Panicked => wrong("panicked"),
        };
        let panic = task.last_panic.iter().flat_map(|panic| panic.lines()).next().map(short).unwrap_or_default();
        rows.push([task.name.clone(), task.owner.clone(), state, task.restarts.to_string(), panic]);
    }
    if rows.len() == 1 { String::new() } else { format!("\n{}", columns(&rows)) }
}

/// Table of durable messages by capability, where any were ever sent; apart, since one table for all would be too wide.
fn messages(node: &NodeStatus) -> String {
    let heading = ["MESSAGES OF", "APPENDED", "HANDLED", "DUPLICATES", "DIED", "EXPIRED", "IN FLIGHT", "DIFFERENCE"];
    let mut rows = vec![heading.map(String::from)];
    // Each host of a capability counts all messages of the capability, so one report for each is enough.
    let of_all = node.reports().flat_map(|node| &node.capabilities);
    let ledgers = of_all.filter_map(|(name, capability)| Some((name, &capability.durable.as_ref()?.ledger)));
    for (name, ledger) in ledgers.collect::<BTreeMap<_, _>>() {
        if ledger.appended == 0 && ledger.balances && ledger.gaps == 0 {
            continue;
        }
        let difference = match (ledger.approximate, ledger.balances) {
            (true, _) => format!("about {}", ledger.difference),
            (false, false) if ledger.difference == 0 => wrong("0, but not in each partition"),
            (false, false) => wrong(&ledger.difference.to_string()),
            (false, true) => ledger.difference.to_string(),
        };
        let difference = match ledger.gaps {
            0 => difference,
            _ => format!("{difference}; the log was older than the database, see `essaim ledger`"),
        };
        rows.push([
            name.clone(),
            ledger.appended.to_string(),
            ledger.handled.to_string(),
            ledger.duplicates.to_string(),
            ledger.died.to_string(),
            ledger.expired.to_string(),
            ledger.in_flight.to_string(),
            difference,
        ]);
    }
    if rows.len() == 1 { String::new() } else { format!("\n{}", columns(&rows)) }
}

fn database(database: &DatabaseReport) -> String {
    match &database.problem {
        Some(problem) => wrong(&format!("{}: {}", database.location, short(problem))),
        None => database.location.clone(),
    }
}

/// How many messages of a capability wait, in the log and in its database; a node counts an outbox only up to a bound.
fn waiting(durable: &DurableReport) -> String {
    let DurableReport { waiting, parked, outbox, .. } = durable;
    let more = if *outbox > DurableReport::OUTBOX_COUNTED { "+" } else { "" };
    format!("{}{more}", waiting + parked + outbox)
}

#[cfg(test)]
mod tests {
    use super::super::super::mark::painted;
    use super::*;

    /// The table as it is where nothing is coloured.
    fn table(node: &NodeStatus) -> String {
        painted(&super::table(node), false)
    }

    const NODE: &str = r#"{"node":"front","epoch":3,"version":"0.1.0","uptime_ms":65000,"draining":false,
        "capabilities":{"gateway":{"state":"running","instances":2,"up":2,"admitted":1,"limit":1024,"restarts":0,
            "panics":0,"missed_deadlines":0,"durable":null,"database":null,"figures":{}},
          "users":{"state":"starting","reason":"no database","instances":32,"up":0,"admitted":0,"limit":1024,
            "restarts":4,"panics":1,"missed_deadlines":6,"durable":{"waiting":2,"parked":3,"dead":1,"outbox":4,"partitions":[0],"ledger":{"appended":31,
            "handled":20,"duplicates":2,"died":3,"expired":1,"in_flight":5,"difference":0,"balances":true,
            "approximate":true}},"database":{"place":"data/users.sqlite3","problem":null},"figures":null}},
        "members":[{"node":"back","epoch":2,"version":"0.1.0","state":"ready","heard_ms_ago":120,
          "capabilities":{"orders":{"running":true,"load":3,"limit":1024,"instances":32,"up":32,"restarts":0}}}]}"#;

    #[test]
    fn the_table_shows_this_node_and_those_it_hears() {
        let expected = "\
NODE   EPOCH  VERSION  STATE      SEEN
back   2      0.1.0    ready      heard 120 ms ago
front  3      0.1.0    not ready  up 1 min 5 s

CAPABILITY  NODE   STATE                  INSTANCES  BUSY    RESTARTS  PANICS  LATE  WAITING  DEAD  DATABASE
gateway     front  running                2/2        1/1024  0         0       0     -        -     -
orders      back   running                32/32      3/1024  0         ?       ?     ?        ?     ?
users       front  starting: no database  0/32       0/1024  4         1       6     9        1     data/users.sqlite3

MESSAGES OF  APPENDED  HANDLED  DUPLICATES  DIED  EXPIRED  IN FLIGHT  DIFFERENCE
users        31        20       2           3     1        5          about 0
";
        assert_eq!(table(&serde_json::from_str(NODE).unwrap()), expected);
        let to_a_stranger = r#"{"node":"a","epoch":null,"version":"1","uptime_ms":0,"draining":false,"members":[],
            "capabilities":{"users":{"state":"failed","instances":1,"up":0,"admitted":0,"limit":8,"restarts":0,
            "panics":0}}}"#;
        let shown = table(&serde_json::from_str(to_a_stranger).unwrap());
        assert!(shown.contains("users       a     failed  0/1") && !shown.contains("MESSAGES"), "{shown}");
    }

    #[test]
    fn another_nodes_own_report_says_what_it_is_and_why() {
        let report = r#""heard_ms_ago":120,"report":{"node":"back","epoch":2,"version":"0.1.0","uptime_ms":7000,"draining":false,
            "reasons":["the database of `orders` does not work: connection refused"],"capabilities":{"orders":{"state":"running",
            "instances":32,"up":32,"admitted":3,"limit":1024,"restarts":0,"panics":5,"missed_deadlines":8,"durable":{"waiting":2,"parked":0,"dead":7,
            "outbox":0},"database":{"place":"shop","problem":"refused"}}}}"#;
        let shown = table(&serde_json::from_str(&NODE.replace(r#""heard_ms_ago":120"#, report)).unwrap());
        for expected in [
            "back   2      0.1.0    not ready  heard 120 ms ago\n",
            "orders      back   running                32/32      3/1024  0         5       8     2        7     shop: refused\n",
            "\nNOT WELL  WHY\nback      the database of `orders` does not work: connection refused\n",
        ] {
            assert!(shown.contains(expected), "{shown}");
        }
        let silent = r#""heard_ms_ago":120,"report":null,"problem":"it is not heard""#;
        let shown = table(&serde_json::from_str(&NODE.replace(r#""heard_ms_ago":120"#, silent)).unwrap());
        assert!(shown.contains("\nback      gives no report: it is not heard\n"), "{shown}");
        assert!(shown.contains("\nback   2      0.1.0    no report  heard 120 ms ago\n"), "{shown}");
    }

    #[test]
    fn an_outbox_is_counted_so_far_and_no_further() {
        let shown = |outbox| table(&serde_json::from_str(&NODE.replace("\"outbox\":4", outbox)).unwrap());
        assert!(shown("\"outbox\":10000").contains(" 10005 ") && shown("\"outbox\":10001").contains(" 10006+ "));
    }

    #[test]
    fn tasks_are_shown_that_have_panicked() {
        let tasks = r#""tasks":[{"name":"relay","owner":"users","state":"panicked","restarts":2,"last_panic":"no\nlane"},
            {"name":"sender","owner":"node","state":"running","restarts":0,"last_panic":null}],"members""#;
        let shown = table(&serde_json::from_str(&NODE.replace(r#""members""#, tasks)).unwrap());
        let expected = "\nTASK   OF     STATE     RESTARTS  LAST PANIC\nrelay  users  panicked  2         ";
        assert!(shown.contains(expected) && !shown.contains("sender"), "{shown}");
    }

    #[test]
    fn a_difference_is_told_as_exactly_as_it_is_known() {
        let shown = |old: &str, new: &str| table(&serde_json::from_str(&NODE.replace(old, new)).unwrap());
        let at_rest = shown(r#""approximate":true"#, r#""approximate":false"#);
        assert!(at_rest.ends_with(" 5          0\n"), "{at_rest}");
        let exact = r#""difference":-2,"balances":false,"approximate":false"#;
        let approximately = "\"difference\":0,\"balances\":true,\n            \"approximate\":true";
        let missing = shown(approximately, exact);
        assert!(missing.ends_with(" -2\n"), "{missing}");
        let crossed = shown(approximately, &exact.replace("-2", "0"));
        assert!(crossed.ends_with(" 0, but not in each partition\n"), "{crossed}");
        let of_an_earlier_version = shown(r#""ledger":"#, r#""unknown":"#);
        assert!(!of_an_earlier_version.contains("MESSAGES"), "{of_an_earlier_version}");
    }
}
