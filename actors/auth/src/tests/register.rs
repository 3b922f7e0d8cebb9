use super::*;

#[tokio::test]
async fn a_registered_person_can_log_in() {
    let t = with_one(&People::default()).await;
    let tokens = t.ask(login(1, PASSWORD)).await.unwrap();
    assert_eq!((tokens.token_type.as_str(), tokens.expires_in), ("Bearer", 900));
}

#[tokio::test]
async fn an_account_is_a_customers_with_the_address_as_given() {
    let people = People::default();
    let t = people.stage(|_| {}).start().await;
    let account = t.ask(register(1)).await.unwrap();
    assert_eq!((account.email.as_str(), account.role.as_str()), ("User1@example.com", "customer"));
}

#[tokio::test]
async fn a_taken_address_is_refused_and_keeps_its_password() {
    let t = with_one(&People::default()).await;
    let second = Register { email: "USER1@example.com".into(), password: "another one".into(), ..register(2) };
    assert_eq!(t.ask(second).await, Err(AskError::Rejected(RegisterError::EmailTaken)));
    assert_eq!(t.ask(login(1, "another one")).await, Err(AskError::Rejected(LoginError::BadCredentials)));
    t.ask(login(1, PASSWORD)).await.unwrap();
}

#[tokio::test]
async fn what_is_not_valid_is_refused_by_field() {
    let t = People::default().stage(|_| {}).start().await;
    let cases = [
        (Register { password: "1234567".into(), ..register(1) }, "password"),
        (Register { password: "x".repeat(129).into(), ..register(1) }, "password"),
        (Register { email: "nobody".into(), ..register(1) }, "email"),
    ];
    for (message, expected) in cases {
        let Err(AskError::Rejected(RegisterError::Invalid { field, .. })) = t.ask(message).await else {
            panic!("{expected} is not valid")
        };
        assert_eq!(field, expected);
    }
}

#[tokio::test]
async fn a_registration_whose_answer_was_lost_is_complete_and_can_be_repeated() {
    let people = People::default();
    let t = people.stage(|_| {}).start().await;
    people.with(|inner| inner.lose_answer = true);
    // The bus may repeat the message by itself, since it is idempotent.
    let first = t.ask(register(1)).await;
    assert!(matches!(first, Ok(_) | Err(AskError::Unknown(_))), "{first:?}");
    t.ask(login(1, PASSWORD)).await.unwrap();
    t.ask(register(1)).await.expect("the same request once more");
    assert_eq!(people.with(|inner| inner.users.len()), 1);
}

#[tokio::test]
async fn an_account_whose_password_was_stored_and_whose_user_was_not_made_cannot_log_in() {
    let people = People::default();
    let t = with_one(&people).await;
    people.with(|inner| inner.users.clear());
    assert_eq!(t.ask(login(1, PASSWORD)).await, Err(AskError::Rejected(LoginError::BadCredentials)));
    // Another person may take the address, with a password of their own.
    t.ask(Register { password: "another one".into(), user_id: register(2).user_id, ..register(1) }).await.unwrap();
    assert_eq!(t.ask(login(1, PASSWORD)).await, Err(AskError::Rejected(LoginError::BadCredentials)));
    t.ask(login(1, "another one")).await.unwrap();
}

#[tokio::test]
async fn repeating_a_registration_does_not_change_the_password() {
    let t = with_one(&People::default()).await;
    t.ask(Register { password: "another one".into(), ..register(1) }).await.unwrap();
    assert_eq!(t.ask(login(1, "another one")).await, Err(AskError::Rejected(LoginError::BadCredentials)));
    t.ask(login(1, PASSWORD)).await.unwrap();
}
