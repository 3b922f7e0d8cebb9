use super::log::Log;
use super::*;

const EMAIL: &str = "admin@example.com";
const DONE: &str = "the first admin was made";

fn login_as_admin(password: &str) -> Login {
    Login { email: EMAIL.into(), password: password.into(), address: "192.0.2.1".into() }
}

/// People among whom there may be no admin.
fn people() -> People {
    let people = People::default();
    people.with(|inner| inner.admin_may_be_missing = true);
    people
}

#[tokio::test]
async fn a_random_password_is_made_once_and_kept_out_of_the_log() {
    let (people, mut log) = (people(), Log::new());
    let t = people.stage(|_| {}).start().await;
    let line = t.run(log.line(DONE)).await;
    assert!(line.contains(EMAIL) && line.contains("printed to stderr"), "{line}");
    assert_eq!(people.with(|inner| (inner.users.len(), inner.users[0].role)), (1, Role::Admin));

    for _ in 0..3 {
        pass(&t, Duration::from_secs(2)).await;
        t.ask(GetKeys {}).await.unwrap();
    }
    assert!(!log.has(DONE), "once");
    assert_eq!(people.with(|inner| inner.created), 1);
}

#[tokio::test]
async fn a_configured_password_is_used_and_not_printed() {
    let (people, mut log) = (people(), Log::new());
    let configured = |settings: &mut AuthSettings| {
        settings.first_admin.password = "from the configuration".into();
    };
    let t = people.stage(configured).start().await;
    let line = t.run(log.line(DONE)).await;
    assert!(!line.contains("from the configuration"), "{line}");
    t.ask(login_as_admin("from the configuration")).await.unwrap();
}

#[tokio::test]
async fn a_lost_answer_of_users_does_not_make_two_admins() {
    let (people, mut log) = (people(), Log::new());
    people.with(|inner| inner.lose_answer = true);
    let t = people.stage(|_| {}).start().await;
    t.run(log.line(DONE)).await;
    assert_eq!(people.with(|inner| inner.users.len()), 1);
}

#[tokio::test]
async fn where_there_is_an_admin_none_is_made() {
    let (people, mut log) = (people(), Log::new());
    let old = User {
        id: "old".into(),
        email: "old@example.com".into(),
        name: "Old".into(),
        role: Role::Admin,
        created_at_ms: 0,
    };
    people.with(|inner| inner.users.push(old));
    let t = people.stage(|_| {}).start().await;
    t.run(log.line("no first admin is needed")).await;
    assert_eq!(people.with(|inner| inner.created), 0);
}

#[tokio::test]
async fn a_customer_with_the_admins_address_is_not_promoted() {
    let (people, mut log) = (people(), Log::new());
    let stranger = User {
        id: "stranger".into(),
        email: EMAIL.into(),
        name: "Mallory".into(),
        role: Role::Customer,
        created_at_ms: 0,
    };
    people.with(|inner| inner.users.push(stranger.clone()));
    let t = people.stage(|_| {}).start().await;
    let line = t.run(log.line("the first admin cannot be made")).await;
    assert!(line.contains("auth.first_admin.email") && line.contains("ERROR"), "{line}");
    assert_eq!(people.with(|inner| inner.users.clone()), [stranger]);
}
