//! What tests that need databases have in common.

pub mod bench;

use std::path::{Path, PathBuf};

use essaim_base::Env;
use sea_orm::{ConnectionTrait, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use super::Schema;

/// A directory that goes with the test.
pub struct Directory(PathBuf);

impl Directory {
    #[allow(clippy::new_without_default)] // It makes something on disk.
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(format!("essaim-store-{}", Env::system().id()));
        std::fs::create_dir_all(&path).expect("the directory can be made");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A migration called `m<number>` that makes the table `t<number>`, does what else it is told to, and then may fail.
pub struct TestMigration {
    number: u32,
    name: String,
    more: &'static str,
    fails: bool,
    transaction: Option<bool>,
}

impl TestMigration {
    pub fn number(number: u32) -> Self {
        Self { number, name: format!("m{number}"), more: "", fails: false, transaction: None }
    }

    pub fn boxed(number: u32) -> Box<dyn MigrationTrait> {
        Box::new(Self::number(number))
    }

    pub fn without_transaction(self) -> Self {
        Self { transaction: Some(false), ..self }
    }

    pub fn then(self, more: &'static str) -> Self {
        Self { more, ..self }
    }

    pub fn failing(self) -> Self {
        Self { fails: true, ..self }
    }
}

impl MigrationName for TestMigration {
    fn name(&self) -> &str {
        &self.name
    }
}

#[async_trait::async_trait]
impl MigrationTrait for TestMigration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sql = format!("CREATE TABLE t{} (id INTEGER PRIMARY KEY, word TEXT UNIQUE)", self.number);
        manager.get_connection().execute_unprepared(&format!("{sql}; {}", self.more)).await?;
        match self.fails {
            true => Err(DbErr::Migration("half-way".into())),
            false => Ok(()),
        }
    }

    fn use_transaction(&self) -> Option<bool> {
        self.transaction
    }
}

/// A schema of so many steps.
pub fn schema(steps: u32) -> Schema {
    Schema::new((1..=steps).map(TestMigration::boxed).collect())
}
