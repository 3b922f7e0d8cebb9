//! Deletes expired sessions, old counters and passwords without a user; a timer of every node, a bounded amount each
//! time.

use std::collections::HashSet;

use essaim::contract::AskError;
use essaim::{Cx, Fault};
use essaim_users_contract::{EXISTING_MAX, Existing};

use crate::actor::AuthShared;
use crate::settings::days_ms;
use crate::store::{credentials, sessions};
use crate::throttle;

/// Sessions deleted in one transaction.
const SESSIONS_AT_ONCE: u64 = 500;
/// Transactions of one sweep that delete sessions.
const ROUNDS: usize = 20;

/// Deletes expired sessions, old counters and passwords without a user.
pub(crate) async fn sweep(shared: &AuthShared, cx: &mut Cx) -> Result<(), Fault> {
    let now = cx.now_ms() as i64;
    for _ in 0..ROUNDS {
        let tx = cx.begin().await?;
        let deleted = sessions::delete_expired(&tx, SESSIONS_AT_ONCE, now).await?;
        tx.commit().await?;
        if (deleted as u64) < SESSIONS_AT_ONCE {
            break;
        }
    }
    let tx = cx.begin().await?;
    throttle::sweep(&tx, &shared.settings.throttle, now).await?;
    tx.commit().await?;
    orphans(shared, cx, now).await?;
    tracing::debug!("swept");
    Ok(())
}

/// Deletes passwords whose user users has not known for `auth.orphan_days`: of registrations that were interrupted, which
/// store the password first and never made a user, so that no event tells of them; and of users whose deletion was not
/// heard, such as when a database was restored. The time in between protects the passwords from a users database that is
/// wrong for a while.
async fn orphans(shared: &AuthShared, cx: &mut Cx, now: i64) -> Result<(), Fault> {
    let after = shared.swept.lock().clone();
    let some = credentials::users_after(cx.db(), &after, EXISTING_MAX as u64).await?;
    let ids: Vec<String> = some.iter().map(|(id, _)| id.clone()).collect();
    let next = if ids.len() < EXISTING_MAX { String::new() } else { ids.last().cloned().unwrap_or_default() };
    if !ids.is_empty() {
        let found: HashSet<String> = match cx.ask(Existing { ids }).await {
            Ok(found) => found.into_iter().collect(),
            Err(AskError::NotDelivered(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let (here, missing): (Vec<_>, Vec<_>) = some.into_iter().partition(|(id, _)| found.contains(id));
        let back: Vec<String> = here.into_iter().filter_map(|(id, since)| since.map(|_| id)).collect();
        let (old, new): (Vec<_>, Vec<_>) = missing.into_iter().partition(|(_, since)| since.is_some());
        let [old, new] = [old, new].map(|users| users.into_iter().map(|(id, _)| id).collect::<Vec<_>>());
        if !(back.is_empty() && old.is_empty() && new.is_empty()) {
            let tx = cx.begin().await?;
            credentials::set_missing(&tx, back, None).await?;
            credentials::set_missing(&tx, new, Some(now)).await?;
            credentials::delete_missing(&tx, old, now - days_ms(shared.settings.orphan_days)).await?;
            tx.commit().await?;
        }
    }
    *shared.swept.lock() = next;
    Ok(())
}
