//! Customers who go away for good.

use std::time::Duration;

use crate::support::{Api, eventually};

const PASSWORD: &str = "a long enough password";
/// Pieces that each of them orders.
const QUANTITY: u64 = 2;
const STOCK: u64 = 10;
/// The longest wait for an answer of a process that is about to die.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A customer who has an order that is confirmed.
pub struct Leaver {
    api: Api,
    product: String,
}

impl Leaver {
    /// A customer of that name, with an order of a product that no other customer orders.
    #[track_caller]
    pub fn with_an_order(api: &Api, admin: &Api, name: &str) -> Self {
        let product = admin.product(&name.to_uppercase().replace('.', "-"), 450, STOCK);
        let email = format!("{name}@example.com");
        api.register(&email, PASSWORD, "Ana");
        let api = api.logged_in(&email, PASSWORD);
        let path = format!("/orders/{}", api.order(&product, QUANTITY).is(201).id());
        eventually("the order to be confirmed", || (api.get(&path)["status"] == "confirmed").then_some(()));
        Self { api: api.within(ANSWER_WITHIN), product }
    }

    /// Deletes the account; whether the deletion was acknowledged.
    pub fn tries_to_leave(&self) -> bool {
        self.api.try_send("DELETE", "/users/me", None).is_ok_and(|answer| answer.status == 204)
    }

    /// Waits until the account is gone and its order is nobody's; what was sold stays sold.
    #[track_caller]
    pub fn is_forgotten(&self) {
        eventually("the account to be deleted", || self.tries_to_leave().then_some(()));
        // The access token is valid for a while yet.
        let answer = |path: &str| self.api.try_send("GET", path, None).ok().filter(|answer| answer.status == 200);
        eventually("the order to be nobody's", || answer("/orders")?["items"].as_array()?.is_empty().then_some(()));
        let product = format!("/products/{}", self.product);
        let stock = eventually("the stock", || answer(&product)?["stock"].as_u64());
        assert_eq!(stock, STOCK - QUANTITY);
    }
}
