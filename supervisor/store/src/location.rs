//! The location of a capability's database, read from `capabilities.NAME.database`.

use std::fmt;
use std::path::PathBuf;

use essaim_config::Settings;
use serde::{Deserialize, Serialize};

use super::{DatabaseError, LocationMistake, postgres};

/// The kinds of database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatabaseKind {
    /// A file of this machine; it has exactly one live host.
    #[default]
    Sqlite,
    /// A server that many nodes share.
    Postgres,
}

impl DatabaseKind {
    /// The kind of a capability's database, as far as the scheme of `capabilities.NAME.database` tells.
    pub fn of(capability: &str, settings: &Settings) -> Self {
        Self::configured(settings.capabilities.get(capability).map_or("", |c| c.database.trim()))
    }

    /// The kind that `capabilities.NAME.database` asks for, as far as its scheme tells.
    pub fn configured(database: &str) -> Self {
        match database.split_once(':') {
            Some(("postgres" | "postgresql", _)) => Self::Postgres,
            _ => Self::Sqlite,
        }
    }

    /// Whether only one node may host a capability whose database is of this kind.
    pub fn has_one_host(self) -> bool {
        self == Self::Sqlite
    }
}

impl fmt::Display for DatabaseKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        })
    }
}

/// The location of a database. It displays without the password.
#[derive(Debug, Clone)]
pub enum DatabaseLocation {
    Sqlite(PathBuf),
    Postgres { options: postgres::Options, schema: String },
}

impl DatabaseLocation {
    /// The configured location of the database of this capability.
    ///
    /// # Errors
    /// If the key is neither of the forms that it may have. The message never repeats the value: it may hold a
    /// password.
    pub fn of(capability: &str, settings: &Settings) -> Result<Self, DatabaseError> {
        let wrong = |mistake| DatabaseError::Location { key: format!("capabilities.{capability}.database"), mistake };
        let configured = settings.capabilities.get(capability).map_or("", |c| c.database.trim());
        let Some((scheme, rest)) = configured.split_once(':') else {
            if configured.is_empty() {
                return Ok(Self::Sqlite(settings.node.data_dir.join(format!("{capability}.sqlite3"))));
            }
            return Err(wrong(LocationMistake::NoUrl));
        };
        match scheme {
            "sqlite" => {
                let path = rest.strip_prefix("//").unwrap_or(rest);
                if path.is_empty() || path.starts_with(":memory:") || path.contains('?') {
                    return Err(wrong(LocationMistake::NoPlainPath));
                }
                Ok(Self::Sqlite(PathBuf::from(path)))
            }
            "postgres" | "postgresql" => {
                let options = postgres::Options::parse(configured).map_err(wrong)?;
                Ok(Self::Postgres { options, schema: capability.to_string() })
            }
            other => Err(wrong(LocationMistake::OtherScheme(other.into()))),
        }
    }

    pub fn kind(&self) -> DatabaseKind {
        match self {
            Self::Sqlite(_) => DatabaseKind::Sqlite,
            Self::Postgres { .. } => DatabaseKind::Postgres,
        }
    }
}

/// Checks the configured location of this capability's database, as far as that needs no server. What a binary was not built for is
/// left to the node that would host it.
///
/// # Errors
/// As [`DatabaseLocation::of`].
pub fn check_location(capability: &str, settings: &Settings) -> Result<(), DatabaseError> {
    match DatabaseLocation::of(capability, settings) {
        Ok(_) | Err(DatabaseError::Location { mistake: LocationMistake::WithoutPostgres, .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

impl fmt::Display for DatabaseLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "{}", path.display()),
            Self::Postgres { options, schema } => write!(f, "{} (schema `{schema}`)", options.location()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(database: &str) -> Result<DatabaseLocation, DatabaseError> {
        let mut settings = Settings::default();
        settings.node.data_dir = "/data".into();
        settings.capabilities.entry("orders".into()).or_default().database = database.into();
        DatabaseLocation::of("orders", &settings)
    }

    #[test]
    fn nothing_configured_is_a_file_of_its_own_in_the_data_directory() {
        assert_eq!(location("").unwrap().to_string(), "/data/orders.sqlite3");
        assert_eq!(DatabaseLocation::of("users", &Settings::default()).unwrap().kind(), DatabaseKind::Sqlite);
    }

    #[test]
    fn a_sqlite_url_is_a_plain_path() {
        assert_eq!(location("sqlite:///var/x.db").unwrap().to_string(), "/var/x.db");
        assert_eq!(location("sqlite://here/x.db").unwrap().to_string(), "here/x.db");
        for wrong in ["sqlite://", "sqlite::memory:", "sqlite://x.db?mode=rwc"] {
            assert!(location(wrong).unwrap_err().to_string().contains("capabilities.orders.database"), "{wrong}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        if cfg!(feature = "postgres") {
            let shown = location("postgres://shop:s3cret@db.example:6543/main").unwrap().to_string();
            assert_eq!(shown, "postgres://shop@db.example:6543/main (schema `orders`)");
        }
        for wrong in ["mysql://u:s3cret@h/d", "postgres://u:s3cret@h:port/d", "s3cret", "postgres://u:s3cret@[h/d"] {
            let error = location(wrong).unwrap_err().to_string();
            assert!(!error.contains("s3cret") && error.contains("capabilities.orders.database"), "{error}");
        }
    }

    #[cfg(not(feature = "postgres"))]
    #[test]
    fn a_binary_without_postgresql_refuses_its_urls_and_says_how_to_build_one() {
        let refused = location("postgres://shop:s3cret@db.example/main").unwrap_err().to_string();
        assert!(refused.contains("capabilities.orders.database") && refused.contains("`postgres`"), "{refused}");
        assert!(!refused.contains("s3cret"), "{refused}");
    }

    #[test]
    fn the_kind_is_told_from_the_scheme_alone() {
        assert!(DatabaseKind::configured("").has_one_host());
        assert!(DatabaseKind::configured("sqlite://a").has_one_host());
        assert!(!DatabaseKind::configured("postgresql://a").has_one_host());
    }
}
