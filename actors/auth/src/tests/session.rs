use super::*;

const INVALID: Result<Tokens, AskError<RefreshError>> = Err(AskError::Rejected(RefreshError::Invalid));

async fn refresh(t: &Stage<AuthActor>, token: &Secret) -> Result<Tokens, AskError<RefreshError>> {
    t.ask(Refresh { refresh_token: token.clone() }).await
}

async fn logged_in(people: &People) -> (Stage<AuthActor>, Secret) {
    let t = with_one(people).await;
    let first = t.ask(login(1, PASSWORD)).await.unwrap().refresh_token;
    (t, first)
}

#[tokio::test]
async fn a_refresh_token_sent_again_at_once_gets_the_same_successor() {
    let (t, first) = logged_in(&People::default()).await;
    let second = refresh(&t, &first).await.unwrap().refresh_token;
    assert_ne!(first, second);
    pass(&t, Duration::from_secs(19)).await;
    assert_eq!(refresh(&t, &first).await.unwrap().refresh_token, second);
    refresh(&t, &second).await.expect("the chain goes on");
}

#[tokio::test]
async fn two_refreshes_at_one_moment_get_the_same_successor() {
    let (t, first) = logged_in(&People::default()).await;
    let client = t.client();
    let ask = || client.ask(Refresh { refresh_token: first.clone() });
    let (a, b) = t.run(async { tokio::join!(ask(), ask()) }).await;
    assert_eq!(a.unwrap().refresh_token, b.unwrap().refresh_token);
}

#[tokio::test]
async fn a_refresh_token_sent_again_late_revokes_the_session() {
    let (t, first) = logged_in(&People::default()).await;
    let other = t.ask(login(1, PASSWORD)).await.unwrap().refresh_token;
    let second = refresh(&t, &first).await.unwrap().refresh_token;
    pass(&t, Duration::from_secs(21)).await;
    assert_eq!(refresh(&t, &first).await, INVALID);
    assert_eq!(refresh(&t, &second).await, INVALID, "the successor is revoked too");
    refresh(&t, &other).await.expect("another session of the user goes on");
}

#[tokio::test]
async fn a_refresh_token_sent_again_after_its_successor_was_used_revokes_the_session() {
    let (t, first) = logged_in(&People::default()).await;
    let second = refresh(&t, &first).await.unwrap().refresh_token;
    let third = refresh(&t, &second).await.unwrap().refresh_token;
    assert_eq!(refresh(&t, &first).await, INVALID, "however soon");
    assert_eq!(refresh(&t, &third).await, INVALID);
}

#[tokio::test]
async fn logging_out_ends_the_session_with_any_of_its_tokens() {
    let (t, first) = logged_in(&People::default()).await;
    let second = refresh(&t, &first).await.unwrap().refresh_token;
    t.ask(Logout { refresh_token: first.clone() }).await.unwrap();
    assert_eq!(refresh(&t, &second).await, INVALID);
    t.ask(Logout { refresh_token: first }).await.expect("once more is harmless");
    t.ask(Logout { refresh_token: "never given out".into() }).await.expect("so is any other text");
}

#[tokio::test]
async fn a_session_ends_in_time_however_often_it_is_refreshed() {
    let (t, mut token) = logged_in(&People::default()).await;
    for _ in 0..2 {
        pass(&t, Duration::from_secs(14 * 86_400)).await;
        token = refresh(&t, &token).await.unwrap().refresh_token;
    }
    pass(&t, Duration::from_secs(2 * 86_400 + 1)).await;
    assert_eq!(refresh(&t, &token).await, INVALID);
}

#[tokio::test]
async fn a_deleted_user_cannot_refresh() {
    let people = People::default();
    let (t, first) = logged_in(&people).await;
    people.with(|inner| inner.users.clear());
    assert_eq!(refresh(&t, &first).await, INVALID);
}

#[tokio::test]
async fn what_is_kept_of_a_user_goes_when_the_user_is_deleted() {
    let people = People::default();
    let (t, first) = logged_in(&people).await;
    t.ask(register(2)).await.unwrap();
    let other = t.ask(login(2, PASSWORD)).await.unwrap().refresh_token;
    t.deliver_twice(UserDeleted { user_id: register(1).user_id }).await.unwrap();
    // Gone from here, though `users` in this test still knows the user.
    assert_eq!(refresh(&t, &first).await, INVALID);
    assert_eq!(t.ask(login(1, PASSWORD)).await, Err(AskError::Rejected(LoginError::BadCredentials)));
    refresh(&t, &other).await.expect("another user's session goes on");
    t.ask(login(2, PASSWORD)).await.unwrap();
}

#[tokio::test]
async fn a_new_role_shows_in_the_next_access_token() {
    let people = People::default();
    let (t, first) = logged_in(&people).await;
    people.with(|inner| inner.users[0].role = Role::Admin);
    let tokens = refresh(&t, &first).await.unwrap();
    let claims: Claims = jsonwebtoken::dangerous::insecure_decode(tokens.access_token.expose()).unwrap().claims;
    assert_eq!(claims.roles, ["admin"]);
}
