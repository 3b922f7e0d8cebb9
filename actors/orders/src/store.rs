//! The table of orders. Nothing outside this module knows a column.

use essaim::store::{ModelQueries, Schema};
use essaim_orders_contract::{Order, OrderStatus, Rejection};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{OnConflict, Query};
use sea_orm::{Condition, IntoActiveModel, Iterable, QueryOrder, QuerySelect, QueryTrait, UpdateMany};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) mod keys;
mod migrations;

/// The tables of orders.
pub(crate) fn schema() -> Schema {
    migrations::schema()
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "orders")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    id: String,
    /// The customer.
    subject: String,
    idempotency_key: Option<String>,
    /// Customer and key in one, which no other order may have: it stays taken when the customer is forgotten.
    key_hash: Option<String>,
    /// When the key of a customer who was forgotten is free again.
    key_until_ms: Option<i64>,
    /// Tells whether the same key comes with the same order.
    body_hash: String,
    status: String,
    /// The lines as JSON: they are only ever read and written with their order.
    lines: String,
    total_cents: Option<i64>,
    currency: Option<String>,
    /// Why it was rejected, as JSON.
    rejection: Option<String>,
    created_at_ms: i64,
    /// When a pending order is given up; null once it is decided. Other orders with such a moment were left by a version
    /// that released stock in a step of its own.
    repair_after_ms: Option<i64>,
    /// Until when the request that placed it may wait for its answer. The node that it waits in may be lost, so this is a
    /// moment rather than a flag.
    answer_by_ms: Option<i64>,
}

/// The customer of orders whose customer was deleted: it is no subject of a principal, since those are ids of users.
const NOBODY: &str = "(deleted)";

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// An order as the table has it.
#[derive(Debug)]
pub(crate) struct Stored {
    pub order: Order,
    /// The customer.
    pub subject: String,
    pub body_hash: String,
    /// Until when the request that placed it may wait for its answer, in milliseconds since 1970.
    pub answer_by_ms: Option<i64>,
}

/// An order to write.
pub(crate) struct New<'a> {
    pub order: &'a Order,
    pub subject: &'a str,
    pub idempotency_key: Option<&'a str>,
    pub body_hash: &'a str,
    /// When it is given up unless it is decided.
    pub due_ms: i64,
    /// Until when its request waits for its answer, if it waits.
    pub answer_by_ms: Option<i64>,
}

/// Writes a new order. False, and nothing is changed, if its id or its customer's key is known.
pub(crate) async fn insert(tx: &impl ConnectionTrait, new: New<'_>) -> Result<bool, DbErr> {
    let order = new.order;
    let row = Model {
        id: order.id.clone(),
        subject: new.subject.into(),
        idempotency_key: new.idempotency_key.map(Into::into),
        key_hash: new.idempotency_key.map(|key| keys::hash(new.subject, key)),
        key_until_ms: None,
        body_hash: new.body_hash.into(),
        status: order.status.to_string(),
        lines: to_json(&order.lines)?,
        total_cents: None,
        currency: None,
        rejection: None,
        created_at_ms: order.created_at_ms,
        repair_after_ms: Some(new.due_ms),
        answer_by_ms: new.answer_by_ms,
    };
    let unless_known = OnConflict::new().do_nothing().to_owned();
    Ok(Entity::insert(row.into_active_model()).on_conflict(unless_known).exec_without_returning(tx).await? == 1)
}

/// The customer's order with this key or, without one, with this id.
pub(crate) async fn known(
    db: &impl ModelQueries,
    subject: &str,
    id: &str,
    key: Option<&str>,
) -> Result<Option<Stored>, DbErr> {
    let one = match key {
        Some(key) => Column::IdempotencyKey.eq(key),
        None => Column::Id.eq(id),
    };
    stored(db.model::<Entity>(&Entity::find().filter(Column::Subject.eq(subject)).filter(one).into_query()).await?)
}

/// The customer's order with this id; another customer's does not exist.
pub(crate) async fn find(db: &impl ModelQueries, subject: &str, id: &str) -> Result<Option<Stored>, DbErr> {
    stored(db.model::<Entity>(&Entity::find_by_id(id).filter(Column::Subject.eq(subject)).into_query()).await?)
}

/// The order with this id, of any customer; for messages that are about no customer.
pub(crate) async fn of_any(db: &impl ModelQueries, id: &str) -> Result<Option<Stored>, DbErr> {
    stored(db.model::<Entity>(&Entity::find_by_id(id).into_query()).await?)
}

/// The status of an order, of any customer.
pub(crate) async fn status(db: &impl ConnectionTrait, id: &str) -> Result<Option<OrderStatus>, DbErr> {
    let found: Option<String> =
        Entity::find_by_id(id).select_only().column(Column::Status).into_tuple().one(db).await?;
    found.map(|text| status_of(&text)).transpose()
}

/// At most `limit` of the customer's orders older than `cursor`, newest first.
pub(crate) async fn page(
    db: &impl ModelQueries,
    subject: &str,
    limit: u64,
    cursor: Option<&str>,
) -> Result<Vec<Order>, DbErr> {
    let before = |query: Select<Entity>, id: &str| query.filter(Column::Id.lt(id));
    let mine = Entity::find().filter(Column::Subject.eq(subject)).apply_if(cursor, before);
    let rows = db.models::<Entity>(&mine.order_by_desc(Column::Id).limit(limit).into_query()).await?;
    rows.into_iter().map(|row| Ok(Stored::try_from(row)?.order)).collect()
}

/// Settles a pending order. False, and nothing is changed, if it is not pending any more.
pub(crate) async fn settle(tx: &impl ConnectionTrait, order: &Order) -> Result<bool, DbErr> {
    let rejection = order.rejection.as_ref().map(to_json).transpose()?;
    let update = decide(order.status)
        .col_expr(Column::Lines, Expr::value(to_json(&order.lines)?))
        .col_expr(Column::TotalCents, Expr::value(order.total_cents))
        .col_expr(Column::Currency, Expr::value(order.currency.clone()))
        .col_expr(Column::Rejection, Expr::value(rejection))
        .filter(Column::Id.eq(&order.id))
        .filter(is(&[OrderStatus::Pending]));
    Ok(update.exec(tx).await?.rows_affected == 1)
}

/// Rejects a pending order whose time is up; its customer, if this is what decided it.
pub(crate) async fn abandon(tx: &impl ModelQueries, id: &str, now_ms: i64) -> Result<Option<String>, DbErr> {
    let update = decide(OrderStatus::Rejected)
        .col_expr(Column::Rejection, Expr::value(to_json(&Rejection::Abandoned)?))
        .filter(Column::Id.eq(id))
        .filter(is(&[OrderStatus::Pending]))
        .filter(Column::RepairAfterMs.lte(now_ms));
    Ok(returning(tx, update).await?.into_iter().next().map(|row| row.subject))
}

/// Cancels a pending or confirmed order. False if it is neither.
pub(crate) async fn cancel(tx: &impl ConnectionTrait, subject: &str, id: &str) -> Result<bool, DbErr> {
    let update = decide(OrderStatus::Cancelled)
        .filter(Column::Id.eq(id))
        .filter(Column::Subject.eq(subject))
        .filter(is(&[OrderStatus::Pending, OrderStatus::Confirmed]));
    Ok(update.exec(tx).await?.rows_affected == 1)
}

/// Cancels all pending orders of a customer; their ids.
pub(crate) async fn cancel_pending(tx: &impl ModelQueries, subject: &str) -> Result<Vec<String>, DbErr> {
    let update = decide(OrderStatus::Cancelled).filter(Column::Subject.eq(subject)).filter(is(&[OrderStatus::Pending]));
    Ok(returning(tx, update).await?.into_iter().map(|row| row.id).collect())
}

/// Makes a customer's orders nobody's. Their keys stay taken until that moment, for attempts that are still on their way.
pub(crate) async fn anonymize(tx: &impl ConnectionTrait, subject: &str, until_ms: i64) -> Result<(), DbErr> {
    keys::mark(tx, subject).await?;
    let update = Entity::update_many()
        .col_expr(Column::Subject, Expr::value(NOBODY))
        .col_expr(Column::IdempotencyKey, Expr::value(Option::<String>::None))
        .col_expr(Column::BodyHash, Expr::value(""))
        .col_expr(Column::KeyUntilMs, Expr::value(until_ms))
        .filter(Column::Subject.eq(subject));
    update.exec(tx).await.map(drop)
}

/// Notes that the stock of an order that is rejected or cancelled is being released. False if nothing of it was left to do.
pub(crate) async fn finish(tx: &impl ConnectionTrait, id: &str) -> Result<bool, DbErr> {
    let update = Entity::update_many()
        .col_expr(Column::RepairAfterMs, Expr::value(Option::<i64>::None))
        .filter(Column::Id.eq(id))
        .filter(is(&[OrderStatus::Rejected, OrderStatus::Cancelled]))
        .filter(Column::RepairAfterMs.is_not_null());
    Ok(update.exec(tx).await?.rows_affected == 1)
}

/// An update that decides orders.
fn decide(status: OrderStatus) -> UpdateMany<Entity> {
    Entity::update_many()
        .col_expr(Column::Status, Expr::value(status.to_string()))
        .col_expr(Column::RepairAfterMs, Expr::value(Option::<i64>::None))
}

fn is(statuses: &[OrderStatus]) -> Expr {
    Column::Status.is_in(statuses.iter().map(ToString::to_string))
}

/// Runs an update and reads the rows in the same statement, so that no other writer comes between.
async fn returning(tx: &impl ModelQueries, update: UpdateMany<Entity>) -> Result<Vec<Model>, DbErr> {
    let mut statement = update.into_query();
    statement.returning(Query::returning().columns(Column::iter()));
    tx.models::<Entity>(&statement).await
}

/// Orders whose moment for repair has come, the longest waiting first, with their status.
pub(crate) async fn due(
    db: &impl ConnectionTrait,
    now_ms: i64,
    limit: u64,
) -> Result<Vec<(String, OrderStatus)>, DbErr> {
    let rows: Vec<(String, String)> = Entity::find()
        .select_only()
        .column(Column::Id)
        .column(Column::Status)
        .filter(Condition::all().add(Column::RepairAfterMs.is_not_null()).add(Column::RepairAfterMs.lte(now_ms)))
        .order_by_asc(Column::RepairAfterMs)
        .limit(limit)
        .into_tuple()
        .all(db)
        .await?;
    rows.into_iter().map(|(id, status)| Ok((id, status_of(&status)?))).collect()
}

fn stored(row: Option<Model>) -> Result<Option<Stored>, DbErr> {
    row.map(TryInto::try_into).transpose()
}

impl TryFrom<Model> for Stored {
    type Error = DbErr;

    fn try_from(row: Model) -> Result<Self, DbErr> {
        let order = Order {
            id: row.id,
            status: status_of(&row.status)?,
            lines: from_json(&row.lines)?,
            total_cents: row.total_cents,
            currency: row.currency,
            rejection: row.rejection.as_deref().map(from_json).transpose()?,
            created_at_ms: row.created_at_ms,
        };
        Ok(Self { order, subject: row.subject, body_hash: row.body_hash, answer_by_ms: row.answer_by_ms })
    }
}

fn status_of(text: &str) -> Result<OrderStatus, DbErr> {
    use OrderStatus::{Cancelled, Confirmed, Pending, Rejected};
    let known = [Pending, Confirmed, Rejected, Cancelled].into_iter().find(|s| s.to_string() == text);
    known.ok_or_else(|| DbErr::Type(format!("an order has the status `{text}`")))
}

fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<String, DbErr> {
    serde_json::to_string(value).map_err(|e| DbErr::Json(e.to_string()))
}

fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, DbErr> {
    serde_json::from_str(text).map_err(|e| DbErr::Json(e.to_string()))
}
