//! The first admin, made when there is none.
//!
//! A timer tries until it is done, since users may come up later, on another node. Every step may be repeated, by this
//! node after a crash or by another one at the same moment:
//!
//! 1. If users has an admin, nothing is to be done. Otherwise one row in auth's database says which id the admin gets.
//! 2. users creates the user with that id, as an admin.
//! 3. In one transaction the row is marked as done and the password kept. Only one node can mark it. A random password
//!    is printed here, while the row is locked and before the commit: it may be printed for a commit that then fails
//!    (the next try prints another one), but it is never kept and not printed. It goes to stderr and not into the log,
//!    which others read and keep.
//!
//! An e-mail address that already belongs to a customer is refused and not promoted: a stranger who registered it first
//! would be admin.

use std::io::Write;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use essaim::contract::AskError;
use essaim::{Cx, Fault, Start, StartupWork, fail};
use essaim_auth_contract::Secret;
use essaim_users_contract::{CreateUser, CreateUserError, GetUser, HasAdmin, Role};

use crate::actor::{AuthShared, FIRST_ADMIN};
use crate::password;
use crate::store::{credentials, first_admin as store};

const NAME: &str = "Administrator";

/// How far this node has come with the first admin.
pub(crate) struct FirstAdmin {
    is_made: AtomicBool,
    /// Whether the log says already why it cannot be made.
    was_refused: AtomicBool,
    /// Start-up work of this node until an admin exists: before, nobody could log in as one.
    startup: Option<StartupWork>,
}

impl FirstAdmin {
    pub fn begin(may_be_missing: bool, start: &Start) -> Self {
        let startup = may_be_missing.then(|| start.startup_work(FIRST_ADMIN));
        Self { is_made: AtomicBool::new(false), was_refused: AtomicBool::new(false), startup }
    }

    fn made(&self) {
        self.is_made.store(true, Relaxed);
        self.startup.iter().for_each(StartupWork::done);
    }
}

/// Makes the first admin, as far as it can be made now.
pub(crate) async fn make(shared: &AuthShared, cx: &mut Cx) -> Result<(), Fault> {
    if shared.first_admin.is_made.load(Relaxed) {
        return Ok(());
    }
    let Some(user_id) = begun(shared, cx).await? else { return Ok(()) };
    let Some(email) = created(shared, cx, &user_id).await? else { return Ok(()) };

    let configured = &shared.settings.first_admin.password;
    let random = configured.expose().is_empty().then(|| password::random(cx.env()));
    let secret = random.clone().unwrap_or_else(|| configured.clone());
    let (hasher, salt) = (shared.hasher.clone(), password::salt(cx.env()));
    let hash = cx.blocking(move || hasher.hash(&secret, &salt)).await?.map_err(fail)?;
    let now = cx.now_ms() as i64;
    let tx = cx.begin().await?;
    if store::finish(&tx, now).await? {
        credentials::put(&tx, &user_id, &hash, now).await?;
        if let Some(password) = &random {
            show(&mut std::io::stderr(), &email, password).map_err(fail)?;
        }
        tx.commit().await?;
        let password = if random.is_some() { "printed to stderr, this once" } else { "as configured" };
        tracing::info!(email, password, "the first admin was made");
    } else {
        tx.rollback().await?;
    }
    shared.first_admin.made();
    Ok(())
}

/// The id of the admin that is to be made; `None` if none is, or if that cannot be known yet.
async fn begun(shared: &AuthShared, cx: &mut Cx) -> Result<Option<String>, Fault> {
    let mut row = store::read(cx.db()).await?;
    if row.is_none() {
        let has_admin = match cx.ask(HasAdmin {}).await {
            Ok(has_admin) => has_admin,
            Err(AskError::NotDelivered(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let (user_id, now) = (cx.new_id().to_string(), cx.now_ms() as i64);
        let tx = cx.begin().await?;
        store::begin(&tx, &user_id, has_admin.then_some(now)).await?;
        row = store::read(&tx).await?;
        tx.commit().await?;
    }
    let pending = row.filter(|row| row.done_at.is_none()).map(|row| row.user_id);
    if pending.is_none() {
        tracing::debug!("no first admin is needed");
        shared.first_admin.made();
    }
    Ok(pending)
}

/// Creates the admin in users, and says under which e-mail address; `None` if it cannot be created yet.
async fn created(shared: &AuthShared, cx: &Cx, user_id: &str) -> Result<Option<String>, Fault> {
    let create = CreateUser {
        id: user_id.to_owned(),
        email: shared.settings.first_admin.email.clone(),
        name: NAME.to_owned(),
        role: Role::Admin,
    };
    match cx.ask(create).await {
        Ok(user) => Ok(Some(user.email)),
        // An earlier try created it under another address, which the configuration had then.
        Err(AskError::Rejected(CreateUserError::IdTaken)) => {
            Ok(cx.ask(GetUser { id: user_id.to_owned() }).await?.map(|user| user.email))
        }
        Err(AskError::Rejected(reason)) => {
            if !shared.first_admin.was_refused.swap(true, Relaxed) {
                // Others need not wait for what an operator has to mend.
                shared.first_admin.startup.iter().for_each(StartupWork::done);
                let email = &shared.settings.first_admin.email;
                tracing::error!(email, %reason, "the first admin cannot be made; set another auth.first_admin.email");
            }
            Ok(None)
        }
        Err(AskError::NotDelivered(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Shows the only copy of a password.
fn show(to: &mut impl Write, email: &str, password: &Secret) -> std::io::Result<()> {
    let password = password.expose();
    writeln!(to, "FIRST ADMIN: log in as {email} with the password {password}; it is shown this once")
}
