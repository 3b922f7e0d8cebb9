use super::log::Log;
use super::*;

/// Lets days pass, each with a sweep.
async fn days(t: &Stage<AuthActor>, log: &mut Log, days: u32) {
    for _ in 0..days {
        t.run(log.line("swept")).await;
        pass(t, Duration::from_secs(86_400)).await;
    }
    t.run(log.line("swept")).await;
}

#[tokio::test]
async fn the_password_of_a_user_who_is_not_known_is_deleted_in_time() {
    let (people, mut log) = (People::default(), Log::new());
    let t = with_one(&people).await;
    let user = people.with(|inner| inner.users.remove(0));
    days(&t, &mut log, 9).await;
    people.with(|inner| inner.users.push(user));
    assert_eq!(t.ask(login(1, PASSWORD)).await, Err(AskError::Rejected(LoginError::BadCredentials)));
}

#[tokio::test]
async fn the_password_of_a_user_who_was_not_found_for_a_while_is_kept() {
    let (people, mut log) = (People::default(), Log::new());
    let t = with_one(&people).await;
    let user = people.with(|inner| inner.users.remove(0));
    days(&t, &mut log, 3).await;
    people.with(|inner| inner.users.push(user));
    pass(&t, Duration::from_secs(86_400)).await;
    days(&t, &mut log, 9).await;
    t.ask(login(1, PASSWORD)).await.unwrap();
}
