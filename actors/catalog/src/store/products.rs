//! Products and their stock.
//!
//! What changes a row takes the transaction and outdates the product, so that no way to change one can forget it.

use essaim::store::{ModelQueries, Tx};
use essaim_catalog_contract::{CreateProduct, Description, GetProduct, Product, UpdateProduct};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{OnConflict, Query};
use sea_orm::{ExprTrait, IntoActiveModel, Iterable, QueryOrder, QuerySelect, QueryTrait, UpdateMany};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "products")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    id: String,
    sku: String,
    name: String,
    price_cents: i64,
    currency: String,
    stock: i64,
    created_at_ms: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl From<Model> for Product {
    fn from(row: Model) -> Self {
        let Model { id, sku, name, price_cents, currency, stock, created_at_ms } = row;
        Self { description: Description { id, sku, name, price_cents, currency, created_at_ms }, stock }
    }
}

fn row(new: CreateProduct, now_ms: i64) -> ActiveModel {
    let CreateProduct { id, sku, name, price_cents, currency, stock } = new;
    Model { id, sku, name, price_cents, currency, stock, created_at_ms: now_ms }.into_active_model()
}

/// At most `limit` products after `cursor`, oldest first.
pub(crate) async fn page(db: &impl ModelQueries, limit: u64, cursor: Option<&str>) -> Result<Vec<Product>, DbErr> {
    let after = |query: Select<Entity>, id: &str| query.filter(Column::Id.gt(id));
    let query = Entity::find().apply_if(cursor, after).order_by_asc(Column::Id).limit(limit);
    Ok(db.models::<Entity>(&query.into_query()).await?.into_iter().map(Into::into).collect())
}

pub(crate) async fn find(db: &impl ModelQueries, id: &str) -> Result<Option<Product>, DbErr> {
    Ok(db.model::<Entity>(&Entity::find_by_id(id).into_query()).await?.map(Into::into))
}

pub(crate) async fn describe(db: &impl ModelQueries, id: &str) -> Result<Option<Description>, DbErr> {
    Ok(find(db, id).await?.map(|p| p.description))
}

pub(crate) async fn stock(db: &impl ModelQueries, id: &str) -> Result<Option<i64>, DbErr> {
    Ok(find(db, id).await?.map(|p| p.stock))
}

/// False, and nothing is changed, if the id or the sku is there already.
pub(crate) async fn insert(tx: &Tx<'_>, new: CreateProduct, now_ms: i64) -> Result<bool, DbErr> {
    outdate(tx, &new.id);
    let unless_known = OnConflict::new().do_nothing().to_owned();
    Ok(Entity::insert(row(new, now_ms)).on_conflict(unless_known).exec_without_returning(tx).await? == 1)
}

/// Inserts these products if there are none at all.
///
/// Two nodes may do so at once: a sku that is there already is left as it is.
pub(crate) async fn fill(tx: &Tx<'_>, all: Vec<CreateProduct>, now_ms: i64) -> Result<usize, DbErr> {
    if Entity::find().select_only().column(Column::Id).into_tuple::<String>().one(tx).await?.is_some() {
        return Ok(0);
    }
    let mut inserted = 0;
    for new in all {
        inserted += usize::from(insert(tx, new, now_ms).await?);
    }
    Ok(inserted)
}

/// Changes what is given; the product as it is then, if there is one.
pub(crate) async fn update(tx: &Tx<'_>, change: UpdateProduct) -> Result<Option<Product>, DbErr> {
    let UpdateProduct { id, sku, name, price_cents, currency } = change;
    if (&sku, &name, &price_cents, &currency) == (&None, &None, &None, &None) {
        return find(tx, &id).await;
    }
    let set = |column: Column, value: Expr| move |query: UpdateMany<Entity>| query.col_expr(column, value);
    let mut query = Entity::update_many().filter(Column::Id.eq(&id));
    if let Some(sku) = sku {
        query = set(Column::Sku, Expr::value(sku))(query);
    }
    if let Some(name) = name {
        query = set(Column::Name, Expr::value(name))(query);
    }
    if let Some(price_cents) = price_cents {
        query = set(Column::PriceCents, Expr::value(price_cents))(query);
    }
    if let Some(currency) = currency {
        query = set(Column::Currency, Expr::value(currency))(query);
    }
    returning(tx, &id, query).await
}

/// The product with its new stock, if there is one.
pub(crate) async fn set_stock(tx: &Tx<'_>, id: &str, stock: i64) -> Result<Option<Product>, DbErr> {
    returning(tx, id, Entity::update_many().filter(Column::Id.eq(id)).col_expr(Column::Stock, Expr::value(stock))).await
}

/// Takes pieces from stock, if there are enough; the price of one piece and its currency at that moment.
pub(super) async fn take(tx: &Tx<'_>, id: &str, quantity: i64) -> Result<Option<(i64, String)>, DbErr> {
    let taken = Entity::update_many()
        .col_expr(Column::Stock, Expr::col(Column::Stock).sub(quantity))
        .filter(Column::Id.eq(id))
        .filter(Column::Stock.gte(quantity));
    Ok(returning(tx, id, taken).await?.map(|p| (p.description.price_cents, p.description.currency)))
}

/// Puts pieces back into stock.
pub(super) async fn put_back(tx: &Tx<'_>, id: &str, quantity: i64) -> Result<(), DbErr> {
    outdate(tx, id);
    let stock = Expr::col(Column::Stock).add(quantity);
    Entity::update_many().col_expr(Column::Stock, stock).filter(Column::Id.eq(id)).exec(tx).await.map(drop)
}

/// Which of these products exist.
pub(super) async fn known(db: &impl ConnectionTrait, ids: &[String]) -> Result<Vec<String>, DbErr> {
    Entity::find().select_only().column(Column::Id).filter(Column::Id.is_in(ids)).into_tuple().all(db).await
}

/// Runs an update of one row and reads the row in the same statement, so that no other writer comes between.
async fn returning(tx: &Tx<'_>, id: &str, update: UpdateMany<Entity>) -> Result<Option<Product>, DbErr> {
    outdate(tx, id);
    let mut statement = update.into_query();
    statement.returning(Query::returning().columns(Column::iter()));
    Ok(tx.model::<Entity>(&statement).await?.map(Into::into))
}

/// Bars the product's entry in the near cache until the transaction's outcome is certain; readers ask catalog
/// meanwhile.
fn outdate(tx: &Tx<'_>, id: &str) {
    tx.outdates(GetProduct::NEAR, id);
}
