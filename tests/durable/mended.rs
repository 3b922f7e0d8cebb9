//! Dead letters that are rehearsed, mended and replayed: with a database of either kind, without one, on either log.

use essaim::config::Settings;
use serde_json::{Value, json};

use super::kiosk::{Doings, Parcel, Sale};
use super::probe::Probe;
use super::stage::Stage;
use crate::support::{Database, Postgres, Redis, Scratch, eventually};

/// The exit code of what cannot be done with what was given.
const DATA: i32 = 65;
const UNAVAILABLE: i32 = 69;
/// How long a handler may take: long on a busy machine for those that end.
const HANDLER_MS: u64 = 3_000;

/// The kiosk and what is about it, with the tables of the kiosk's database.
struct Shop {
    stage: Stage,
    doings: Doings,
    probe: Probe,
    database: Option<Database>,
    files: Scratch,
}

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Sqlite,
    SqliteOverRedis,
    Postgres,
    PostgresOverRedis,
}

impl Shop {
    fn open(way: Way) -> Self {
        let (probe, doings) = (Probe::default(), Doings::default());
        let is_on = |ways: &[Way]| ways.contains(&way);
        let database = is_on(&[Way::Postgres, Way::PostgresOverRedis]).then(|| Postgres::shared().database());
        let url = database.as_ref().map(|database| database.url().to_string());
        let settings = move |settings: &mut Settings| {
            settings.durable.handler_timeout_ms = HANDLER_MS;
            let kiosk = settings.capabilities.entry("kiosk".into()).or_default();
            kiosk.instances = 1;
            kiosk.database = url.clone().unwrap_or_default();
        };
        let redis = is_on(&[Way::SqliteOverRedis, Way::PostgresOverRedis]).then(Redis::start);
        let nodes: &[(&str, &[&str])] = match redis {
            Some(_) => &[("near", &["bell", "press"]), ("far", &["kiosk", "post"])],
            None => &[("all", &["bell", "press", "kiosk", "post"])],
        };
        let stage = Stage::mending(&probe, &doings, nodes, redis, settings);
        Self { stage, doings, probe, database, files: Scratch::new("payload") }
    }

    /// A letter of a sale.
    fn dead_sale(&self, what: &str, pieces: u64) -> String {
        let sale = Sale { to: "ann".into(), what: what.into(), pieces, pin: "4711".into(), note: None };
        let id = self.stage.send(sale);
        self.stage.dead(1);
        self.stage.at_rest();
        id
    }

    /// A file with a payload.
    fn file(&self, payload: &str) -> String {
        let path = self.files.join("payload.json");
        std::fs::write(&path, payload).expect("it is written");
        path.display().to_string()
    }

    /// What one row with one column says.
    fn sql(&self, sql: &str) -> String {
        match &self.database {
            Some(database) => Postgres::shared().sql(database.name(), &format!("SET search_path TO kiosk; {sql}")),
            None => self.stage.sql("kiosk", sql),
        }
        .trim()
        .to_string()
    }

    /// All that must be the same after a rehearsal.
    fn world(&self) -> Value {
        const TABLES: [&str; 6] =
            ["sales", "essaim_inbox", "essaim_outbox", "essaim_parked", "essaim_dead", "essaim_fence"];
        let rows: Vec<_> = TABLES.iter().map(|table| self.sql(&format!("SELECT count(*) FROM {table}"))).collect();
        let fences = self.sql("SELECT sum(epoch) + sum(handled) * 1000 FROM essaim_fence");
        let letters = self.stage.json(&["dead", "list"])["letters"].clone();
        let kiosk = self.stage.json(&["status"])["capabilities"]["kiosk"].clone();
        let counts = json!([kiosk["messages"]["outcomes"], kiosk["restarts"], kiosk["panics"], kiosk["health"]]);
        json!([rows, fences, letters, self.stage.at_rest()["lines"], self.probe.applied(), counts, self.records()])
    }

    /// How many records of the kiosk's messages there are.
    fn records(&self) -> usize {
        self.stage.records("capability=kiosk")
    }

    fn rehearsed(&self, id: &str, capability: &str, payload: Option<&str>) -> Value {
        let question = json!({ "id": id, "capability": capability, "payload": payload });
        self.stage.ask("/durable/dead/rehearse", question)
    }
}

macro_rules! each_way {
    ($($case:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[test] fn $case() { super::$case(super::Way::Sqlite); })+
        }
        mod on_sqlite_over_redis {
            $(#[test] fn $case() { super::$case(super::Way::SqliteOverRedis); })+
        }
        mod on_postgres {
            $(#[test] fn $case() { super::$case(super::Way::Postgres); })+
        }
        mod on_postgres_over_redis {
            $(#[test] fn $case() { super::$case(super::Way::PostgresOverRedis); })+
        }
    };
}

each_way!(a_letter_is_rehearsed_mended_and_replayed_once, a_payload_that_cannot_be_changes_nothing);

const MENDED: &str =
    r#"{ "to": "ann", "what": "tea", "pieces": 18014398509481985, "pin": "(hidden 1)", "note": null }"#;

fn a_letter_is_rehearsed_mended_and_replayed_once(way: Way) {
    let shop = Shop::open(way);
    let id = shop.dead_sale("tea", 0);
    let shown = shop.stage.json(&["dead", "show", &id]);
    assert_eq!(shown[0]["payload"]["json"]["pin"], "(hidden 1)");
    let editable: Value = serde_json::from_str(shown[0]["editable"].as_str().expect("it can be edited")).expect("JSON");
    assert_eq!(editable, shown[0]["payload"]["json"]);
    let before = shop.world();
    assert!(before[6].as_u64().is_some_and(|records| records > 0), "those of the attempt that failed: {before:#}");
    let in_vain = shop.stage.essaim(&["dead", "rehearse", &id]);
    assert_eq!(in_vain.code, Some(DATA), "{}", in_vain.text);
    assert!(in_vain.text.contains("It would be rejected, and die again: nothing to sell"), "{}", in_vain.text);
    assert_eq!(shop.world(), before);

    let rehearsed = shop.rehearsed(&id, "kiosk", Some(MENDED));
    assert_eq!((&rehearsed["outcome"], &rehearsed["why"]), (&json!("succeeds"), &Value::Null), "{rehearsed:#}");
    let transaction = &rehearsed["transactions"][0];
    assert_eq!((transaction["commits"].as_bool(), rehearsed["transactions"][1].as_object()), (Some(true), None));
    let statements = transaction["statements"].as_array().expect("a list");
    assert!(statements[0]["sql"].as_str().is_some_and(|sql| sql.starts_with("INSERT INTO sales")), "{statements:?}");
    assert_eq!((&statements[0]["values"], &statements[0]["rows"]), (&json!(4), &json!(1)), "{statements:?}");
    assert_eq!((statements.len(), &statements[1]["rows"]), (2, &json!(1)), "{statements:?}");
    assert!(!rehearsed.to_string().contains("4711"), "{rehearsed}");
    let sends = rehearsed["sends"].as_array().expect("a list");
    let sends: Vec<_> = sends.iter().map(|s| (s["kind"].as_str(), s["name"].as_str(), &s["payload"]["json"])).collect();
    let (shout, sold, ring) = (json!({ "what": "tea" }), json!({ "what": "tea" }), json!({ "why": "tea" }));
    let expected = [
        (Some("broadcast"), Some("kiosk.shout.v1"), &shout),
        (Some("event"), Some("shop.sold.v1"), &sold),
        (Some("command"), Some("bell.ring.v1"), &ring),
    ];
    assert_eq!(sends, expected);
    assert_eq!(shop.world(), before, "nothing of it remains");

    let file = shop.file(MENDED);
    let told = shop.stage.essaim(&["dead", "rehearse", &id, "--payload", &file]);
    assert_eq!(told.code, Some(0), "{}", told.text);
    assert!(told.text.contains("It would be applied.") && told.text.contains("would send the command bell.ring.v1"));
    assert_eq!(shop.world(), before);
    let replayed = shop.stage.essaim(&["dead", "replay", &id, "--payload", &file, "--yes"]);
    assert_eq!(replayed.code, Some(0), "{}", replayed.text);
    assert!(replayed.text.contains("replayed 1 letter"), "{}", replayed.text);
    eventually("the bell", || shop.probe.applied().contains(&"bell: tea".to_string()).then_some(()));
    shop.stage.dead(0);
    shop.stage.at_rest();
    assert_eq!(shop.sql("SELECT count(*) FROM sales"), "1");
    assert_eq!(shop.sql("SELECT pieces FROM sales"), "18014398509481985", "a number is what was written");
    assert_eq!(shop.sql("SELECT pin FROM sales"), "4711", "what is hidden stays as it was");
    let balanced = shop.stage.essaim(&["ledger", "--at-rest"]);
    assert_eq!(balanced.code, Some(0), "{}", balanced.text);
    // Neither the state nor the near cache knows of what was rehearsed.
    let last = shop.doings.all().pop();
    assert_eq!(last.as_deref(), Some("tea of 18014398509481985 as number 1, known: false"));
    assert_eq!(shop.probe.applied().iter().filter(|what| *what == "bell: tea").count(), 1);
}

fn a_payload_that_cannot_be_changes_nothing(way: Way) {
    let shop = Shop::open(way);
    let id = shop.dead_sale("tea", 0);
    let before = shop.world();
    let sale = |change: &str| format!(r#"{{ "to": "ann", "what": "tea", "pieces": 2, "pin": "(hidden 1)" {change} }}"#);
    let long = sale(&format!(r#", "note": "{}""#, "x".repeat(600 << 10)));
    for (payload, expected) in [
        ("{ \"to\"", "it is no JSON"),
        (r#"{ "to": "ann", "what": "tea", "pieces": "two", "pin": "1" }"#, "`pieces`: invalid type: string \"two\""),
        (r#"{ "to": "ann", "what": "tea", "pin": "1" }"#, "missing field `pieces`"),
        (&sale(r#", "nota": "x""#), "it has no field `nota`"),
        (r#"{ "to": "bob", "what": "tea", "pieces": 2, "pin": "1" }"#, "changes the message's key from `ann` to `bob`"),
        (
            r#"{ "to": "ann", "what": "tea", "pieces": 2, "pin": "(hidden 2)" }"#,
            "nothing is hidden behind \"(hidden 2)\"",
        ),
        (&long, "are read at most"),
    ] {
        let replay = json!({ "ids": [id], "capability": "kiosk", "payload": payload });
        let letter = json!({ "id": id, "capability": "kiosk", "payload": payload });
        for (path, question) in [("check", letter.clone()), ("rehearse", letter), ("replay", replay)] {
            let answer = shop.stage.admin().post(&format!("/durable/dead/{path}"), question);
            let why = answer["error"].as_str().unwrap_or_default();
            assert_eq!(answer.status, 422, "{path} {expected}: {}", answer.text);
            assert!(why.contains(expected) && why.contains("nothing was done"), "{path}: {why}");
        }
    }
    let wrong = shop.file(r#"{ "to": "ann", "what": "tea", "pieces": "two", "pin": "1" }"#);
    let refused = shop.stage.essaim(&["dead", "replay", &id, "--payload", &wrong, "--yes"]);
    assert_eq!(refused.code, Some(DATA), "{}", refused.text);
    assert!(refused.text.contains("`pieces`: invalid type"), "{}", refused.text);
    let several = json!({ "ids": [id, "x/1"], "capability": "kiosk", "payload": "{}" });
    let answer = shop.stage.admin().post("/durable/dead/replay", several).is(400);
    assert!(answer.text.contains("a payload is for one letter"), "{}", answer.text);
    let checked = json!({ "id": id, "capability": "kiosk", "payload": sale("") });
    assert_eq!(shop.stage.ask("/durable/dead/check", checked), json!({ "changes": ["pieces"] }));
    assert_eq!(shop.world(), before);
    assert_eq!(shop.stage.acts(), [""; 0], "what is refused before anything is done is no act");
}

#[test]
fn a_letter_of_a_capability_without_a_database_is_rehearsed_and_mended_on_either_log() {
    for way in [Way::Sqlite, Way::SqliteOverRedis] {
        let shop = Shop::open(way);
        let id = shop.stage.send(Parcel { to: "bob".into(), grams: 0 });
        shop.stage.dead(1);
        let before = shop.world();
        assert_eq!(shop.rehearsed(&id, "post", None)["why"], "it is empty");
        let mended = r#"{ "to": "bob", "grams": 500 }"#;
        let rehearsed = shop.rehearsed(&id, "post", Some(mended));
        assert_eq!((&rehearsed["outcome"], &rehearsed["transactions"]), (&json!("succeeds"), &json!([])));
        assert_eq!(rehearsed["sends"][0]["payload"]["json"], json!({ "why": "500 grams" }), "{rehearsed:#}");
        assert_eq!(shop.world(), before, "nothing of it remains");
        let file = shop.file(mended);
        let replayed = shop.stage.essaim(&["dead", "replay", &id, "--payload", &file, "--yes"]);
        assert_eq!(replayed.code, Some(0), "{}", replayed.text);
        eventually("the bell", || (shop.probe.applied() == ["bell: 500 grams"]).then_some(()));
        shop.stage.dead(0);
        shop.stage.at_rest();
        assert_eq!(shop.stage.essaim(&["ledger", "--at-rest"]).code, Some(0));
        assert_eq!(shop.doings.all().iter().filter(|what| *what == "carried 500 grams").count(), 2, "once for real");
    }
}

#[test]
fn a_rehearsal_asks_for_real_only_what_may_be_repeated() {
    let shop = Shop::open(Way::Sqlite);
    let id = shop.dead_sale("a stamp", 0);
    let with = |what: &str| format!(r#"{{ "to": "ann", "what": "{what}", "pieces": 2, "pin": "(hidden 1)" }}"#);
    let stopped = shop.rehearsed(&id, "kiosk", Some(&with("a stamp")));
    assert_eq!((&stopped["outcome"], &stopped["why"]), (&json!("stops"), &json!("press.stamp.v1")), "{stopped:#}");
    assert_eq!(stopped["asks"], json!([{ "name": "press.stamp.v1", "was_sent": false }]));
    let priced = shop.rehearsed(&id, "kiosk", Some(&with("a price")));
    assert_eq!(priced["outcome"], "succeeds", "{priced:#}");
    assert_eq!(priced["asks"], json!([{ "name": "press.price.v1", "was_sent": true }]));
    let asked: Vec<_> = shop.doings.all().into_iter().filter(|what| !what.contains(" as number ")).collect();
    assert_eq!(asked, ["price"]);
}

#[test]
fn a_handler_that_panics_in_rehearsals_takes_nothing_down() {
    let shop = Shop::open(Way::Sqlite);
    let id = shop.dead_sale("a panic", 0);
    let panics = MENDED.replace("tea", "a panic");
    let before = shop.world();
    for _ in 0..20 {
        let panicked = shop.rehearsed(&id, "kiosk", Some(&panics));
        assert_eq!((&panicked["outcome"], &panicked["why"]), (&json!("panics"), &json!("asked to")), "{panicked:#}");
    }
    assert_eq!(shop.world(), before);
    assert_eq!(shop.rehearsed(&id, "kiosk", Some(MENDED))["outcome"], "succeeds");
}

#[test]
fn a_handler_that_does_not_end_is_dropped_at_the_deadline_that_it_has_in_earnest() {
    let shop = Shop::open(Way::Sqlite);
    let id = shop.dead_sale("a nap", 0);
    let before = shop.world();
    let slow = shop.rehearsed(&id, "kiosk", Some(&MENDED.replace("tea", "a nap")));
    assert_eq!(slow["outcome"], "times_out", "{slow:#}");
    assert!(slow["why"].as_str().is_some_and(|why| why.contains("still running after")), "{slow:#}");
    let took_ms = slow["took_us"].as_u64().expect("a number") / 1_000;
    assert!((HANDLER_MS..HANDLER_MS + 900).contains(&took_ms), "{took_ms}");
    assert_eq!(shop.world(), before);
    assert_eq!(shop.rehearsed(&id, "kiosk", Some(MENDED))["outcome"], "succeeds");
}

#[test]
fn what_postgres_checks_at_the_commit_is_checked_in_a_rehearsal() {
    let shop = Shop::open(Way::Postgres);
    let id = shop.dead_sale("tea", 0);
    shop.sql("INSERT INTO sales VALUES ('ann', 'tea', 1, '1')");
    let rehearsed = shop.rehearsed(&id, "kiosk", Some(MENDED));
    assert_eq!(rehearsed["outcome"], "fails", "{rehearsed:#}");
    assert!(rehearsed["why"].as_str().is_some_and(|why| why.contains("duplicate key")), "{rehearsed:#}");
    assert_eq!(shop.sql("SELECT count(*) FROM sales"), "1");
}

#[test]
fn a_rehearsal_says_when_nobody_could_do_it() {
    let mut shop = Shop::open(Way::SqliteOverRedis);
    let id = shop.dead_sale("tea", 0);
    let unknown = shop.stage.essaim(&["dead", "rehearse", "nightly/1"]);
    assert_eq!(unknown.code, Some(DATA), "{}", unknown.text);
    let question = json!({ "id": "nightly/1", "capability": "kiosk" });
    let gone = shop.stage.admin().post("/durable/dead/rehearse", question).is(400);
    assert!(gone.text.contains("keeps no dead letter `nightly/1`"), "{}", gone.text);
    shop.stage.leave();
    let away = shop.stage.essaim(&["dead", "rehearse", &id, "--capability", "kiosk"]);
    assert_eq!(away.code, Some(UNAVAILABLE), "{}", away.text);
    assert!(away.text.contains("`kiosk` did not answer"), "{}", away.text);
}

#[test]
fn a_database_that_does_not_answer_is_named() {
    let mut postgres = Postgres::start();
    let database = postgres.database();
    let (probe, doings, url) = (Probe::default(), Doings::default(), database.url().to_string());
    let settings = move |settings: &mut Settings| {
        settings.capabilities.entry("kiosk".into()).or_default().database = url.clone();
    };
    let stage = Stage::mending(&probe, &doings, &[("all", &["bell", "press", "kiosk", "post"])], None, settings);
    let id = stage.send(Sale { to: "ann".into(), what: "tea".into(), pieces: 0, pin: "1".into(), note: None });
    stage.dead(1);
    postgres.kill();
    let away = stage.essaim(&["dead", "rehearse", &id, "--capability", "kiosk"]);
    assert_eq!(away.code, Some(UNAVAILABLE), "{}", away.text);
    assert!(away.text.contains("`kiosk` did not answer"), "{}", away.text);
}
