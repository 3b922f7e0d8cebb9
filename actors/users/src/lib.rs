//! The capability `users`: profiles and roles. It asks nobody, and tells its subscribers that a user was deleted.
//!
//! # Layout
//!
//! - [`UsersActor`]: answers the contract.
//! - [`http`]: its routes.
//! - `profile`: what a valid e-mail address and name are.
//! - `store`: the table.

pub mod http;

mod profile;
mod store;
#[cfg(test)]
mod tests;

use essaim::contract::Never;
use essaim::store::Schema;
use essaim::{Actor, Cx, Fault, Handle, Handles, Start, StartError, fail, reject};
use essaim_users_contract::{
    CreateUser, CreateUserError, DeleteUser, DeleteUserError, EXISTING_MAX, Existing, FindByEmail, GetUser, HasAdmin,
    Invalid, ListUsers, ListUsersError, PAGE_MAX, Role, SetRole, SetRoleError, UpdateUser, UpdateUserError, User,
    UserDeleted, UserPage, Users,
};
use serde::{Deserialize, Serialize};
use tracing::warn;
use uuid::Uuid;

use crate::profile::{Email, Name};

/// `[users]`: nothing can be set yet.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UsersSettings {}

/// Users who share a mailbox that a start names, at most.
const NAMED_MOST: u64 = 20;

/// Answers the contract of `users`. All that it knows is in its database.
#[derive(Debug)]
pub struct UsersActor;

impl Actor for UsersActor {
    type Capability = Users;
    type Settings = UsersSettings;
    type Shared = ();

    fn schema() -> Option<Schema> {
        Some(store::schema())
    }

    async fn share(_: UsersSettings, start: &mut Start) -> Result<(), StartError> {
        let sharing = store::sharing(start.db(), NAMED_MOST).await.map_err(StartError::new)?;
        if !sharing.is_empty() {
            warn!(
                "these users share a mailbox with another user, from before addresses had one form: {}; each logs in with \
                 its own form, and nobody registers another one; one of both should change its address or be deleted{}",
                sharing.join(", "),
                if sharing.len() as u64 == NAMED_MOST { " (there may be more)" } else { "" }
            );
        }
        Ok(())
    }

    async fn start((): &(), _: &mut Start) -> Result<Self, StartError> {
        Ok(Self)
    }

    fn handles(h: &mut Handles<Self>) {
        h.ask::<CreateUser>().ask::<GetUser>().ask::<FindByEmail>().ask::<UpdateUser>().ask::<DeleteUser>();
        h.ask::<SetRole>().ask::<ListUsers>().ask::<Existing>().ask::<HasAdmin>();
    }
}

impl Handle<CreateUser> for UsersActor {
    async fn handle(&mut self, m: CreateUser, cx: &mut Cx) -> Result<User, Fault<CreateUserError>> {
        let id = id(&m.id).map_err(|e| reject(CreateUserError::Invalid(e)))?;
        let email = Email::try_new(&m.email).map_err(|e| reject(CreateUserError::Invalid(e)))?;
        let name = Name::try_new(&m.name).map_err(|e| reject(CreateUserError::Invalid(e)))?;
        let now = cx.now_ms() as i64;
        let tx = cx.begin().await?;
        if store::insert(&tx, &id, &email, &name, m.role, now).await? {
            tx.commit().await?;
            return Ok(User { id, email: email.0.given, name: name.0, role: m.role, created_at_ms: now });
        }
        // Not inserted: an earlier try has made this user, or another user has the id or the address.
        let same_id = store::get(&tx, &id).await?;
        let same_email = store::find(&tx, &m.email).await?;
        match (same_id, same_email) {
            (Some(made), Some(found)) if made.id == found.id => {
                tx.rollback().await?;
                Ok(made)
            }
            (Some(_), _) => Err(reject(CreateUserError::IdTaken)),
            (None, Some(_)) => Err(reject(CreateUserError::EmailTaken)),
            (None, None) => Err(fail("the user that was in the way was deleted at the same moment")),
        }
    }
}

impl Handle<GetUser> for UsersActor {
    async fn handle(&mut self, m: GetUser, cx: &mut Cx) -> Result<Option<User>, Fault<Never>> {
        Ok(store::get(cx.db(), &m.id).await?)
    }
}

impl Handle<FindByEmail> for UsersActor {
    async fn handle(&mut self, m: FindByEmail, cx: &mut Cx) -> Result<Option<User>, Fault<Never>> {
        Ok(store::find(cx.db(), &m.email).await?)
    }
}

impl Handle<UpdateUser> for UsersActor {
    async fn handle(&mut self, m: UpdateUser, cx: &mut Cx) -> Result<User, Fault<UpdateUserError>> {
        let invalid = |e| reject(UpdateUserError::Invalid(e));
        let email = m.email.as_deref().map(Email::try_new).transpose().map_err(invalid)?;
        let name = m.name.as_deref().map(Name::try_new).transpose().map_err(invalid)?;
        let tx = cx.begin().await?;
        if store::update(&tx, &m.id, email.as_ref(), name.as_ref()).await? == store::Updated::EmailTaken {
            return Err(reject(UpdateUserError::EmailTaken));
        }
        let user = store::get(&tx, &m.id).await?.ok_or(reject(UpdateUserError::NotFound))?;
        tx.commit().await?;
        Ok(user)
    }
}

impl Handle<DeleteUser> for UsersActor {
    async fn handle(&mut self, m: DeleteUser, cx: &mut Cx) -> Result<(), Fault<DeleteUserError>> {
        let tx = cx.begin().await?;
        let Some(user) = store::get(&tx, &m.id).await? else { return Ok(tx.rollback().await?) };
        // The other admins are locked first, so that two who delete themselves at once do not both see the other.
        if user.role == Role::Admin && store::lock_admins(&tx).await? < 2 {
            return Err(reject(DeleteUserError::LastAdmin));
        }
        store::delete(&tx, &m.id).await?;
        tx.publish(UserDeleted { user_id: m.id }).await?;
        tx.commit().await?;
        Ok(())
    }
}

impl Handle<SetRole> for UsersActor {
    async fn handle(&mut self, m: SetRole, cx: &mut Cx) -> Result<User, Fault<SetRoleError>> {
        let tx = cx.begin().await?;
        store::set_role(&tx, &m.id, m.role).await?;
        let user = store::get(&tx, &m.id).await?.ok_or(reject(SetRoleError::NotFound))?;
        tx.commit().await?;
        Ok(user)
    }
}

impl Handle<ListUsers> for UsersActor {
    async fn handle(&mut self, m: ListUsers, cx: &mut Cx) -> Result<UserPage, Fault<ListUsersError>> {
        let after = match m.cursor.as_deref() {
            None => None,
            Some(text) => Some(id(text).map_err(|_| reject(ListUsersError::InvalidCursor))?),
        };
        let limit = m.limit.clamp(1, PAGE_MAX) as usize;
        let mut items = store::list(cx.db(), after.as_deref(), limit as u64 + 1).await?;
        let more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = items.last().filter(|_| more).map(|last| last.id.clone());
        Ok(UserPage { items, next_cursor })
    }
}

impl Handle<Existing> for UsersActor {
    async fn handle(&mut self, m: Existing, cx: &mut Cx) -> Result<Vec<String>, Fault<Never>> {
        if m.ids.len() > EXISTING_MAX {
            return Err(fail(format_args!("{} ids are more than {EXISTING_MAX}", m.ids.len())));
        }
        Ok(store::existing(cx.db(), m.ids).await?)
    }
}

impl Handle<HasAdmin> for UsersActor {
    async fn handle(&mut self, _: HasAdmin, cx: &mut Cx) -> Result<bool, Fault<Never>> {
        Ok(store::has_admin(cx.db()).await?)
    }
}

/// Ids have one form only, or one user could have two.
fn id(text: &str) -> Result<String, Invalid> {
    match Uuid::parse_str(text) {
        Ok(uuid) if uuid.to_string() == text => Ok(text.to_owned()),
        _ => Err(Invalid { field: "id".into(), reason: "must be a UUID in lower case with hyphens".into() }),
    }
}
