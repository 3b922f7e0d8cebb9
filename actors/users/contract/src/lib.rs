//! What the capability `users` answers: profiles and roles.
//!
//! An e-mail address belongs to one user; case and Unicode form make no difference. The creator of a user chooses its
//! id, so that creating may be repeated. Times are milliseconds since 1970 (UTC).
//!
//! # Layout
//!
//! - [`User`], [`Role`]: a profile.
//! - [`CreateUser`], [`UpdateUser`], [`DeleteUser`], [`SetRole`]: what changes one.
//! - [`UserDeleted`]: an event, for capabilities that keep something about a user.
//! - [`GetUser`], [`FindByEmail`], [`ListUsers`], [`Existing`], [`HasAdmin`]: what reads them.

use std::borrow::Cow;
use std::fmt;

use essaim_contract::{Ask, Capability, Event, Message, Never, ask_schemas, message_schema};
use serde::{Deserialize, Serialize};

/// The most characters that an e-mail address may have.
pub const EMAIL_MAX: usize = 254;
/// The most characters that a name may have.
pub const NAME_MAX: usize = 200;
/// The most users that one [`ListUsers`] returns.
pub const PAGE_MAX: u32 = 100;
/// The most ids that one [`Existing`] may hold.
pub const EXISTING_MAX: usize = 500;

/// The capability.
#[derive(Debug, Clone, Copy)]
pub struct Users;

impl Capability for Users {
    const NAME: &'static str = "users";
}

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// May use the service for themselves.
    Customer,
    /// May also administer it.
    Admin,
}

impl Role {
    /// The role's name, as it stands in tokens and principals.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Admin => "admin",
        }
    }

    /// The role of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Customer, Self::Admin].into_iter().find(|r| r.as_str() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A user's profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct User {
    /// The id (a UUID).
    pub id: String,
    /// The e-mail address, as it was given.
    pub email: String,
    /// The name.
    pub name: String,
    /// What the user may do.
    pub role: Role,
    /// When the profile was made, in milliseconds since 1970.
    pub created_at_ms: i64,
}

/// A value that a profile cannot have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Invalid {
    /// The field's name.
    pub field: String,
    /// What is wrong with it, for the one who sent it.
    pub reason: String,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.field, self.reason)
    }
}

macro_rules! ask {
    ($message:ty, $name:literal, $reply:ty, $error:ty) => {
        impl Message for $message {
            type To = Users;
            const NAME: &'static str = $name;
            const VERSION: u16 = 1;
            ask_schemas!();
        }
        impl Ask for $message {
            type Reply = $reply;
            type Error = $error;
            const IDEMPOTENT: bool = true;
        }
    };
}

/// Makes a user. Repeating it with the same id and e-mail address returns the user that the first one made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct CreateUser {
    /// The id of the user to be: a UUID that the caller makes, version 7 so that lists are in order of creation.
    pub id: String,
    /// The e-mail address.
    pub email: String,
    /// The name.
    pub name: String,
    /// What the user may do.
    pub role: Role,
}
ask!(CreateUser, "create", User, CreateUserError);

/// Why a user was not made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum CreateUserError {
    /// A value is not valid.
    Invalid(Invalid),
    /// Another user has this e-mail address.
    EmailTaken,
    /// Another user, with another e-mail address, has this id.
    IdTaken,
}

impl fmt::Display for CreateUserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(invalid) => invalid.fmt(f),
            Self::EmailTaken => f.write_str("the e-mail address is taken"),
            Self::IdTaken => f.write_str("the id is taken"),
        }
    }
}

/// Reads one user; `None` if there is no such user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct GetUser {
    /// The user's id.
    pub id: String,
}
ask!(GetUser, "get", Option<User>, Never);

/// Reads the user with an e-mail address, in any case and Unicode form; `None` if there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct FindByEmail {
    /// The e-mail address.
    pub email: String,
}
ask!(FindByEmail, "find_by_email", Option<User>, Never);

/// Changes what is given of a profile and leaves the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct UpdateUser {
    /// The user's id.
    pub id: String,
    /// The new e-mail address.
    #[serde(default)]
    pub email: Option<String>,
    /// The new name.
    #[serde(default)]
    pub name: Option<String>,
}
ask!(UpdateUser, "update", User, UpdateUserError);

/// Why a profile was not changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum UpdateUserError {
    /// There is no such user.
    NotFound,
    /// A value is not valid.
    Invalid(Invalid),
    /// Another user has this e-mail address.
    EmailTaken,
}

impl fmt::Display for UpdateUserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("there is no such user"),
            Self::Invalid(invalid) => invalid.fmt(f),
            Self::EmailTaken => f.write_str("the e-mail address is taken"),
        }
    }
}

/// Deletes a user; nothing happens if there is no such user. The e-mail address is free at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct DeleteUser {
    /// The user's id.
    pub id: String,
}
ask!(DeleteUser, "delete", (), DeleteUserError);

/// Why a user was not deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum DeleteUserError {
    /// It is the only admin; without one nobody could administer the service.
    LastAdmin,
}

impl fmt::Display for DeleteUserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LastAdmin => f.write_str("it is the only admin"),
        }
    }
}

/// A user was deleted: capabilities that keep something about the user delete it.
///
/// Access tokens that were issued before stay valid until they expire, so messages on behalf of the user may still come
/// for that long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct UserDeleted {
    /// The user's id.
    pub user_id: String,
}

impl Message for UserDeleted {
    type To = Users;
    const NAME: &'static str = "deleted";
    const VERSION: u16 = 1;
    const KEY_FIELD: Option<&'static str> = Some("user_id");
    message_schema!();

    fn key(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(&self.user_id))
    }
}
impl Event for UserDeleted {}

/// Gives a user a role. Access tokens that were issued before keep the old one until they expire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SetRole {
    /// The user's id.
    pub id: String,
    /// The new role.
    pub role: Role,
}
ask!(SetRole, "set_role", User, SetRoleError);

/// Why a role was not given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SetRoleError {
    /// There is no such user.
    NotFound,
}

impl fmt::Display for SetRoleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("there is no such user"),
        }
    }
}

/// Reads users in the order of their ids, a page at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ListUsers {
    /// The most users in the answer: 1 to [`PAGE_MAX`], others count as the nearest of these.
    pub limit: u32,
    /// Where the page before ended: its `next_cursor`; absent: from the start.
    #[serde(default)]
    pub cursor: Option<String>,
}
ask!(ListUsers, "list", UserPage, ListUsersError);

/// A page of users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct UserPage {
    /// The users.
    pub items: Vec<User>,
    /// Where the next page begins; absent: this is the last one.
    pub next_cursor: Option<String>,
}

/// Why users were not listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ListUsersError {
    /// The cursor is not one that a page ended with.
    InvalidCursor,
}

impl fmt::Display for ListUsersError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidCursor => f.write_str("the cursor is not one that a page ended with"),
        }
    }
}

/// Tells which of these users there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Existing {
    /// Ids, at most [`EXISTING_MAX`].
    pub ids: Vec<String>,
}
ask!(Existing, "existing", Vec<String>, Never);

/// Tells whether there is an admin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct HasAdmin {}
ask!(HasAdmin, "has_admin", bool, Never);

#[cfg(test)]
mod tests {
    use essaim_contract::wire_name;

    use super::*;

    #[test]
    fn wire_names_stay_as_they_are() {
        assert_eq!(wire_name::<CreateUser>(), "users.create.v1");
        assert_eq!(wire_name::<FindByEmail>(), "users.find_by_email.v1");
    }

    #[test]
    fn a_role_is_found_by_its_name() {
        assert_eq!(Role::of_name(Role::Admin.as_str()), Some(Role::Admin));
        assert_eq!(Role::of_name("root"), None);
    }
}
