//! What the fields of a product, a cursor and the lines of a reservation may be.

use essaim_catalog_contract::{
    CatalogError, CreateProduct, MAX_LINES, MAX_NAME_CHARS, MAX_PRICE_CENTS, MAX_QUANTITY, MAX_SKU_CHARS, MAX_STOCK,
    Refusal, ReserveLine, UpdateProduct,
};
use essaim_text::visible;

pub(crate) fn new_product(new: &CreateProduct) -> Result<(), CatalogError> {
    require(is_id(&new.id), "id", || "a UUID in lower case".into())?;
    sku(&new.sku)?;
    name(&new.name)?;
    price(new.price_cents)?;
    currency(&new.currency)?;
    stock(new.stock)
}

pub(crate) fn change(change: &UpdateProduct) -> Result<(), CatalogError> {
    change.sku.as_deref().map_or(Ok(()), sku)?;
    change.name.as_deref().map_or(Ok(()), name)?;
    change.price_cents.map_or(Ok(()), price)?;
    change.currency.as_deref().map_or(Ok(()), currency)
}

pub(crate) fn stock(stock: i64) -> Result<(), CatalogError> {
    require((0..=MAX_STOCK).contains(&stock), "stock", || format!("from 0 to {MAX_STOCK}"))
}

pub(crate) fn cursor(cursor: Option<&str>) -> Result<(), CatalogError> {
    if cursor.is_none_or(is_id) { Ok(()) } else { Err(CatalogError::BadCursor) }
}

pub(crate) fn lines(lines: &[ReserveLine]) -> Result<(), Refusal> {
    let invalid = |reason: String| Err(Refusal::Invalid { reason });
    if lines.is_empty() || lines.len() > MAX_LINES {
        return invalid(format!("there must be 1 to {MAX_LINES}"));
    }
    if lines.iter().any(|line| !(1..=MAX_QUANTITY).contains(&line.quantity)) {
        return invalid(format!("a quantity must be from 1 to {MAX_QUANTITY}"));
    }
    let mut products: Vec<_> = lines.iter().map(|line| &line.product_id).collect();
    products.sort_unstable();
    if products.windows(2).any(|pair| pair[0] == pair[1]) {
        return invalid("each must be of another product".into());
    }
    Ok(())
}

fn sku(sku: &str) -> Result<(), CatalogError> {
    let fits = sku.len() <= MAX_SKU_CHARS
        && sku.starts_with(|c: char| c.is_ascii_alphanumeric())
        && sku.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    require(fits, "sku", || {
        format!("1 to {MAX_SKU_CHARS} letters, digits and `.`, `_`, `-`, beginning with a letter or digit")
    })
}

fn name(name: &str) -> Result<(), CatalogError> {
    let fits = name.starts_with(|c: char| !c.is_whitespace())
        && name.chars().count() <= MAX_NAME_CHARS
        && !name.chars().any(char::is_control)
        && visible::is_seen(name);
    require(fits, "name", || {
        format!(
            "1 to {MAX_NAME_CHARS} characters, of which one can be seen, without control characters, the first not white \
             space"
        )
    })
}

fn price(price_cents: i64) -> Result<(), CatalogError> {
    require((0..=MAX_PRICE_CENTS).contains(&price_cents), "price_cents", || format!("from 0 to {MAX_PRICE_CENTS}"))
}

fn currency(currency: &str) -> Result<(), CatalogError> {
    let fits = currency.len() == 3 && currency.bytes().all(|b| b.is_ascii_uppercase());
    require(fits, "currency", || "the three upper-case letters of an ISO 4217 code".into())
}

/// Whether this is an id as the platform writes them: a UUID in lower case with hyphens.
fn is_id(text: &str) -> bool {
    let hyphen = |i: usize| matches!(i, 8 | 13 | 18 | 23);
    let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    text.len() == 36 && text.bytes().enumerate().all(|(i, b)| if hyphen(i) { b == b'-' } else { digit(b) })
}

fn require(fits: bool, field: &str, expected: impl FnOnce() -> String) -> Result<(), CatalogError> {
    if fits { Ok(()) } else { Err(CatalogError::Invalid { field: field.into(), expected: expected() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_skus_and_currencies_have_bounds() {
        assert!(name(&"é".repeat(MAX_NAME_CHARS)).is_ok());
        for bad in ["", " x", "\u{3164}", "\u{202E}\u{2009}", "a\u{0}b", "a\u{85}b", &"x".repeat(MAX_NAME_CHARS + 1)] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
        assert!(sku("A-1_b.2").is_ok());
        for bad in ["", "-A", "a b", "é", &"x".repeat(MAX_SKU_CHARS + 1)] {
            assert!(sku(bad).is_err(), "{bad:?}");
        }
        for bad in ["", "eur", "EURO", "ÄÖ"] {
            assert!(currency(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_id_is_a_uuid_in_lower_case() {
        assert!(is_id("0190b5a0-0000-7000-8000-0123456789ab"));
        for bad in ["", "0190b5a0-0000-7000-8000-0123456789AB", "0190b5a000000-7000-8000-0123456789ab"] {
            assert!(!is_id(bad), "{bad}");
        }
    }
}
