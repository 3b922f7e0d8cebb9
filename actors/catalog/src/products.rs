//! The asks about products.

use essaim::store::TxError;
use essaim::{Cx, Fault, Handle, reject};
use essaim_catalog_contract::{
    ADMIN, CatalogError, CreateProduct, Describe, Description, GetProduct, GetStock, ListProducts, MAX_PAGE, Product,
    ProductPage, SetStock, UpdateProduct,
};
use sea_orm::{DbErr, SqlErr};

use crate::{CatalogActor, store, valid};

impl Handle<ListProducts> for CatalogActor {
    async fn handle(&mut self, m: ListProducts, cx: &mut Cx) -> Result<ProductPage, Fault<CatalogError>> {
        valid::cursor(m.cursor.as_deref()).map_err(reject)?;
        let limit = m.limit.clamp(1, MAX_PAGE) as usize;
        // One more than wanted tells whether there is a next page.
        let mut items = store::page(cx.db(), limit as u64 + 1, m.cursor.as_deref()).await?;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(|p| p.description.id.clone());
        Ok(ProductPage { items, next })
    }
}

impl Handle<GetProduct> for CatalogActor {
    async fn handle(&mut self, m: GetProduct, cx: &mut Cx) -> Result<Product, Fault<CatalogError>> {
        store::find(cx.db(), &m.id).await?.ok_or_else(not_found)
    }
}

impl Handle<Describe> for CatalogActor {
    async fn handle(&mut self, m: Describe, cx: &mut Cx) -> Result<Description, Fault<CatalogError>> {
        store::describe(cx.db(), &m.id).await?.ok_or_else(not_found)
    }
}

impl Handle<GetStock> for CatalogActor {
    async fn handle(&mut self, m: GetStock, cx: &mut Cx) -> Result<i64, Fault<CatalogError>> {
        store::stock(cx.db(), &m.id).await?.ok_or_else(not_found)
    }
}

impl Handle<CreateProduct> for CatalogActor {
    async fn handle(&mut self, m: CreateProduct, cx: &mut Cx) -> Result<Product, Fault<CatalogError>> {
        require_admin(cx)?;
        valid::new_product(&m).map_err(reject)?;
        let (id, sku, now_ms) = (m.id.clone(), m.sku.clone(), crate::ms(cx.env().wall()));
        let tx = cx.begin().await?;
        store::insert(&tx, m, now_ms).await?;
        // Not inserted: either this very product is there already, or its sku belongs to another.
        let product = store::find(&tx, &id).await?;
        tx.commit().await?;
        product.ok_or_else(|| reject(CatalogError::SkuTaken { sku }))
    }
}

impl Handle<UpdateProduct> for CatalogActor {
    async fn handle(&mut self, m: UpdateProduct, cx: &mut Cx) -> Result<Product, Fault<CatalogError>> {
        require_admin(cx)?;
        valid::change(&m).map_err(reject)?;
        let (id, sku) = (m.id.clone(), m.sku.clone().unwrap_or_default());
        let tx = cx.begin().await?;
        let product = store::update(&tx, m).await.map_err(|e| taken(e, sku))?.ok_or_else(not_found)?;
        let committed = tx.commit().await;
        // After the commit, or a reader in between would cache the old product; also when the commit's outcome is
        // unknown.
        if matches!(committed, Ok(()) | Err(TxError::CommitUnanswered(_))) {
            cx.near().invalidate(Describe::NEAR, &id);
        }
        committed?;
        Ok(product)
    }
}

impl Handle<SetStock> for CatalogActor {
    async fn handle(&mut self, m: SetStock, cx: &mut Cx) -> Result<Product, Fault<CatalogError>> {
        require_admin(cx)?;
        valid::stock(m.stock).map_err(reject)?;
        let tx = cx.begin().await?;
        let product = store::set_stock(&tx, &m.id, m.stock).await?.ok_or_else(not_found)?;
        tx.commit().await?;
        Ok(product)
    }
}

fn not_found() -> Fault<CatalogError> {
    reject(CatalogError::NotFound)
}

/// Routes check the role too; this check holds for senders that are not routes.
fn require_admin(cx: &Cx) -> Result<(), Fault<CatalogError>> {
    if cx.principal().is_some_and(|p| p.has_role(ADMIN)) { Ok(()) } else { Err(reject(CatalogError::Forbidden)) }
}

/// What a refused update means: the sku is the only column that must be unique.
fn taken(error: DbErr, sku: String) -> Fault<CatalogError> {
    match error.sql_err() {
        Some(SqlErr::UniqueConstraintViolation(_)) => reject(CatalogError::SkuTaken { sku }),
        _ => error.into(),
    }
}
