use super::*;

const BAD: Result<Tokens, AskError<LoginError>> = Err(AskError::Rejected(LoginError::BadCredentials));

fn throttled(answer: &Result<Tokens, AskError<LoginError>>) -> bool {
    matches!(answer, Err(AskError::Rejected(LoginError::Throttled { retry_after_s: 1.. })))
}

/// User 1 is registered; two failures of an account and four of an address are free.
async fn strict(people: &People) -> Stage<AuthActor> {
    let strict = |settings: &mut AuthSettings| {
        settings.throttle.account_free = 2;
        settings.throttle.address_free = 4;
    };
    let t = people.stage(strict).start().await;
    t.ask(register(1)).await.unwrap();
    t
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_get_the_same_answer() {
    let t = with_one(&People::default()).await;
    assert_eq!(t.ask(login(1, "wrong password")).await, BAD);
    assert_eq!(t.ask(login(9, PASSWORD)).await, BAD);
    let odd = Login { email: "\0\u{FDFA}".into(), password: "".into(), address: "nowhere".into() };
    assert_eq!(t.ask(odd).await, BAD);
}

#[tokio::test]
async fn a_deleted_user_cannot_log_in() {
    let people = People::default();
    let t = with_one(&people).await;
    people.with(|inner| inner.users.clear());
    assert_eq!(t.ask(login(1, PASSWORD)).await, BAD);
}

/// How many computations of Argon2 a login costs.
async fn cost(t: &Stage<AuthActor>, login: Login) -> u64 {
    let computed = async || {
        let status = t.run(t.client().status()).await;
        status["capabilities"]["auth"]["figures"]["password_computations"].as_u64().expect("auth counts them")
    };
    let before = computed().await;
    let _ = t.ask(login).await;
    computed().await - before
}

#[tokio::test]
async fn every_refused_login_costs_the_same_work_whoever_it_is_for() {
    let people = People::default();
    let t = strict(&people).await;
    t.ask(register(2)).await.unwrap();
    people.with(|inner| inner.users.retain(|user| !user.email.starts_with("User2")));
    let (somebody, nobody, deleted) = (login(1, "wrong password"), login(9, PASSWORD), login(2, PASSWORD));
    assert_eq!(cost(&t, somebody).await, 1, "a wrong password");
    assert_eq!(cost(&t, nobody).await, 1, "an address that nobody has");
    assert_eq!(cost(&t, deleted).await, 1, "the right password of somebody who was deleted");
    let elsewhere = |n| login_from(n, "wrong password", "192.0.2.2");
    for n in [1, 9, 2] {
        assert_eq!(cost(&t, elsewhere(n)).await, 1, "the last failure of account {n} that is free");
        let throttled_login = login_from(n, PASSWORD, "192.0.2.3");
        assert_eq!(cost(&t, throttled_login.clone()).await, 0, "account {n} has to wait, and no password is looked at");
        assert!(throttled(&t.ask(throttled_login).await), "account {n}");
    }
}

#[tokio::test]
async fn after_too_many_failures_even_the_right_password_has_to_wait() {
    let t = strict(&People::default()).await;
    for _ in 0..2 {
        assert_eq!(t.ask(login(1, "wrong password")).await, BAD);
    }
    let refused = t.ask(login(1, PASSWORD)).await;
    assert_eq!(refused, Err(AskError::Rejected(LoginError::Throttled { retry_after_s: 5 })));
    pass(&t, Duration::from_secs(6)).await;
    t.ask(login(1, PASSWORD)).await.expect("the wait is over");
}

#[tokio::test]
async fn an_account_that_does_not_exist_is_throttled_like_any_other() {
    let t = strict(&People::default()).await;
    for _ in 0..2 {
        assert_eq!(t.ask(login(9, "wrong password")).await, BAD);
    }
    assert!(throttled(&t.ask(login(9, "wrong password")).await));
}

#[tokio::test]
async fn an_address_that_tries_many_accounts_is_throttled_and_others_are_not() {
    let t = strict(&People::default()).await;
    for n in 11..15 {
        assert_eq!(t.ask(login(n, PASSWORD)).await, BAD);
    }
    assert!(throttled(&t.ask(login(1, PASSWORD)).await));
    t.ask(login_from(1, PASSWORD, "192.0.2.2")).await.expect("another address");
}

#[tokio::test]
async fn a_stranger_cannot_lock_a_person_out_of_an_address_where_they_logged_in_before() {
    let t = strict(&People::default()).await;
    t.ask(login(1, PASSWORD)).await.unwrap();
    for n in 0..2 {
        assert_eq!(t.ask(login_from(1, "guess", &format!("198.51.100.{n}"))).await, BAD);
    }
    assert!(throttled(&t.ask(login_from(1, PASSWORD, "198.51.100.9")).await), "strangers have to wait");
    t.ask(login(1, PASSWORD)).await.expect("its own address is known");
}

#[tokio::test]
async fn guesses_sent_at_one_moment_learn_no_more_than_guesses_sent_one_by_one() {
    let t = strict(&People::default()).await;
    let client = t.client();
    let guesses = (0..12).map(|n| {
        let client = client.clone();
        async move { client.ask(login_from(1, "guess", &format!("198.51.100.{n}"))).await }
    });
    let mut tasks = tokio::task::JoinSet::new();
    let answers = t
        .run(async {
            for guess in guesses {
                tasks.spawn_local(guess);
            }
            tasks.join_all().await
        })
        .await;
    let told = answers.iter().filter(|a| **a == BAD).count();
    assert_eq!((told, answers.iter().filter(|a| throttled(a)).count()), (2, 10), "{answers:?}");
}

#[tokio::test]
async fn a_further_login_ends_the_oldest_session() {
    let people = People::default();
    let t = people.stage(|settings| settings.sessions_per_user = 2).start().await;
    t.ask(register(1)).await.unwrap();
    let mut refresh_tokens = Vec::new();
    for _ in 0..3 {
        refresh_tokens.push(t.ask(login(1, PASSWORD)).await.unwrap().refresh_token);
        pass(&t, Duration::from_millis(2)).await; // Ids tell milliseconds apart.
    }
    let mut alive = Vec::new();
    for refresh_token in refresh_tokens {
        alive.push(t.ask(Refresh { refresh_token }).await.is_ok());
    }
    assert_eq!(alive, [false, true, true]);
}
