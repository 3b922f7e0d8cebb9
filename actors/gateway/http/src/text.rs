//! Schemas of texts.

use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

/// The schema of a text whose pattern is made rather than written: for `#[schema(schema_with = …)]`.
pub fn text_schema(description: &str, pattern: String, max_length: usize, example: &str) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .pattern(Some(pattern))
        .min_length(Some(1))
        .max_length(Some(max_length))
        .examples([example])
        .build()
}
