//! The table of orders. Nothing outside this module knows a column.

use essaim_orders_contract::{Order, OrderStatus, Rejection};
use essaim_supervisor::store::Schema;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;
use sea_orm::{Condition, IntoActiveModel, QueryOrder, QuerySelect, QueryTrait};
use serde::Serialize;
use serde::de::DeserializeOwned;

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
    /// When the repair should look at the order; null once nothing is left to do.
    repair_after_ms: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// An order as the table has it.
#[derive(Debug)]
pub(crate) struct Stored {
    pub order: Order,
    pub body_hash: String,
    /// Whether something is left to do: reserving for a pending order, releasing for any other.
    pub unfinished: bool,
}

/// An order to write.
pub(crate) struct New<'a> {
    pub order: &'a Order,
    pub subject: &'a str,
    pub idempotency_key: Option<&'a str>,
    pub body_hash: &'a str,
    pub repair_after_ms: i64,
}

/// Writes a new order. False, and nothing is changed, if its id or its customer's key is known.
pub(crate) async fn insert(tx: &impl ConnectionTrait, new: New<'_>) -> Result<bool, DbErr> {
    let order = new.order;
    let row = Model {
        id: order.id.clone(),
        subject: new.subject.into(),
        idempotency_key: new.idempotency_key.map(Into::into),
        body_hash: new.body_hash.into(),
        status: order.status.to_string(),
        lines: to_json(&order.lines)?,
        total_cents: None,
        currency: None,
        rejection: None,
        created_at_ms: order.created_at_ms,
        repair_after_ms: Some(new.repair_after_ms),
    };
    let unless_known = OnConflict::new().do_nothing().to_owned();
    Ok(Entity::insert(row.into_active_model()).on_conflict(unless_known).exec_without_returning(tx).await? == 1)
}

/// The customer's order with this key or, without one, with this id.
pub(crate) async fn known(
    db: &impl ConnectionTrait,
    subject: &str,
    id: &str,
    key: Option<&str>,
) -> Result<Option<Stored>, DbErr> {
    let one = match key {
        Some(key) => Column::IdempotencyKey.eq(key),
        None => Column::Id.eq(id),
    };
    stored(Entity::find().filter(Column::Subject.eq(subject)).filter(one).one(db).await?)
}

/// The customer's order with this id; another customer's does not exist.
pub(crate) async fn find(db: &impl ConnectionTrait, subject: &str, id: &str) -> Result<Option<Stored>, DbErr> {
    stored(Entity::find_by_id(id).filter(Column::Subject.eq(subject)).one(db).await?)
}

/// At most `limit` of the customer's orders older than `cursor`, newest first.
pub(crate) async fn page(
    db: &impl ConnectionTrait,
    subject: &str,
    limit: u64,
    cursor: Option<&str>,
) -> Result<Vec<Order>, DbErr> {
    let before = |query: Select<Entity>, id: &str| query.filter(Column::Id.lt(id));
    let mine = Entity::find().filter(Column::Subject.eq(subject)).apply_if(cursor, before);
    let rows = mine.order_by_desc(Column::Id).limit(limit).all(db).await?;
    rows.into_iter().map(|row| Ok(Stored::try_from(row)?.order)).collect()
}

/// Puts the repair off. False if the order is not in this state, or has nothing left to do.
pub(crate) async fn put_off(
    tx: &impl ConnectionTrait,
    id: &str,
    status: OrderStatus,
    repair_after_ms: i64,
) -> Result<bool, DbErr> {
    let update = Entity::update_many()
        .col_expr(Column::RepairAfterMs, Expr::value(repair_after_ms))
        .filter(Column::Id.eq(id))
        .filter(Column::Status.eq(status.to_string()))
        .filter(Column::RepairAfterMs.is_not_null());
    Ok(update.exec(tx).await?.rows_affected == 1)
}

/// Writes what became of a pending order. False, and nothing is changed, if it is not pending any more.
///
/// `release_from_ms`: from when on the repair should release its stock; `None` if it holds none that it should not.
pub(crate) async fn settle(
    tx: &impl ConnectionTrait,
    order: &Order,
    release_from_ms: Option<i64>,
) -> Result<bool, DbErr> {
    let rejection = order.rejection.as_ref().map(to_json).transpose()?;
    let update = Entity::update_many()
        .col_expr(Column::Status, Expr::value(order.status.to_string()))
        .col_expr(Column::Lines, Expr::value(to_json(&order.lines)?))
        .col_expr(Column::TotalCents, Expr::value(order.total_cents))
        .col_expr(Column::Currency, Expr::value(order.currency.clone()))
        .col_expr(Column::Rejection, Expr::value(rejection))
        .col_expr(Column::RepairAfterMs, Expr::value(release_from_ms))
        .filter(Column::Id.eq(&order.id))
        .filter(Column::Status.eq(OrderStatus::Pending.to_string()));
    Ok(update.exec(tx).await?.rows_affected == 1)
}

/// Rejects a pending order that nobody has worked on until its moment came. False if somebody has.
pub(crate) async fn abandon(tx: &impl ConnectionTrait, id: &str, now_ms: i64) -> Result<bool, DbErr> {
    let update = Entity::update_many()
        .col_expr(Column::Status, Expr::value(OrderStatus::Rejected.to_string()))
        .col_expr(Column::Rejection, Expr::value(to_json(&Rejection::Abandoned)?))
        .col_expr(Column::RepairAfterMs, Expr::value(now_ms))
        .filter(Column::Id.eq(id))
        .filter(Column::Status.eq(OrderStatus::Pending.to_string()))
        .filter(Column::RepairAfterMs.lte(now_ms));
    Ok(update.exec(tx).await?.rows_affected == 1)
}

/// Cancels a pending or confirmed order, whose stock is then to be released. False if it is neither.
pub(crate) async fn cancel(
    tx: &impl ConnectionTrait,
    subject: &str,
    id: &str,
    release_from_ms: i64,
) -> Result<bool, DbErr> {
    let update = Entity::update_many()
        .col_expr(Column::Status, Expr::value(OrderStatus::Cancelled.to_string()))
        .col_expr(Column::RepairAfterMs, Expr::value(release_from_ms))
        .filter(Column::Id.eq(id))
        .filter(Column::Subject.eq(subject))
        .filter(Column::Status.is_in([OrderStatus::Pending.to_string(), OrderStatus::Confirmed.to_string()]));
    Ok(update.exec(tx).await?.rows_affected == 1)
}

/// Notes that catalog has released an order's stock.
pub(crate) async fn released(tx: &impl ConnectionTrait, id: &str) -> Result<(), DbErr> {
    let update = Entity::update_many()
        .col_expr(Column::RepairAfterMs, Expr::value(Option::<i64>::None))
        .filter(Column::Id.eq(id))
        .filter(Column::Status.is_in([OrderStatus::Rejected.to_string(), OrderStatus::Cancelled.to_string()]));
    update.exec(tx).await.map(drop)
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
        Ok(Self { order, body_hash: row.body_hash, unfinished: row.repair_after_ms.is_some() })
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
