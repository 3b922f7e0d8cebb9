//! The schema of a capability: its migrations.

use std::fmt;

use sea_orm_migration::MigrationTrait;

/// A capability's migrations, oldest first. The schema's version is their number.
pub struct Schema {
    pub migrations: Vec<Box<dyn MigrationTrait>>,
    pub min_compatible: u32,
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schema(version {}, min_compatible {})", self.version(), self.min_compatible)
    }
}

impl Schema {
    /// A schema that only binaries which know all of it may use.
    ///
    /// Migrations expand now and contract a release later: once a release only adds, say so with
    /// [`Schema::min_compatible`], and the older binary may run beside the newer one.
    pub fn new(migrations: Vec<Box<dyn MigrationTrait>>) -> Self {
        let min_compatible = migrations.len() as u32;
        Self { migrations, min_compatible }
    }

    /// The oldest schema version whose binaries can work with these tables.
    pub fn min_compatible(mut self, version: u32) -> Self {
        self.min_compatible = version;
        self
    }

    /// The number of migrations.
    pub fn version(&self) -> u32 {
        self.migrations.len() as u32
    }

    /// Finds what is wrong with the schema itself.
    pub fn check(&self) -> Result<(), SchemaError> {
        let (version, min) = (self.version(), self.min_compatible);
        if version > 0 && !(1..=version).contains(&min) {
            return Err(SchemaError::MinCompatible { min, version });
        }
        match self.migrations.iter().find(|m| m.use_transaction() == Some(false)) {
            Some(migration) => Err(SchemaError::WithoutTransaction { migration: migration.name().into() }),
            None => Ok(()),
        }
    }

    /// The next step of a binary with this schema.
    pub fn next(&self, applied: &[AppliedMigration]) -> Result<NextMigration, SchemaError> {
        self.check()?;
        let version = self.version();
        for (row, (migration, number)) in applied.iter().zip(self.migrations.iter().zip(1..)) {
            if row.version != number || row.name != migration.name() {
                let (known, applied) = (migration.name().into(), row.name.clone());
                return Err(SchemaError::OtherHistory { version: row.version, applied, known });
            }
        }
        let Some(last) = applied.last() else {
            return Ok(if version == 0 { NextMigration::Ready } else { NextMigration::Apply(0) });
        };
        if last.version < version {
            return Ok(NextMigration::Apply(last.version as usize));
        }
        if version < last.min_compatible {
            let AppliedMigration { version: applied, min_compatible: needed, .. } = *last;
            return Err(SchemaError::TooNew { applied, needed, known: version });
        }
        if last.version == version && last.min_compatible != self.min_compatible {
            return Ok(NextMigration::Relabel);
        }
        Ok(NextMigration::Ready)
    }

    /// The `min_compatible` to note with a migration: while later ones are missing, a binary that knows all that is
    /// there can surely work.
    pub fn min_compatible_at(&self, version: u32) -> u32 {
        self.min_compatible.min(version)
    }
}

/// Why a binary with a schema cannot work with a database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// The binary's own schema promises what it cannot hold.
    #[error("Schema::min_compatible({min}) must be between 1 and the number of migrations ({version})")]
    MinCompatible { min: u32, version: u32 },
    /// A migration of the binary has turned its transaction off.
    #[error("migration `{migration}` refuses to run in a transaction: half of it could be applied")]
    WithoutTransaction { migration: String },
    /// Another migration was applied to the database under the same number.
    #[error(
        "its migration {version} is `{applied}` and this binary's is `{known}`: this is another capability's database, or \
         applied migrations were changed"
    )]
    OtherHistory { version: u32, applied: String, known: String },
    /// A newer binary has changed the database so that this one cannot work with it.
    #[error(
        "its schema has version {applied} and needs a binary that knows at least version {needed}; this one knows {known}: \
         run the newer binary"
    )]
    TooNew { applied: u32, needed: u32, known: u32 },
}

/// A migration that was applied to a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedMigration {
    pub version: u32,
    pub name: String,
    pub min_compatible: u32,
}

/// The next step before a binary can work with a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextMigration {
    /// Apply the migration with this index.
    Apply(usize),
    /// Note this binary's `min_compatible`.
    Relabel,
    /// Nothing.
    Ready,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{TestMigration, schema};

    fn applied(version: u32, min_compatible: u32) -> Vec<AppliedMigration> {
        (1..=version).map(|v| AppliedMigration { version: v, name: format!("m{v}"), min_compatible }).collect()
    }

    #[test]
    fn an_empty_database_gets_the_first_migration_and_a_full_one_none() {
        assert_eq!(schema(3).next(&[]).unwrap(), NextMigration::Apply(0));
        assert_eq!(schema(3).next(&applied(2, 2)).unwrap(), NextMigration::Apply(2));
        assert_eq!(schema(3).next(&applied(3, 3)).unwrap(), NextMigration::Ready);
        assert_eq!(schema(3).min_compatible(2).next(&applied(3, 3)).unwrap(), NextMigration::Relabel);
    }

    #[test]
    fn an_older_binary_starts_from_min_compatible_on_and_is_refused_below() {
        assert_eq!(schema(2).next(&applied(3, 2)).unwrap(), NextMigration::Ready);
        let refused = schema(1).next(&applied(3, 2)).unwrap_err().to_string();
        assert!(refused.contains("version 3 and needs a binary that knows at least version 2"), "{refused}");
    }

    #[test]
    fn another_capabilitys_history_is_refused() {
        let mut history = applied(2, 1);
        history[1].name = "something_else".into();
        let refused = schema(3).next(&history).unwrap_err().to_string();
        assert!(refused.contains("`something_else`") && refused.contains("`m2`"), "{refused}");
    }

    #[test]
    fn an_impossible_min_compatible_is_refused() {
        assert!(schema(2).min_compatible(3).next(&[]).is_err());
        assert!(schema(2).min_compatible(0).next(&[]).is_err());
    }

    #[test]
    fn a_migration_without_a_transaction_is_refused() {
        let migrations = vec![TestMigration::boxed(1), Box::new(TestMigration::number(2).without_transaction())];
        let refused = Schema::new(migrations).next(&[]).unwrap_err().to_string();
        assert!(refused.contains("`m2` refuses to run in a transaction"), "{refused}");
    }
}
