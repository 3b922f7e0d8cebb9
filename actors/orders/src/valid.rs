//! What an order may be.

use essaim_orders_contract::{MAX_KEY_CHARS, MAX_LINES, MAX_QUANTITY, NewLine, OrderError, PlaceOrder};
use sha2::{Digest, Sha256};

/// The lines of an order: each of another product, in the order in which the customer first named it.
///
/// # Errors
/// [`OrderError::Invalid`] if anything in the message is not what the contract allows.
pub(crate) fn lines(message: &PlaceOrder) -> Result<Vec<NewLine>, OrderError> {
    require(is_id(&message.order_id), || "order_id".into(), "a UUID in lower case")?;
    if let Some(key) = &message.idempotency_key {
        let fits = (1..=MAX_KEY_CHARS).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
        require(fits, || "idempotency_key".into(), "1 to 255 visible ASCII characters")?;
    }
    let count = message.lines.len();
    require((1..=MAX_LINES).contains(&count), || "lines".into(), "1 to 100 lines")?;
    let mut merged: Vec<NewLine> = Vec::with_capacity(count);
    for (i, line) in message.lines.iter().enumerate() {
        require(is_id(&line.product_id), || format!("lines[{i}].product_id"), "a UUID in lower case")?;
        let fits = (1..=MAX_QUANTITY).contains(&line.quantity);
        require(fits, || format!("lines[{i}].quantity"), "from 1 to 1000000")?;
        match merged.iter_mut().find(|m| m.product_id == line.product_id) {
            // At most a hundred times a million.
            Some(same) => same.quantity += line.quantity,
            None => merged.push(line.clone()),
        }
    }
    Ok(merged)
}

/// A hash of lines that does not depend on their order, so that two orders of the same things have the same.
pub(crate) fn hash(lines: &[NewLine]) -> String {
    let mut sorted: Vec<_> = lines.iter().collect();
    sorted.sort_unstable_by_key(|line| &line.product_id);
    let mut hash = Sha256::new();
    for line in sorted {
        hash.update(format!("{} {}\n", line.product_id, line.quantity));
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn cursor(cursor: Option<&str>) -> Result<(), OrderError> {
    if cursor.is_none_or(is_id) { Ok(()) } else { Err(OrderError::BadCursor) }
}

/// Whether this is an id as the platform writes them: a UUID in lower case with hyphens.
fn is_id(text: &str) -> bool {
    let hyphen = |i: usize| matches!(i, 8 | 13 | 18 | 23);
    let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    text.len() == 36 && text.bytes().enumerate().all(|(i, b)| if hyphen(i) { b == b'-' } else { digit(b) })
}

fn require(fits: bool, field: impl FnOnce() -> String, expected: &str) -> Result<(), OrderError> {
    if fits { Ok(()) } else { Err(OrderError::Invalid { field: field(), expected: expected.into() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u32) -> String {
        format!("0190b5a0-0000-7000-8000-{n:012}")
    }

    fn place(given: &[(u32, i64)]) -> PlaceOrder {
        let line = |(n, quantity): &(u32, i64)| NewLine { product_id: id(*n), quantity: *quantity };
        PlaceOrder { order_id: id(0), lines: given.iter().map(line).collect(), idempotency_key: None }
    }

    #[test]
    fn lines_of_one_product_are_merged_where_it_was_first_named() {
        let merged = lines(&place(&[(2, 1), (1, 5), (2, 3)])).unwrap();
        assert_eq!(merged, place(&[(2, 4), (1, 5)]).lines);
    }

    #[test]
    fn what_is_out_of_bounds_is_refused_by_field() {
        let field = |message: PlaceOrder| match lines(&message) {
            Err(OrderError::Invalid { field, .. }) => field,
            other => panic!("{other:?}"),
        };
        assert_eq!(field(place(&[])), "lines");
        assert_eq!(field(place(&vec![(1, 1); MAX_LINES + 1])), "lines");
        assert_eq!(field(place(&[(1, 1), (1, 0)])), "lines[1].quantity");
        assert_eq!(field(place(&[(1, MAX_QUANTITY), (1, MAX_QUANTITY + 1)])), "lines[1].quantity");
        assert_eq!(field(place(&[(1, i64::MAX), (1, i64::MAX)])), "lines[0].quantity");
        let foreign = NewLine { product_id: "honey".into(), quantity: 1 };
        assert_eq!(field(PlaceOrder { lines: vec![foreign], ..place(&[]) }), "lines[0].product_id");
        for key in ["", "a b", "ü", &"x".repeat(MAX_KEY_CHARS + 1)] {
            assert_eq!(field(PlaceOrder { idempotency_key: Some(key.into()), ..place(&[(1, 1)]) }), "idempotency_key");
        }
    }

    #[test]
    fn a_hash_tells_other_orders_apart_and_not_the_order_of_lines() {
        let of = |given: &[(u32, i64)]| hash(&place(given).lines);
        assert_eq!(of(&[(1, 2), (2, 1)]), of(&[(2, 1), (1, 2)]));
        assert_ne!(of(&[(1, 2)]), of(&[(1, 3)]));
        assert_ne!(of(&[(1, 2)]), of(&[(2, 2)]));
    }
}
