//! The store by itself: bounds, restarts, and files that do not work.

use std::sync::Arc;

use essaim_base::Env;
use essaim_base::outages::{Dependency, Outages};
use essaim_config::{AuditConfig, Settings};
use essaim_store::testing::Directory;

use crate::{ActEnd, Asker, AuditEntry, AuditQuestion, AuditStore, EndKind, file_of};

struct Bench {
    _directory: Directory,
    settings: Settings,
    outages: Outages,
    env: Env,
}

impl Bench {
    fn new(change: impl FnOnce(&mut AuditConfig)) -> Self {
        let (directory, mut settings, env) = (Directory::new(), Settings::default(), Env::system());
        settings.node.data_dir = directory.path().join("data");
        change(&mut settings.audit);
        Self { _directory: directory, settings, outages: Outages::new(env.clone()), env }
    }

    fn store(&self) -> Arc<AuditStore> {
        AuditStore::of(&self.settings, &self.env, &self.outages)
    }
}

fn asker(who: &str) -> Asker {
    Asker { who: who.into(), via: "token".into(), origin: "192.0.2.7".into() }
}

async fn list(store: &AuditStore, question: AuditQuestion) -> Vec<AuditEntry> {
    store.list(&AuditQuestion { most: if question.most == 0 { 100 } else { question.most }, ..question }).await.unwrap()
}

fn acts(entries: &[AuditEntry]) -> Vec<&str> {
    entries.iter().map(|entry| &*entry.act).collect()
}

#[tokio::test]
async fn an_act_and_its_end_are_known_after_a_restart_and_one_without_an_end_has_none() {
    let bench = Bench::new(|_| {});
    let store = bench.store();
    assert_eq!(list(&store, AuditQuestion::default()).await, []);
    assert!(!file_of(&bench.settings.node).exists(), "who reads makes no file");
    let id = store.begin(&asker("ann"), "drops dead letters 7").await.unwrap();
    let end = ActEnd { kind: EndKind::Done, detail: "1 of 1".into() };
    store.end(id, &end).await;
    store.begin(&asker("bob"), "retires bell").await.unwrap();
    drop(store);
    let found = list(&bench.store(), AuditQuestion::default()).await;
    assert_eq!(acts(&found), ["retires bell", "drops dead letters 7"]);
    assert_eq!((found[0].end.as_ref(), found[1].end.as_ref()), (None, Some(&end)));
    assert_eq!((&found[1].asker, &*found[1].node), (&asker("ann"), "main"));
}

#[tokio::test]
async fn acts_are_found_by_who_what_and_when_and_pages_lose_none() {
    let bench = Bench::new(|_| {});
    let store = bench.store();
    for number in 0..25 {
        let who = if number % 2 == 0 { "ann" } else { "bob" };
        store.begin(&asker(who), &format!("Drops {number}")).await.unwrap();
    }
    let of = |question: AuditQuestion| list(&store, question);
    assert_eq!(of(AuditQuestion { who: Some("bob".into()), ..Default::default() }).await.len(), 12);
    assert!(of(AuditQuestion { who: Some("bo".into()), ..Default::default() }).await.is_empty());
    assert_eq!(acts(&of(AuditQuestion { what: Some("drops 24".into()), ..Default::default() }).await), ["Drops 24"]);
    assert!(of(AuditQuestion { what: Some("%".into()), ..Default::default() }).await.is_empty(), "it is no pattern");
    let later = bench.env.wall_ms() + 60_000;
    assert!(of(AuditQuestion { since_ms: later, ..Default::default() }).await.is_empty());
    let (mut all, mut before) = (Vec::new(), None);
    loop {
        let page = of(AuditQuestion { most: 7, before: before.take(), ..Default::default() }).await;
        let Some(last) = page.last() else { break };
        before = Some(last.place());
        all.extend(page);
    }
    let expected: Vec<_> = (0..25).rev().map(|number| format!("Drops {number}")).collect();
    assert_eq!(acts(&all), expected);
}

#[tokio::test]
async fn the_file_is_bounded_and_the_oldest_go() {
    let bench = Bench::new(|audit| audit.max_bytes = 256 << 10);
    let store = bench.store();
    for number in 0..1_000 {
        store.begin(&asker("ann"), &format!("{number} {}", "x".repeat(1_000))).await.unwrap();
    }
    let bytes = std::fs::metadata(file_of(&bench.settings.node)).unwrap().len();
    assert!(bytes < 300 << 10, "{bytes}");
    let found = list(&store, AuditQuestion { most: 1_000, ..Default::default() }).await;
    assert!(found.len() > 100 && found[0].act.starts_with("999 ") && found.last().unwrap().act.len() > 1_000);
}

#[tokio::test]
async fn what_is_old_goes() {
    let bench = Bench::new(|audit| audit.keep_days = 1);
    let store = bench.store();
    for act in ["one", "two"] {
        store.begin(&asker("ann"), act).await.unwrap();
    }
    let path = file_of(&bench.settings.node);
    let options = sea_orm::sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let mut other = sea_orm::sqlx::ConnectOptions::connect(&options).await.unwrap();
    let old = sea_orm::sqlx::query("UPDATE acts SET at_ms = at_ms - 90000000 WHERE act = 'one'");
    old.execute(&mut other).await.unwrap();
    store.begin(&asker("ann"), "three").await.unwrap();
    assert_eq!(acts(&list(&store, AuditQuestion::default()).await), ["three", "two"]);
}

#[tokio::test]
async fn what_is_kept_is_one_line_and_ends() {
    let bench = Bench::new(|_| {});
    let store = bench.store();
    store.begin(&asker("ann\u{202e}\n"), &format!("drops\n1\u{1b}[2J{}", "x".repeat(10_000))).await.unwrap();
    let found = list(&store, AuditQuestion::default()).await;
    assert_eq!(found[0].asker.who, "ann  ");
    assert!(found[0].act.starts_with("drops 1 [2J") && found[0].act.chars().count() < 2_100);
}

#[tokio::test]
async fn a_file_that_does_not_work_is_an_outage_until_it_does() {
    let bench = Bench::new(|_| {});
    let store = bench.store();
    let path = file_of(&bench.settings.node);
    std::fs::create_dir_all(&path).unwrap();
    let error = store.begin(&asker("ann"), "drops 1").await.unwrap_err().to_string();
    assert!(error.contains("main.audit.sqlite3"), "{error}");
    assert!(bench.outages.has(&Dependency::audit()));
    std::fs::remove_dir(&path).unwrap();
    store.begin(&asker("ann"), "drops 2").await.unwrap();
    assert!(!bench.outages.has(&Dependency::audit()));
    let damaged = Bench::new(|_| {});
    std::fs::create_dir_all(&damaged.settings.node.data_dir).unwrap();
    std::fs::write(file_of(&damaged.settings.node), vec![7; 8_192]).unwrap();
    let error = damaged.store().begin(&asker("ann"), "drops 3").await.unwrap_err().to_string();
    assert!(error.contains("is damaged: move it away, and keep it"), "{error}");
}

#[tokio::test]
async fn a_file_that_was_moved_away_is_made_anew() {
    let bench = Bench::new(|_| {});
    let store = bench.store();
    store.begin(&asker("ann"), "drops 1").await.unwrap();
    let path = file_of(&bench.settings.node);
    std::fs::rename(&path, path.with_extension("old")).unwrap();
    store.begin(&asker("ann"), "drops 2").await.unwrap();
    assert_eq!(acts(&list(&bench.store(), AuditQuestion::default()).await), ["drops 2"]);
}
