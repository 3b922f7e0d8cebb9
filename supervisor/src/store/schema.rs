//! The tables of a capability and how they came to be.

use sea_orm_migration::MigrationTrait;

/// A capability's migrations, oldest first. The schema's version is their number.
pub struct Schema {
    pub(crate) migrations: Vec<Box<dyn MigrationTrait>>,
    pub(crate) min_compatible: u32,
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
}
