//! What auth keeps of a user goes with the user.

use essaim::{Apply, Cx, Fault};
use essaim_users_contract::UserDeleted;

use crate::AuthActor;
use crate::store::{credentials, sessions};

impl Apply<UserDeleted> for AuthActor {
    async fn apply(&mut self, m: UserDeleted, cx: &mut Cx) -> Result<(), Fault<String>> {
        let tx = cx.begin().await?;
        credentials::delete(&tx, &m.user_id).await?;
        // A session that is opened by a login at this very moment cannot be refreshed: users does not know the user.
        sessions::delete_user(&tx, &m.user_id).await?;
        Ok(tx.commit().await?)
    }
}
