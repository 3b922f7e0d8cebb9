//! What is compared with what.

use crate::Error;
use crate::compare::{Aim, Comparison, Measure, table};
use crate::server::Redis;

pub const NAMES: &[&str] = &["local", "remote", "durable", "requests", "start", "records"];

/// The table of these suites, or of all if none is named.
pub fn run(names: &[String], rounds: usize) -> Result<String, Error> {
    let wanted = |name: &&&str| names.is_empty() || names.iter().any(|n| n == **name);
    let suites: Vec<_> = NAMES.iter().filter(wanted).collect();
    let redis = suites.iter().any(|suite| matches!(**suite, "remote" | "records")).then(Redis::start).transpose()?;
    let mut comparisons = Vec::new();
    let mut measures = Vec::new();
    for suite in suites {
        match *suite {
            "local" => comparisons.extend(local()),
            "remote" => comparisons.extend(REMOTE),
            "durable" => {
                comparisons.extend(DURABLE);
                measures.extend(HANDOVER);
            }
            "requests" => comparisons.extend(REQUESTS),
            "records" => comparisons.extend(RECORDS.into_iter().flatten()),
            _ => measures.extend(START),
        }
    }
    table(&comparisons, &measures, rounds, redis.as_ref().map(Redis::url).as_deref())
}

const PER_SECOND: &str = "requests/s";
const MILLIONS: &str = "M asks/s";

fn local() -> Vec<Comparison> {
    let ours: &[&str] = &["local", "essaim"];
    let against = |with, theirs, aim| Comparison {
        what: "ask in one thread, 256 in flight",
        unit: MILLIONS,
        ours,
        with,
        theirs,
        aim,
    };
    let mut all = vec![against("bare actix, mailbox 1024", &["local", "actix"], Aim::AtLeast(0.75))];
    if cfg!(feature = "peers") {
        all.push(against("ractor", &["local", "ractor"], Aim::AtLeast(1.0)));
        all.push(against("kameo", &["local", "kameo"], Aim::AtLeast(1.0)));
    }
    all
}

const REMOTE: [Comparison; 2] = [
    Comparison {
        what: "ask over Redis, one at a time, p50",
        unit: "µs",
        ours: &["remote", "essaim", "1"],
        with: "bare redis crate, PUBLISH and back",
        theirs: &["remote", "redis", "1"],
        aim: Aim::AtMost(1.25),
    },
    Comparison {
        what: "ask over Redis, 256 in flight",
        unit: "k asks/s",
        ours: &["remote", "essaim", "256"],
        with: "bare redis crate, pipelined PUBLISHes",
        theirs: &["remote", "redis", "256"],
        aim: Aim::AtLeast(1.5),
    },
];

const THOUSANDS: &str = "k messages/s";
const BARE_STREAM: &str = "bare redis crate, XADD, XREADGROUP, XACK in batches";

const DURABLE: [Comparison; 7] = [
    Comparison {
        what: "durable command over Redis, empty handler, everysec",
        unit: THOUSANDS,
        ours: &["durable", "essaim", "everysec"],
        with: BARE_STREAM,
        theirs: &["durable", "bare", "everysec"],
        aim: Aim::AtLeast(0.6),
    },
    Comparison {
        what: "durable command over Redis, empty handler, always",
        unit: THOUSANDS,
        ours: &["durable", "essaim", "always"],
        with: BARE_STREAM,
        theirs: &["durable", "bare", "always"],
        aim: Aim::AtLeast(0.6),
    },
    Comparison {
        what: "durable command over Redis, handler with a transaction on SQLite, everysec",
        unit: THOUSANDS,
        ours: &["durable", "essaim", "sqlite"],
        with: BARE_STREAM,
        theirs: &["durable", "bare", "everysec"],
        aim: Aim::AtLeast(0.05),
    },
    Comparison {
        what: "durable command over Redis, handler with a transaction on PostgreSQL, everysec",
        unit: THOUSANDS,
        ours: &["durable", "essaim", "postgres"],
        with: BARE_STREAM,
        theirs: &["durable", "bare", "everysec"],
        aim: Aim::Open,
    },
    Comparison {
        what: "durable command, embedded log, empty handler",
        unit: THOUSANDS,
        ours: &["durable", "essaim", "embedded"],
        with: "bare SQLite, 256 rows a transaction",
        theirs: &["durable", "bare", "embedded"],
        aim: Aim::Open,
    },
    Comparison {
        what: "durable command over Redis until it is handled, one at a time, p50",
        unit: "µs",
        ours: &["durable", "essaim", "p50"],
        with: "bare redis crate, XADD until it is read",
        theirs: &["durable", "bare", "p50"],
        aim: Aim::Open,
    },
    Comparison {
        what: "the same, p99",
        unit: "µs",
        ours: &["durable", "essaim", "p99"],
        with: "bare redis crate, XADD until it is read",
        theirs: &["durable", "bare", "p99"],
        aim: Aim::Open,
    },
];

const HANDOVER: [Measure; 3] = [
    Measure { what: "a partition stands still, its host killed", unit: "ms", case: &["durable", "handover", "killed"] },
    Measure { what: "the same, a host told to leave", unit: "ms", case: &["durable", "handover", "left"] },
    Measure { what: "the same, another host come", unit: "ms", case: &["durable", "handover", "joined"] },
];

const REQUESTS: [Comparison; 2] = [
    Comparison {
        what: "GET /products/{id}, cached",
        unit: PER_SECOND,
        ours: &["requests", "essaim", "get"],
        with: "bare actix-web, the same JSON",
        theirs: &["requests", "bare", "get"],
        aim: Aim::AtLeast(0.6),
    },
    Comparison {
        what: "POST /orders",
        unit: PER_SECOND,
        ours: &["requests", "essaim", "post"],
        with: "bare actix-web and sea-orm, one row",
        theirs: &["requests", "bare", "post"],
        aim: Aim::AtLeast(0.3),
    },
];

/// A case with records by default and with every record kept, against the same with none.
macro_rules! with_records {
    ($what:literal, $unit:expr, $($case:literal),+) => {
        [
            Comparison {
                what: concat!($what, ", records by default"),
                unit: $unit,
                ours: &["records", "default", $($case),+],
                with: "no records",
                theirs: &["records", "off", $($case),+],
                aim: Aim::AtLeast(0.9),
            },
            Comparison {
                what: concat!($what, ", every record kept"),
                unit: $unit,
                ours: &["records", "all", $($case),+],
                with: "no records",
                theirs: &["records", "off", $($case),+],
                aim: Aim::Open,
            },
        ]
    };
}

const RECORDS: [[Comparison; 2]; 4] = [
    with_records!("ask in one thread", MILLIONS, "local", "essaim"),
    with_records!("ask over Redis, 256 in flight", "k asks/s", "remote", "essaim", "256"),
    with_records!("durable command, embedded log, empty handler", THOUSANDS, "durable", "essaim", "embedded"),
    with_records!("durable command over Redis, empty handler", THOUSANDS, "durable", "essaim", "everysec"),
];

const START: [Measure; 3] = [
    Measure { what: "first start to ready, new databases", unit: "ms", case: &["start", "first"] },
    Measure { what: "start to ready", unit: "ms", case: &["start", "again"] },
    Measure { what: "resident memory, idle", unit: "MiB", case: &["start", "memory"] },
];
