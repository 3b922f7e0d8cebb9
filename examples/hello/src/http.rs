//! The routes of hello.

use essaim_hello_contract::Greet;
use essaim_http::{Caller, Json, Problem, RouteConfig, Routes};
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

/// The routes of hello.
pub fn routes() -> Routes {
    Routes { name: "hello", configure, openapi: Doc::openapi }
}

fn configure(config: &mut RouteConfig) {
    config.post("/hello", greet);
}

#[derive(OpenApi)]
#[openapi(paths(greet), components(schemas(Person, Greeting)))]
struct Doc;

/// Somebody to greet.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Person {
    /// What they are called.
    #[schema(min_length = 1, example = "Ada")]
    name: String,
}

/// A greeting.
#[derive(Serialize, ToSchema)]
struct Greeting {
    /// The greeting itself.
    text: String,
    /// How often this name has been greeted.
    #[schema(minimum = 1)]
    times: i64,
}

/// Greets somebody.
#[utoipa::path(
    post, path = "/hello", request_body = Person,
    responses((status = 200, description = "The greeting", body = Greeting), (status = 422, description = "No such name"))
)]
async fn greet(caller: Caller, body: Json<Person>) -> Result<Json<Greeting>, Problem> {
    let asked = caller.client().ask(Greet { name: body.into_inner().name }).await;
    let greeted = asked.map_err(|e| Problem::from_ask(e, |no| Problem::unprocessable(no.to_string())))?;
    Ok(Json(Greeting { text: greeted.text, times: greeted.times }))
}
