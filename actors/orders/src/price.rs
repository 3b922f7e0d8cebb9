//! What an order costs.

use essaim_catalog_contract::PricedLine;
use essaim_orders_contract::{MAX_TOTAL_CENTS, Rejection};

/// The total in minor units, and its currency.
///
/// # Errors
/// [`Rejection::MixedCurrencies`] or [`Rejection::TotalTooLarge`].
pub(crate) fn total(lines: &[PricedLine]) -> Result<(i64, String), Rejection> {
    let currency = lines.first().map(|line| line.currency.clone()).unwrap_or_default();
    if lines.iter().any(|line| line.currency != currency) {
        return Err(Rejection::MixedCurrencies);
    }
    let add = |sum: i64, line: &PricedLine| sum.checked_add(line.unit_price_cents.checked_mul(line.quantity)?);
    match lines.iter().try_fold(0, add) {
        Some(total) if total <= MAX_TOTAL_CENTS => Ok((total, currency)),
        _ => Err(Rejection::TotalTooLarge),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(quantity: i64, unit_price_cents: i64, currency: &str) -> PricedLine {
        PricedLine { product_id: "p".into(), quantity, unit_price_cents, currency: currency.into() }
    }

    #[test]
    fn a_total_is_the_sum_of_quantities_times_prices() {
        assert_eq!(total(&[line(2, 150, "EUR"), line(1, 5, "EUR")]), Ok((305, "EUR".into())));
    }

    #[test]
    fn a_total_that_does_not_fit_is_refused_without_a_panic() {
        assert_eq!(total(&[line(1, MAX_TOTAL_CENTS, "EUR")]), Ok((MAX_TOTAL_CENTS, "EUR".into())));
        assert_eq!(total(&[line(1, MAX_TOTAL_CENTS, "EUR"), line(1, 1, "EUR")]), Err(Rejection::TotalTooLarge));
        let largest = vec![line(i64::MAX, i64::MAX, "EUR"); 3];
        assert_eq!(total(&largest), Err(Rejection::TotalTooLarge));
    }

    #[test]
    fn an_order_has_one_currency() {
        assert_eq!(total(&[line(1, 1, "EUR"), line(1, 1, "USD")]), Err(Rejection::MixedCurrencies));
    }
}
