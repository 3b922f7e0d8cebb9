//! The routes of users. Registration, which needs a password, is a route of auth.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use essaim_http::{
    Json, Listing, Page, Problem, RoleName, RouteConfig, Routes, Timestamp, User as LoggedIn, UserWith, text_schema,
};
use essaim_text::visible;
use essaim_users_contract::{
    DeleteUser, DeleteUserError, GetUser, ListUsers, NAME_MAX, Role, UpdateUser, UpdateUserError, User,
};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::openapi::Object;
use utoipa::{OpenApi, ToSchema};

/// The routes of users.
pub fn routes() -> Routes {
    Routes { name: "users", configure, openapi: Doc::openapi }
}

fn configure(config: &mut RouteConfig) {
    config.get("/users", list).get("/users/me", read_me).patch("/users/me", change_me).delete("/users/me", delete_me);
}

#[derive(OpenApi)]
#[openapi(
    paths(list, read_me, change_me, delete_me),
    components(schemas(Profile, ProfileChange, Role, Listing<Profile>))
)]
struct Doc;

/// Who may see all users.
struct Admin;

impl RoleName for Admin {
    const NAME: &'static str = Role::Admin.as_str();
}

/// A user.
#[derive(Debug, Serialize, ToSchema)]
struct Profile {
    /// The user's id.
    #[schema(format = "uuid")]
    id: String,
    /// The e-mail address, as it was given.
    #[schema(min_length = 3, max_length = 254)]
    email: String,
    /// The name.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// What the user may do.
    role: Role,
    /// When the user registered.
    created_at: Timestamp,
}

/// What should change; what is absent stays as it is. The role cannot be changed here.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ProfileChange {
    /// The new e-mail address; unique, whatever its case and Unicode form, and however its domain is written.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, format = "email", min_length = 3, max_length = 254, example = "ada@example.com")]
    email: Option<String>,
    /// The new name.
    #[serde(default, deserialize_with = "present")]
    #[schema(schema_with = name)]
    name: Option<String>,
}

fn name() -> Object {
    let description = "The new name, without control characters; something in it can be seen.";
    text_schema(description, visible::name_pattern(), NAME_MAX, "Ada Lovelace")
}

/// A field that may be absent and must not be `null`.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Lists users, oldest first. For admins.
#[utoipa::path(
    get, path = "/users", params(Page), security(("bearer" = [])),
    responses(
        (status = 200, description = "A page of users", body = Listing<Profile>),
        (status = 403, description = "The caller is no admin")
    )
)]
async fn list(caller: UserWith<Admin>, page: Page) -> Result<Json<Listing<Profile>>, Problem> {
    let message = ListUsers { limit: page.limit()?, cursor: page.cursor };
    let bad_cursor = |_| Problem::bad_request("`cursor` is not one of ours.");
    let found = caller.client().ask(message).await.map_err(|e| Problem::from_ask(e, bad_cursor))?;
    let items = found.items.into_iter().map(Profile::from).collect();
    Ok(Json(Listing { items, next_cursor: found.next_cursor }))
}

/// Reads one's own profile.
#[utoipa::path(
    get, path = "/users/me", security(("bearer" = [])),
    responses(
        (status = 200, description = "The caller's profile", body = Profile),
        (status = 404, description = "The caller was deleted")
    )
)]
async fn read_me(caller: LoggedIn) -> Result<Json<Profile>, Problem> {
    let id = caller.id().to_string();
    let user = caller.client().ask(GetUser { id }).await.map_err(|e| Problem::from_ask(e, |never| match never {}))?;
    user.map(|user| Json(user.into())).ok_or_else(deleted)
}

/// Changes one's own profile.
#[utoipa::path(
    patch, path = "/users/me", request_body = ProfileChange, security(("bearer" = [])),
    responses(
        (status = 200, description = "The profile as it is now", body = Profile),
        (status = 404, description = "The caller was deleted"),
        (status = 409, description = "Another user has the e-mail address")
    )
)]
async fn change_me(caller: LoggedIn, body: Json<ProfileChange>) -> Result<Json<Profile>, Problem> {
    let id = caller.id().to_string();
    let ProfileChange { email, name } = body.into_inner();
    let changed = caller.client().ask(UpdateUser { id, email, name }).await;
    let user = changed.map_err(|e| {
        Problem::from_ask(e, |error| match error {
            UpdateUserError::NotFound => deleted(),
            UpdateUserError::Invalid(invalid) => Problem::unprocessable(format!("{invalid}.")),
            UpdateUserError::EmailTaken => {
                Problem::new(StatusCode::CONFLICT, "email-taken", "Another user has this e-mail address")
                    .detail("Take another one. Case, Unicode form and how the domain is written make no difference.")
            }
        })
    })?;
    Ok(Json(user.into()))
}

/// Deletes one's own profile. Access tokens stay valid until they expire; sessions cannot be refreshed any more.
#[utoipa::path(
    delete, path = "/users/me", security(("bearer" = [])),
    responses(
        (status = 204, description = "The caller is deleted, now or before"),
        (status = 409, description = "The caller is the only admin")
    )
)]
async fn delete_me(caller: LoggedIn) -> Result<HttpResponse, Problem> {
    let id = caller.id().to_string();
    let deleted = caller.client().ask(DeleteUser { id }).await;
    deleted.map_err(|e| {
        Problem::from_ask(e, |error| match error {
            DeleteUserError::LastAdmin => {
                Problem::new(StatusCode::CONFLICT, "last-admin", "The only admin cannot be deleted")
                    .detail("Make somebody else an admin first.")
            }
        })
    })?;
    Ok(HttpResponse::NoContent().finish())
}

fn deleted() -> Problem {
    Problem::not_found("The user was deleted.")
}

impl From<User> for Profile {
    fn from(user: User) -> Self {
        let User { id, email, name, role, created_at_ms } = user;
        Self { id, email, name, role, created_at: Timestamp(created_at_ms) }
    }
}
