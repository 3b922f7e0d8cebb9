//! A few products, so that there is something to order right after the first start.

use essaim::Env;
use essaim_catalog_contract::CreateProduct;

/// Stock-keeping unit, name, price in cents and pieces in stock.
const PRODUCTS: [(&str, &str, i64, i64); 6] = [
    ("HIVE-10", "Ten-frame beehive", 18_900, 12),
    ("SMOKER-1", "Stainless steel smoker", 4_250, 40),
    ("VEIL-M", "Veil with hat, medium", 3_490, 25),
    ("GLOVES-L", "Goatskin gloves, large", 2_990, 60),
    ("HONEY-500", "Acacia honey, 500 g", 1_190, 200),
    ("WAX-1000", "Beeswax, 1 kg", 2_400, 3),
];

/// The products, with new ids.
pub(crate) fn products(env: &Env) -> Vec<CreateProduct> {
    let product = |(sku, name, price_cents, stock): (&str, &str, i64, i64)| CreateProduct {
        id: env.id().to_string(),
        sku: sku.into(),
        name: name.into(),
        price_cents,
        currency: "EUR".into(),
        stock,
    };
    PRODUCTS.map(product).into()
}
