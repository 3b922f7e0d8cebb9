//! What the capability `hello` answers.

use std::fmt;

use essaim_contract::{Ask, Capability, Message, ask_schemas};
use serde::{Deserialize, Serialize};

/// The capability.
#[derive(Debug, Clone, Copy)]
pub struct Hello;

impl Capability for Hello {
    const NAME: &'static str = "hello";
}

/// Greets somebody, and counts it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Greet {
    /// Who is greeted.
    pub name: String,
}

/// The answer to [`Greet`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Greeted {
    /// The greeting.
    pub text: String,
    /// How often this name has been greeted, this time included.
    pub times: i64,
}

/// Why nobody is greeted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum GreetError {
    /// The name is empty.
    NoName,
    /// The name has more characters than this.
    TooLong(usize),
}

impl Message for Greet {
    type To = Hello;
    const NAME: &'static str = "greet";
    const VERSION: u16 = 1;
    ask_schemas!();
}

impl Ask for Greet {
    type Reply = Greeted;
    type Error = GreetError;
}

impl fmt::Display for GreetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoName => f.write_str("there is no name"),
            Self::TooLong(most) => write!(f, "the name has more than {most} characters"),
        }
    }
}
