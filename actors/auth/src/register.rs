//! Registration.
//!
//! An account is a password in auth's database and a profile in users', and no transaction spans both. The order makes
//! every interruption harmless:
//!
//! 1. auth keeps the password under the id of the user to be. Nobody can log in with it: a login finds the id through
//!    the e-mail address, and users does not know this id yet.
//! 2. users creates the profile with that id. This one write is what makes the account, and it is where two who want
//!    the same e-mail address are told apart.
//!
//! Interrupted before 2 there is a password without a user, which the sweep deletes in time, and a new try is a new
//! account. Interrupted after 2 the account is complete though nobody was told: the asker learns that the outcome is
//! unknown, logging in works, and registering again says that the address is taken. The caller chooses the id once for
//! each request, so a repeated message (the bus repeats it when a node was lost) goes on with the same account: 1 keeps
//! the first password, 2 returns the user that exists already.

use essaim::contract::AskError;
use essaim::{Cx, Fault, Handle, fail, reject};
use essaim_auth_contract::{Account, Register, RegisterError};
use essaim_users_contract::{CreateUser, CreateUserError, FindByEmail, Role, User};

use crate::actor::AuthActor;
use crate::password;
use crate::store::credentials;

impl Handle<Register> for AuthActor {
    async fn handle(&mut self, m: Register, cx: &mut Cx) -> Result<Account, Fault<RegisterError>> {
        if let Some(reason) = password::weakness(m.password.expose()) {
            return Err(reject(RegisterError::Invalid { field: "password".into(), reason: reason.into() }));
        }
        // Not needed, but it spares the hash, and while users is away the ask fails before anything is stored.
        let found = cx.ask(FindByEmail { email: m.email.clone() }).await?;
        if found.is_some_and(|user| user.id != m.user_id) {
            return Err(reject(RegisterError::EmailTaken));
        }
        let (hasher, salt, secret) = (self.shared.hasher.clone(), password::salt(cx.env()), m.password);
        let hash = cx.blocking(move || hasher.hash(&secret, &salt)).await?.map_err(fail)?;
        let now = cx.now_ms() as i64;
        let tx = cx.begin().await?;
        credentials::add(&tx, &m.user_id, &hash, now).await?;
        tx.commit().await?;

        let create = CreateUser { id: m.user_id.clone(), email: m.email, name: m.name, role: Role::Customer };
        let error = match cx.ask(create).await {
            Ok(user) => return Ok(account(user)),
            Err(AskError::Rejected(error)) => error,
            Err(other) => return Err(other.into()),
        };
        forget(cx, &m.user_id, &hash).await;
        Err(match error {
            CreateUserError::EmailTaken => reject(RegisterError::EmailTaken),
            CreateUserError::Invalid(invalid) => {
                reject(RegisterError::Invalid { field: invalid.field, reason: invalid.reason })
            }
            CreateUserError::IdTaken => fail("the id of the user to be is taken"),
        })
    }
}

/// Deletes the password of an account that was refused. The answer does not depend on it: the sweep deletes it too.
async fn forget(cx: &mut Cx, user_id: &str, hash: &str) {
    let deleted = async {
        let tx = cx.begin().await?;
        credentials::remove(&tx, user_id, hash).await?;
        tx.commit().await
    };
    if let Err(error) = deleted.await {
        tracing::debug!(%error, "the password of a refused account is left to the sweep");
    }
}

fn account(user: User) -> Account {
    let User { id, email, name, role, created_at_ms } = user;
    Account { id, email, name, role: role.to_string(), created_at_ms }
}
