//! The actor alone, on a SQLite database of its own.

mod http;

use essaim::contract::AskError;
use essaim::{Harness, Stage};
use essaim_users_contract::*;

use crate::UsersActor;

async fn users() -> Stage<UsersActor> {
    Harness::<UsersActor>::sqlite().start().await
}

fn id(n: u8) -> String {
    format!("01900000-0000-7000-8000-0000000000{n:02x}")
}

fn create(n: u8, email: &str) -> CreateUser {
    CreateUser { id: id(n), email: email.into(), name: format!("User {n}"), role: Role::Customer }
}

#[tokio::test]
async fn an_address_in_another_case_or_unicode_form_is_taken() {
    let t = users().await;
    t.ask(create(1, "Zoë@Example.com")).await.unwrap();
    for email in ["zoë@example.com", "ZOE\u{308}@EXAMPLE.COM", "Zoë@ｅxample.com"] {
        assert_eq!(t.ask(create(2, email)).await, Err(AskError::Rejected(CreateUserError::EmailTaken)), "{email}");
        let found = t.ask(FindByEmail { email: email.into() }).await.unwrap().expect("found in any form");
        assert_eq!((found.id, found.email.as_str()), (id(1), "Zoë@Example.com"));
    }
}

#[tokio::test]
async fn creating_again_with_the_same_id_returns_the_first_user() {
    let t = users().await;
    let first = t.ask(create(1, "a@b.c")).await.unwrap();
    assert_eq!(t.ask(create(1, "A@b.c")).await, Ok(first));
    assert_eq!(t.ask(create(1, "other@b.c")).await, Err(AskError::Rejected(CreateUserError::IdTaken)));
    t.ask(create(2, "d@e.f")).await.unwrap();
    assert_eq!(t.ask(create(1, "d@e.f")).await, Err(AskError::Rejected(CreateUserError::IdTaken)));
}

#[tokio::test]
async fn what_is_not_valid_is_refused_by_field() {
    let t = users().await;
    let cases = [
        (CreateUser { id: "1".into(), ..create(1, "a@b.c") }, "id"),
        (create(1, "nobody"), "email"),
        (CreateUser { name: "a\nb".into(), ..create(1, "a@b.c") }, "name"),
    ];
    for (message, field) in cases {
        let Err(AskError::Rejected(CreateUserError::Invalid(invalid))) = t.ask(message).await else {
            panic!("{field} is not valid")
        };
        assert_eq!(invalid.field, field);
    }
}

#[tokio::test]
async fn a_change_leaves_the_rest_and_cannot_take_anothers_address() {
    let t = users().await;
    let a = t.ask(create(1, "a@b.c")).await.unwrap();
    t.ask(create(2, "d@e.f")).await.unwrap();
    let none = UpdateUser { id: id(1), email: None, name: None };
    assert_eq!(t.ask(none.clone()).await, Ok(a.clone()));
    let renamed = t.ask(UpdateUser { name: Some("Ann".into()), ..none.clone() }).await.unwrap();
    assert_eq!(renamed, User { name: "Ann".into(), ..a });
    let taken = UpdateUser { email: Some("D@E.F".into()), name: Some("Eve".into()), ..none.clone() };
    assert_eq!(t.ask(taken).await, Err(AskError::Rejected(UpdateUserError::EmailTaken)));
    assert_eq!(t.ask(GetUser { id: id(1) }).await, Ok(Some(renamed.clone())), "nothing of it was kept");
    let own = t.ask(UpdateUser { email: Some("A@B.C".into()), ..none.clone() }).await.unwrap();
    assert_eq!(own.email, "A@B.C", "one's own address in another case");
    let nobody = UpdateUser { id: id(9), name: Some("x".into()), ..none };
    assert_eq!(t.ask(nobody).await, Err(AskError::Rejected(UpdateUserError::NotFound)));
}

#[tokio::test]
async fn a_deleted_user_is_gone_and_the_address_is_free() {
    let t = users().await;
    t.ask(create(1, "a@b.c")).await.unwrap();
    t.ask(DeleteUser { id: id(1) }).await.unwrap();
    t.ask(DeleteUser { id: id(1) }).await.expect("once more is harmless");
    assert_eq!(t.ask(GetUser { id: id(1) }).await, Ok(None));
    t.ask(create(2, "a@b.c")).await.expect("the address is free");
}

#[tokio::test]
async fn a_deletion_is_told_once_and_one_that_is_refused_is_not() {
    let t = Harness::<UsersActor>::sqlite().witness::<UserDeleted>().start().await;
    t.ask(create(1, "a@b.c")).await.unwrap();
    t.ask(CreateUser { role: Role::Admin, ..create(2, "d@e.f") }).await.unwrap();
    t.ask(DeleteUser { id: id(1) }).await.unwrap();
    t.ask(DeleteUser { id: id(1) }).await.expect("once more is harmless");
    t.ask(DeleteUser { id: id(2) }).await.expect_err("the last admin stays");
    assert_eq!(t.published::<UserDeleted>().await, [UserDeleted { user_id: id(1) }]);
}

#[tokio::test]
async fn the_last_admin_stays() {
    let t = users().await;
    assert_eq!(t.ask(HasAdmin {}).await, Ok(false));
    t.ask(CreateUser { role: Role::Admin, ..create(1, "a@b.c") }).await.unwrap();
    t.ask(create(2, "d@e.f")).await.unwrap();
    assert_eq!(t.ask(HasAdmin {}).await, Ok(true));
    assert_eq!(t.ask(DeleteUser { id: id(1) }).await, Err(AskError::Rejected(DeleteUserError::LastAdmin)));
    assert_eq!(t.ask(SetRole { id: id(2), role: Role::Admin }).await.unwrap().role, Role::Admin);
    t.ask(DeleteUser { id: id(1) }).await.expect("there is another one");
    let nobody = SetRole { id: id(9), role: Role::Admin };
    assert_eq!(t.ask(nobody).await, Err(AskError::Rejected(SetRoleError::NotFound)));
}

#[tokio::test]
async fn pages_hold_every_user_once_though_users_come_and_go_between_them() {
    let t = users().await;
    for n in 1..=5 {
        t.ask(create(n, &format!("{n}@b.c"))).await.unwrap();
    }
    let first = t.ask(ListUsers { limit: 2, cursor: None }).await.unwrap();
    assert_eq!(first.items.iter().map(|u| u.id.clone()).collect::<Vec<_>>(), [id(1), id(2)]);
    t.ask(DeleteUser { id: id(2) }).await.unwrap();
    t.ask(create(6, "6@b.c")).await.unwrap();
    let second = t.ask(ListUsers { limit: 2, cursor: first.next_cursor }).await.unwrap();
    assert_eq!(second.items.iter().map(|u| u.id.clone()).collect::<Vec<_>>(), [id(3), id(4)]);
    let third = t.ask(ListUsers { limit: 2, cursor: second.next_cursor }).await.unwrap();
    assert_eq!(third.items.iter().map(|u| u.id.clone()).collect::<Vec<_>>(), [id(5), id(6)]);
    assert_eq!(third.next_cursor, None, "a full page can be the last one");
    let wrong = ListUsers { limit: 2, cursor: Some("x".into()) };
    assert_eq!(t.ask(wrong).await, Err(AskError::Rejected(ListUsersError::InvalidCursor)));
}

#[tokio::test]
async fn existing_names_those_that_there_are() {
    let t = users().await;
    t.ask(create(1, "a@b.c")).await.unwrap();
    assert_eq!(t.ask(Existing { ids: vec![id(1), id(2)] }).await, Ok(vec![id(1)]));
}
