//! Backups: a node copies what it keeps in files, at one moment.
//!
//! The databases of its capabilities and the embedded log are the cut: messages are on their way between them, so none may be older
//! than another. The audit is copied with them, since it goes with the disk as they do. Message records are not: they are history,
//! on which nothing depends, and by far the most bytes.

use std::path::PathBuf;

use essaim_audit::file_of;
use essaim_store::{AboutBackup, BackupError, BackupManifest, BackupOf, CutFile, Database, DatabaseKind, back_up};

use crate::api::MakeBackup;
use crate::requests::{Operator, OperatorRequest, Refusal, silent};

impl OperatorRequest for MakeBackup {
    async fn answer(self, operator: &Operator) -> Result<BackupManifest, Refusal> {
        if !self.directory.is_absolute() {
            return Err(Refusal::Wrong("the directory of a backup is named by its whole path".into()));
        }
        // Without a slash at its end.
        let directory: PathBuf = self.directory.components().collect();
        let act = format!("makes a backup at {}", directory.display());
        operator.audited(act, operator.back_up(directory)).await
    }
}

impl Operator {
    async fn back_up(&self, directory: PathBuf) -> Result<BackupManifest, Refusal> {
        let files = self.files()?;
        if files.is_empty() {
            let what = format!("`{}` keeps no database in a file: there is nothing to copy", self.node);
            return Err(Refusal::Wrong(format!("{what}; ask the node that does (--node NAME)")));
        }
        let log = match &self.durable {
            Some(durable) => Some(durable.log.identity().await.map_err(|error| silent(&error))?),
            None => None,
        };
        let about = AboutBackup { node: self.node.clone(), log, not_in_it: self.elsewhere() };
        let audit = file_of(&self.bus.settings.node);
        let audit =
            audit.exists().then(|| CutFile { of: BackupOf::Audit(self.node.clone()), path: audit, database: None });
        let bus = self.bus.clone();
        let made =
            back_up(directory, files.into_iter().chain(audit).collect(), about, &self.env, move || !bus.is_draining());
        let made = made.await.map_err(refusal)?;
        let (node, moment) = (&self.node, made.at_ms);
        tracing::info!(node, moment, files = made.files.len(), "a backup was made");
        Ok(made)
    }

    /// The files of the cut.
    fn files(&self) -> Result<Vec<CutFile>, Refusal> {
        let mut files = Vec::new();
        for host in self.local.hosts() {
            let database = host.database();
            if database.is_none() && host.is_exclusive() {
                let what = format!(
                    "`{}` has not started, so that its database could not be copied with the others",
                    host.name
                );
                return Err(Refusal::Away(format!(
                    "nothing was copied: {what}; try again when `essaim status` shows that it runs"
                )));
            }
            files.extend(
                database.and_then(|database| of_database(BackupOf::Capability(host.name.to_string()), database)),
            );
        }
        files.extend(self.bus.log_file.clone().and_then(|log| of_database(BackupOf::Log, log)));
        Ok(files)
    }

    /// What belongs to the node and is in no file of its own.
    fn elsewhere(&self) -> Vec<String> {
        let settings = &self.bus.settings;
        let is_on_server = |name: &str| DatabaseKind::of(name, settings) == DatabaseKind::Postgres;
        let on_server = self.local.hosts().iter().filter(|host| is_on_server(&host.name));
        let mut elsewhere: Vec<_> =
            on_server.map(|host| format!("the database of `{}`, which is on PostgreSQL", host.name)).collect();
        if self.durable.is_some() && self.bus.log_file.is_none() {
            elsewhere.push("the log, which is on Redis".into());
        }
        elsewhere
    }
}

fn of_database(of: BackupOf, database: Database) -> Option<CutFile> {
    let path = database.path()?.to_path_buf();
    Some(CutFile { of, path, database: Some(database) })
}

fn refusal(error: BackupError) -> Refusal {
    let why = error.to_string();
    if error.is_mistake() { Refusal::Wrong(why) } else { Refusal::Undone(why) }
}

#[cfg(test)]
mod tests {
    use essaim_config::NodeConfig;

    use super::*;

    #[test]
    fn the_audit_is_restored_to_where_it_is() {
        let node = NodeConfig { name: "shop".into(), ..NodeConfig::default() };
        let name = BackupOf::Audit(node.name.clone()).file_name();
        assert_eq!(file_of(&node), node.data_dir.join(name));
    }
}
