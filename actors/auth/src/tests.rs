//! The actor alone: its own SQLite database, and a `users` that is a list in memory.

mod admin;
mod http;
mod keys;
mod log;
mod login;
mod register;
mod session;
mod sweep;

use std::sync::Arc;
use std::time::Duration;

use essaim::contract::{AskError, Unknown};
use essaim::lock::Mutex;
use essaim::{Harness, Stage};
use essaim_auth_contract::*;
use essaim_users_contract::{
    CreateUser, CreateUserError, Existing, FindByEmail, GetUser, HasAdmin, Invalid, Role, User, UserDeleted,
};

use crate::{Argon2Settings, AuthActor, AuthSettings};

/// What `users` knows in these tests.
#[derive(Clone, Default)]
struct People(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    users: Vec<User>,
    /// Whether it may turn out that there is no admin; only tests about the first one are to meet it.
    admin_may_be_missing: bool,
    /// The answer to the next creation is lost.
    lose_answer: bool,
    /// Messages that created somebody.
    created: usize,
}

impl People {
    fn with<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        f(&mut self.0.lock())
    }

    fn create(&self, m: CreateUser) -> Result<User, AskError<CreateUserError>> {
        self.with(|inner| {
            if !m.email.contains('@') {
                let invalid = Invalid { field: "email".into(), reason: "must have one @".into() };
                return Err(AskError::Rejected(CreateUserError::Invalid(invalid)));
            }
            let found = inner.users.iter().find(|u| u.email.eq_ignore_ascii_case(&m.email)).cloned();
            let user = match found {
                Some(user) if user.id == m.id => user,
                Some(_) => return Err(AskError::Rejected(CreateUserError::EmailTaken)),
                None => User { id: m.id, email: m.email, name: m.name, role: m.role, created_at_ms: 0 },
            };
            inner.users.retain(|u| u.id != user.id);
            inner.users.push(user.clone());
            inner.created += 1;
            match std::mem::take(&mut inner.lose_answer) {
                true => Err(AskError::Unknown(Unknown::NoAnswer { node: "shop".into() })),
                false => Ok(user),
            }
        })
    }

    fn has_admin(&self) -> bool {
        !self.with(|inner| inner.admin_may_be_missing) || self.find(|u| u.role == Role::Admin).is_some()
    }

    fn find(&self, which: impl Fn(&User) -> bool) -> Option<User> {
        self.with(|inner| inner.users.iter().find(|u| which(u)).cloned())
    }

    /// A stage with these people as `users`, and with cheap passwords.
    fn stage(&self, change: impl FnOnce(&mut AuthSettings)) -> Harness<AuthActor> {
        let mut settings = AuthSettings {
            argon2: Argon2Settings { memory_kib: 8, iterations: 1, parallelism: 1 },
            ..AuthSettings::default()
        };
        change(&mut settings);
        let [create, find, get, admin, existing] = std::array::from_fn(|_| self.clone());
        Harness::<AuthActor>::sqlite()
            .settings(settings)
            .stub::<CreateUser>(move |m| create.create(m))
            .stub::<FindByEmail>(move |m| Ok(find.find(|u| u.email.eq_ignore_ascii_case(&m.email))))
            .stub::<GetUser>(move |m| Ok(get.find(|u| u.id == m.id)))
            .stub::<HasAdmin>(move |_| Ok(admin.has_admin()))
            .stub::<Existing>(move |m| {
                Ok(m.ids.into_iter().filter(|id| existing.find(|u| u.id == *id).is_some()).collect())
            })
    }
}

const PASSWORD: &str = "correct horse";

fn register(n: u8) -> Register {
    Register {
        user_id: format!("01900000-0000-7000-8000-0000000000{n:02x}"),
        email: format!("User{n}@example.com"),
        password: PASSWORD.into(),
        name: format!("User {n}"),
    }
}

fn login_from(n: u8, password: &str, address: &str) -> Login {
    Login { email: format!("user{n}@example.com"), password: password.into(), address: address.into() }
}

fn login(n: u8, password: &str) -> Login {
    login_from(n, password, "192.0.2.1")
}

/// A stage with user 1 registered.
async fn with_one(people: &People) -> Stage<AuthActor> {
    let t = people.stage(|_| {}).start().await;
    t.ask(register(1)).await.unwrap();
    t
}

/// Lets this much time pass. The clock is paused for a moment only: SQLite's threads do not follow a paused clock.
async fn pass(t: &Stage<AuthActor>, time: Duration) {
    t.run(async {
        tokio::time::pause();
        tokio::time::advance(time).await;
        tokio::time::resume();
    })
    .await;
}
