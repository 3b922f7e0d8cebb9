//! The forms of messages as JSON Schema, for operators and for tools in any language.

use serde::{Deserialize, Serialize};

/// The JSON Schema (2020-12) of a type, as text. What it refers to is within it, under `$defs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JsonSchema(String);

impl JsonSchema {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The forms of a message and of what answers it, as far as its contract tells them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schemas {
    /// The message.
    pub message: Option<JsonSchema>,
    /// The reply to an ask.
    pub reply: Option<JsonSchema>,
    /// The business errors of an ask; none of one that is never rejected.
    pub error: Option<JsonSchema>,
}

/// In an `impl Message` of a command, an event or a broadcast: the message's form is what its type derives of
/// `utoipa::ToSchema` behind the feature `schema` of its contract.
#[macro_export]
macro_rules! message_schema {
    () => {
        #[cfg(feature = "schema")]
        fn json_schemas() -> $crate::Schemas {
            $crate::Schemas::of_message::<Self>()
        }
    };
}

/// As [`message_schema!`], of an ask: also the forms of its reply and of its error.
#[macro_export]
macro_rules! ask_schemas {
    () => {
        #[cfg(feature = "schema")]
        fn json_schemas() -> $crate::Schemas {
            $crate::Schemas::of_ask::<Self>()
        }
    };
}

#[cfg(feature = "schema")]
mod derived {
    use std::any::TypeId;

    use serde_json::{Map, Value, json};
    use utoipa::ToSchema;

    use super::{JsonSchema, Schemas};
    use crate::{Ask, Message, Never};

    /// Where `utoipa` points at for what OpenAPI keeps beside its paths, and where it is in a schema that stands alone.
    const COMPONENTS: &str = "#/components/schemas/";
    const DEFINITIONS: &str = "#/$defs/";

    impl Schemas {
        /// Those of a message that nobody answers.
        pub fn of_message<M: Message + ToSchema>() -> Self {
            Self { message: Some(JsonSchema::of::<M>()), ..Self::default() }
        }

        /// Those of an ask.
        pub fn of_ask<M>() -> Self
        where
            M: Ask<Reply: ToSchema, Error: ToSchema> + ToSchema,
        {
            let may_be_rejected = TypeId::of::<M::Error>() != TypeId::of::<Never>();
            Self {
                message: Some(JsonSchema::of::<M>()),
                reply: Some(JsonSchema::of::<M::Reply>()),
                error: may_be_rejected.then(JsonSchema::of::<M::Error>),
            }
        }
    }

    impl JsonSchema {
        /// That of a type. Types that contain each other are told apart by name, so no two may have the same.
        pub fn of<T: ToSchema>() -> Self {
            let mut parts = Vec::new();
            T::schemas(&mut parts);
            let schema = |value| serde_json::to_value(value).unwrap_or_default();
            let mut root = match schema(T::schema()) {
                // What `utoipa` says of `()`.
                Value::Object(root) if root.len() == 1 && root.get("default") == Some(&Value::Null) => {
                    Map::from_iter([("type".into(), "null".into())])
                }
                Value::Object(root) => root,
                other => Map::from_iter([("allOf".into(), json!([other]))]),
            };
            if !parts.is_empty() {
                let parts: Map<String, Value> = parts.into_iter().map(|(name, part)| (name, schema(part))).collect();
                root.insert("$defs".into(), parts.into());
            }
            root.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
            let mut root = Value::Object(root);
            stand_alone(&mut root);
            Self(root.to_string())
        }
    }

    /// Has references lead into the schema itself, and descriptions read as text.
    fn stand_alone(schema: &mut Value) {
        match schema {
            Value::Array(items) => items.iter_mut().for_each(stand_alone),
            Value::Object(members) => {
                for (name, member) in members {
                    match (name.as_str(), &*member) {
                        ("$ref", Value::String(to)) => *member = to.replacen(COMPONENTS, DEFINITIONS, 1).into(),
                        ("description", Value::String(text)) => *member = read_aloud(text).into(),
                        _ => stand_alone(member),
                    }
                }
            }
            _ => {}
        }
    }

    /// A docstring without its line ends, and without where its links lead: ``[`MAX`](crate::MAX)`` is `` `MAX` ``.
    fn read_aloud(docstring: &str) -> String {
        let paragraphs =
            docstring.split("\n\n").map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
        let text = paragraphs.collect::<Vec<_>>().join("\n\n");
        let (mut read, mut rest) = (String::with_capacity(text.len()), text.as_str());
        while let Some((before, link)) = rest.split_once("[`") {
            let Some((name, after)) = link.split_once("`]") else { break };
            read.extend([before, "`", name, "`"]);
            rest = match after.strip_prefix('(').and_then(|target| target.split_once(')')) {
                Some((_, after)) => after,
                None => after,
            };
        }
        read + rest
    }

    #[cfg(test)]
    mod tests {
        use serde::{Deserialize, Serialize};

        use super::*;
        use crate::Capability;

        struct Shop;
        impl Capability for Shop {
            const NAME: &'static str = "shop";
        }

        /// Opens the shop,
        /// as far as [`Shop`] goes.
        #[derive(Serialize, Deserialize, ToSchema)]
        struct Open {
            /// By [whom](https://example.org), at most [`MAX`](crate::MAX) `of them`.
            by: Vec<Clerk>,
            /// Its description is a field of this name.
            description: Option<String>,
        }

        #[derive(Serialize, Deserialize, ToSchema)]
        struct Clerk {
            name: String,
        }

        impl Message for Open {
            type To = Shop;
            const NAME: &'static str = "open";
            const VERSION: u16 = 1;
            ask_schemas!();
        }
        impl Ask for Open {
            type Reply = Option<Clerk>;
            type Error = Never;
        }

        #[test]
        fn a_schema_stands_alone_and_reads_as_text() {
            let Schemas { message, reply, error } = Open::json_schemas();
            let read = |schema: Option<JsonSchema>| serde_json::from_str::<Value>(schema.unwrap().as_str()).unwrap();
            let (message, reply) = (read(message), read(reply));
            assert_eq!(message["description"], "Opens the shop, as far as `Shop` goes.");
            let by = &message["properties"]["by"];
            assert_eq!(by["items"]["$ref"], "#/$defs/Clerk");
            assert_eq!(by["description"], "By [whom](https://example.org), at most `MAX` `of them`.");
            assert_eq!(message["properties"]["description"]["type"], json!(["string", "null"]));
            assert_eq!(message["$defs"]["Clerk"]["required"], json!(["name"]));
            assert_eq!(reply["oneOf"][0], json!({ "type": "null" }));
            assert_eq!(error, None, "it is never rejected");
        }
    }
}
