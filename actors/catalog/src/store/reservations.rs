//! What orders took from stock: one row an order, which remembers the first answer that the order got.
//!
//! Locks are taken in one order, so that PostgreSQL cannot meet a deadlock: a transaction that takes stock locks the
//! products by ascending id and inserts its row last, so a transaction that waits for an inserted row waits for one
//! that waits for nothing more. A transaction that gives stock back locks its row first; no transaction that holds a
//! product waits for a row that exists, since `ON CONFLICT DO NOTHING` does not wait for one.

use essaim::store::{ModelQueries, Tx};
use essaim_catalog_contract::{PricedLine, Refusal, ReserveLine};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{OnConflict, Query};
use sea_orm::{IntoActiveModel, Iterable, QueryTrait};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::products;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "reservations")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    order_id: String,
    /// `held`, `refused` or `released`.
    state: String,
    /// The lines as JSON: they are only ever read together, and never looked up by product.
    lines: String,
    /// Why nothing was taken, as JSON.
    refusal: Option<String>,
    changed_at_ms: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

const HELD: &str = "held";
const REFUSED: &str = "refused";
const RELEASED: &str = "released";

/// Outcome of an attempt to take stock; all but `Taken` must be rolled back.
pub(crate) enum Held {
    /// Stock was taken and the row written: commit.
    Taken(Vec<PricedLine>),
    /// There is a row already, which has the answer.
    Known,
    /// Some lines cannot be had.
    Short(Refusal),
}

/// Takes stock for every line and writes the order's row.
pub(crate) async fn hold(tx: &Tx<'_>, order_id: &str, lines: &[ReserveLine], now_ms: i64) -> Result<Held, DbErr> {
    let mut by_product: Vec<_> = lines.iter().enumerate().collect();
    by_product.sort_unstable_by_key(|(_, line)| &line.product_id);
    let mut priced = Vec::with_capacity(lines.len());
    let mut missed = Vec::new();
    for (place, ReserveLine { product_id, quantity }) in by_product {
        match products::take(tx, product_id, *quantity).await? {
            Some((unit_price_cents, currency)) => {
                let (product_id, quantity) = (product_id.clone(), *quantity);
                priced.push((place, PricedLine { product_id, quantity, unit_price_cents, currency }));
            }
            None => missed.push(product_id.clone()),
        }
    }
    if !missed.is_empty() {
        let known = products::known(tx, &missed).await?;
        let unknown: Vec<_> = missed.into_iter().filter(|id| !known.contains(id)).collect();
        let short = match unknown.is_empty() {
            true => Refusal::Insufficient { product_ids: known },
            false => Refusal::UnknownProducts { product_ids: unknown },
        };
        return Ok(Held::Short(short));
    }
    priced.sort_unstable_by_key(|(place, _)| *place);
    let priced: Vec<_> = priced.into_iter().map(|(_, line)| line).collect();
    let row = Model {
        order_id: order_id.into(),
        state: HELD.into(),
        lines: to_json(&priced)?,
        refusal: None,
        changed_at_ms: now_ms,
    };
    Ok(if insert(tx, row).await? { Held::Taken(priced) } else { Held::Known })
}

/// Remembers a refusal unless the order has an answer already; the answer that counts, for these lines.
pub(crate) async fn refuse(
    tx: &impl ModelQueries,
    order_id: &str,
    lines: &[ReserveLine],
    refusal: Option<&Refusal>,
    now_ms: i64,
) -> Result<Result<Vec<PricedLine>, Refusal>, DbErr> {
    if let Some(refusal) = refusal {
        let row = Model {
            order_id: order_id.into(),
            state: REFUSED.into(),
            lines: to_json(lines)?,
            refusal: Some(to_json(refusal)?),
            changed_at_ms: now_ms,
        };
        if insert(tx, row).await? {
            return Ok(Err(refusal.clone()));
        }
    }
    let row = tx.model::<Entity>(&Entity::find_by_id(order_id).into_query()).await?;
    let row = row.ok_or_else(|| DbErr::RecordNotFound(format!("reservation {order_id}")))?;
    if row.state == RELEASED {
        return Ok(Err(Refusal::Released));
    }
    if from_json::<Vec<ReserveLine>>(&row.lines)? != lines {
        return Ok(Err(Refusal::OtherLines));
    }
    match row.refusal {
        Some(refusal) => Ok(Err(from_json(&refusal)?)),
        None => Ok(Ok(from_json(&row.lines)?)),
    }
}

/// Gives back what the order holds, once; an order that has no row gets one, so that it takes nothing later.
pub(crate) async fn release(tx: &Tx<'_>, order_id: &str, now_ms: i64) -> Result<(), DbErr> {
    // Twice: a reservation may have been committed between the look for one and the tombstone.
    for _ in 0..2 {
        if let Some(lines) = set_released(tx, order_id, now_ms).await? {
            return put_back(tx, lines).await;
        }
        let tombstone = Model {
            order_id: order_id.into(),
            state: RELEASED.into(),
            lines: "[]".into(),
            refusal: None,
            changed_at_ms: now_ms,
        };
        if insert(tx, tombstone).await? {
            return Ok(());
        }
    }
    Ok(())
}

/// The lines that the order held until now.
async fn set_released(tx: &impl ModelQueries, order_id: &str, now_ms: i64) -> Result<Option<Vec<ReserveLine>>, DbErr> {
    let mut statement = Entity::update_many()
        .col_expr(Column::State, Expr::value(RELEASED))
        .col_expr(Column::ChangedAtMs, Expr::value(now_ms))
        .filter(Column::OrderId.eq(order_id))
        .filter(Column::State.eq(HELD))
        .into_query();
    statement.returning(Query::returning().columns(Column::iter()));
    tx.model::<Entity>(&statement).await?.map(|row| from_json(&row.lines)).transpose()
}

async fn put_back(tx: &Tx<'_>, mut lines: Vec<ReserveLine>) -> Result<(), DbErr> {
    lines.sort_unstable_by(|a, b| a.product_id.cmp(&b.product_id));
    for line in lines {
        products::put_back(tx, &line.product_id, line.quantity).await?;
    }
    Ok(())
}

/// False, and nothing is changed, if the order has a row.
async fn insert(tx: &impl ConnectionTrait, row: Model) -> Result<bool, DbErr> {
    let unless_known = OnConflict::new().do_nothing().to_owned();
    let inserted = Entity::insert(row.into_active_model()).on_conflict(unless_known).exec_without_returning(tx).await?;
    Ok(inserted == 1)
}

fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<String, DbErr> {
    serde_json::to_string(value).map_err(|e| DbErr::Json(e.to_string()))
}

fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, DbErr> {
    serde_json::from_str(text).map_err(|e| DbErr::Json(e.to_string()))
}
