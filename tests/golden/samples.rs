//! A sample of each form: every field set, every variant once.

use essaim_auth_contract as auth_contract;
use essaim_cache_contract as cache_contract;
use essaim_catalog_contract as catalog_contract;
use essaim_console_contract as console_contract;
use essaim_contract::{AskError, Failure, FailureKind, NotDelivered, Principal, Unknown};
use essaim_orders_contract as orders_contract;
use essaim_users_contract as users_contract;

use super::record::Record;

const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
const MOMENT: i64 = 1_800_000_000_123;

fn id() -> String {
    ID.into()
}

fn some<T: From<&'static str>>(text: &'static str) -> Option<T> {
    Some(text.into())
}

pub fn users(record: &mut Record) {
    use users_contract::*;
    let user = || User {
        id: id(),
        email: "ana@example.com".into(),
        name: "Ana".into(),
        role: Role::Customer,
        created_at_ms: MOMENT,
    };
    let invalid = || Invalid { field: "email".into(), reason: "is no address".into() };
    let create = CreateUser { id: id(), email: "ana@example.com".into(), name: "Ana".into(), role: Role::Admin };
    let errors = [CreateUserError::Invalid(invalid()), CreateUserError::EmailTaken, CreateUserError::IdTaken];
    record.ask(create, user(), errors);
    record.ask(GetUser { id: id() }, Some(user()), []);
    record.ask(FindByEmail { email: "ana@example.com".into() }, None, []);
    let update = UpdateUser { id: id(), email: some("ana@example.com"), name: some("Ana") };
    let errors = [UpdateUserError::NotFound, UpdateUserError::Invalid(invalid()), UpdateUserError::EmailTaken];
    record.ask(update, user(), errors);
    record.ask(DeleteUser { id: id() }, (), [DeleteUserError::LastAdmin]);
    record.message(UserDeleted { user_id: id() });
    record.ask(SetRole { id: id(), role: Role::Admin }, user(), [SetRoleError::NotFound]);
    let page = UserPage { items: vec![user()], next_cursor: some("next") };
    record.ask(ListUsers { limit: 20, cursor: some("here") }, page, [ListUsersError::InvalidCursor]);
    record.ask(Existing { ids: vec![id()] }, vec![id()], []);
    record.ask(HasAdmin {}, true, []);
}

pub fn auth(record: &mut Record) {
    use auth_contract::*;
    let register = Register { user_id: id(), email: "a@b.c".into(), password: "secret".into(), name: "Ana".into() };
    let account =
        Account { id: id(), email: "a@b.c".into(), name: "Ana".into(), role: "customer".into(), created_at_ms: MOMENT };
    let invalid = RegisterError::Invalid { field: "email".into(), reason: "is no address".into() };
    record.ask(register, account, [invalid, RegisterError::EmailTaken]);
    let tokens = || Tokens {
        access_token: "access".into(),
        refresh_token: "refresh".into(),
        token_type: "Bearer".into(),
        expires_in: 900,
    };
    let login = Login { email: "a@b.c".into(), password: "secret".into(), address: "192.0.2.7".into() };
    record.ask(login, tokens(), [LoginError::BadCredentials, LoginError::Throttled { retry_after_s: 7 }]);
    record.ask(Refresh { refresh_token: "refresh".into() }, tokens(), [RefreshError::Invalid]);
    record.ask(Logout { refresh_token: "refresh".into() }, (), []);
    let keys = Keys {
        issuer: "essaim".into(),
        audience: "shop".into(),
        keys: vec![PublicKey { kid: "k1".into(), x: "AAAA".into() }],
    };
    record.ask(GetKeys {}, keys, []);
}

pub fn catalog(record: &mut Record) {
    use catalog_contract::*;
    let description = || Description {
        id: id(),
        sku: "TEA".into(),
        name: "Tea".into(),
        price_cents: 450,
        currency: "EUR".into(),
        created_at_ms: MOMENT,
    };
    let product = || Product { description: description(), stock: 5 };
    let errors = [
        CatalogError::NotFound,
        CatalogError::SkuTaken { sku: "TEA".into() },
        CatalogError::Invalid { field: "sku".into(), expected: "shorter".into() },
        CatalogError::BadCursor,
        CatalogError::Forbidden,
    ];
    let page = ProductPage { items: vec![product()], next: some("next") };
    // All asks about products share one error; its forms stand with the first.
    record.ask(ListProducts { limit: 20, cursor: some("here") }, page, errors);
    record.ask(GetProduct { id: id() }, product(), []);
    record.ask(Describe { id: id() }, description(), []);
    record.ask(GetStock { id: id() }, 5, []);
    let create = CreateProduct {
        id: id(),
        sku: "TEA".into(),
        name: "Tea".into(),
        price_cents: 450,
        currency: "EUR".into(),
        stock: 5,
    };
    record.ask(create, product(), []);
    let update =
        UpdateProduct { id: id(), sku: some("TEA"), name: some("Tea"), price_cents: Some(500), currency: some("EUR") };
    record.ask(update, product(), []);
    record.ask(SetStock { id: id(), stock: 5 }, product(), []);
    let line = ReserveLine { product_id: id(), quantity: 2 };
    let priced = PricedLine { product_id: id(), quantity: 2, unit_price_cents: 450, currency: "EUR".into() };
    record.message(Reserve { order_id: id(), lines: vec![line] });
    record.message(Release { order_id: id() });
    record.message(StockReserved { order_id: id(), lines: vec![priced] });
    let reasons = [
        Refusal::Insufficient { product_ids: vec![id()] },
        Refusal::UnknownProducts { product_ids: vec![id()] },
        Refusal::Released,
        Refusal::OtherLines,
        Refusal::Invalid { reason: "none".into() },
    ];
    for (number, reason) in reasons.iter().enumerate() {
        record.form(format!("catalog.stock_refused.v1 reason-{}", number + 1), reason);
    }
    let [reason, ..] = reasons;
    record.message(StockRefused { order_id: id(), reason });
}

pub fn orders(record: &mut Record) {
    use orders_contract::*;
    let order = |status, rejection| Order {
        id: id(),
        status,
        lines: vec![OrderLine { product_id: id(), quantity: 2, unit_price_cents: Some(450) }],
        total_cents: Some(900),
        currency: some("EUR"),
        rejection,
        created_at_ms: MOMENT,
    };
    let place = PlaceOrder {
        order_id: id(),
        lines: vec![NewLine { product_id: id(), quantity: 2 }],
        idempotency_key: some("once"),
    };
    let mut errors = vec![
        OrderError::Unauthenticated,
        OrderError::NotFound,
        OrderError::Invalid { field: "lines".into(), expected: "some".into() },
        OrderError::KeyReused,
        OrderError::NotCancellable { status: OrderStatus::Pending },
        OrderError::BadCursor,
    ];
    let rejections = [
        Rejection::InsufficientStock { product_ids: vec![id()] },
        Rejection::UnknownProducts { product_ids: vec![id()] },
        Rejection::MixedCurrencies,
        Rejection::TotalTooLarge,
        Rejection::Abandoned,
    ];
    errors.extend(rejections.map(|reason| OrderError::Rejected { order_id: id(), reason }));
    record.ask(place, order(OrderStatus::Confirmed, None), errors);
    record.ask(GetOrder { id: id() }, order(OrderStatus::Rejected, Some(Rejection::Abandoned)), []);
    let page = OrderPage { items: vec![order(OrderStatus::Pending, None)], next: some("next") };
    record.ask(ListOrders { limit: 20, cursor: some("here") }, page, []);
    record.ask(CancelOrder { id: id() }, order(OrderStatus::Cancelled, None), []);
    let customer = id;
    record.message(OrderConfirmed { order_id: id(), customer: customer(), total_cents: 900, currency: "EUR".into() });
    record.message(OrderRejected { order_id: id(), customer: customer(), reason: Rejection::Abandoned });
    record.message(OrderCancelled { order_id: id(), customer: customer() });
    record.message(OrderSettled { order_id: id() });
    record.message(ForgetCustomer { customer: customer() });
}

pub fn cache(record: &mut Record) {
    use cache_contract::*;
    let (namespace, key) = (|| "catalog".to_string(), id);
    let errors =
        [CacheError::KeyTooLarge { bytes: 9, limit: 8 }, CacheError::ValueTooLarge { bytes: 9_000, limit: 8_000 }];
    record.ask(Get { namespace: namespace(), key: key() }, Some(Blob(vec![0, 255])), errors);
    let put = Put { namespace: namespace(), key: key(), value: Blob(vec![0, 255]), ttl_ms: Some(60_000) };
    record.ask(put, (), []);
    record.ask(Invalidate { namespace: namespace(), key: key() }, (), []);
}

pub fn console(record: &mut Record) {
    use console_contract::*;
    record.message(EndSession { session: id(), until_ms: 1_795_000_000_000 });
}

/// The errors that an ask of any capability can end with, and the context that travels with it.
pub fn asks(record: &mut Record) {
    let (node, capability) = (|| "shop-1".to_string(), || "orders".to_string());
    let failures = [FailureKind::Panicked, FailureKind::Database, FailureKind::Unavailable, FailureKind::Error];
    let failures = failures.map(|kind| AskError::Failed(Failure { kind, detail: "why".into() }));
    let not_delivered = [
        NotDelivered::NoHost { capability: capability() },
        NotDelivered::Overloaded { capability: capability(), bound: "mailbox = 2 messages".into() },
        NotDelivered::Draining { node: node() },
        NotDelivered::Cycle { chain: vec![capability(), "catalog".into(), capability()] },
        NotDelivered::Unsupported { message: "orders.place.v9".into() },
        NotDelivered::Expired { queued_behind: 3, queued_ms: 0, behind: String::new() },
        NotDelivered::Failed { capability: capability(), reason: "why".into() },
        NotDelivered::Starting { capability: capability(), reason: "why".into() },
        NotDelivered::TooLarge { bytes: 9_000_000, limit: 4_194_304 },
        NotDelivered::Undecodable { message: "orders.place.v1".into(), detail: "why".into() },
        NotDelivered::Unreachable { node: node() },
    ];
    let unknown = [
        Unknown::TimedOut { running_ms: 250, doing: String::new() },
        Unknown::NoAnswer { node: node() },
        Unknown::NodeLost { node: node() },
        Unknown::WireLost { node: node() },
        Unknown::CommitUnanswered,
        Unknown::FailedAfterCommit { detail: "why".into() },
        Unknown::Downstream { detail: "why".into() },
        Unknown::UndecodableAnswer { detail: "why".into() },
    ];
    let mut errors: Vec<AskError<String>> = vec![AskError::Rejected("no".into())];
    errors.extend(failures);
    errors.extend(not_delivered.map(AskError::NotDelivered));
    errors.extend(unknown.map(AskError::Unknown));
    for (number, error) in errors.iter().enumerate() {
        record.form(format!("ask error-{}", number + 1), error);
    }
    record.form("ask principal".into(), &Principal::new(ID, ["admin", "customer"]));
}
