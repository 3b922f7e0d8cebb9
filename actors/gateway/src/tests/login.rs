//! Who is let in with which token.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use actix_web::test::TestRequest;
use essaim::lock::Mutex;
use essaim::{Actor, Cx, Fault, Handle, Handles, Harness, Start, StartError};
use essaim_auth_contract::{Auth, GetKeys, Keys};
use essaim_contract::{AskError, Never, NotDelivered};
use serde_json::{Value, json};

use super::jwt::{Key, NOW, bearer, claims, claims_with, encode, published};
use super::stage::{gate, gate_with_keys, settings};
use crate::GatewaySettings;
use crate::keys::{KeyRing, NoKey};
use crate::tokens::Tokens;

#[tokio::test]
async fn a_valid_token_says_who_calls_and_none_is_nobody() {
    let gate = gate(settings()).await;
    let token = Key::new("k1", 1).sign(&claims());
    for _ in 0..2 {
        assert_eq!(gate.get("/who", &bearer(&token)).await.json()["subject"], "user-1");
    }
    let lower = format!("authorization: bearer {token}\r\n");
    assert_eq!(gate.get("/who", &lower).await.json()["subject"], "user-1");
    assert_eq!(gate.get("/who", "").await.json()["subject"], Value::Null);
    gate.get("/admin", &bearer(&token)).await.problem(403, "forbidden");
    let admin = Key::new("k1", 1).sign(&claims_with("roles", json!(["admin"])));
    assert_eq!(gate.get("/admin", &bearer(&admin)).await.status, 204);
}

#[tokio::test]
async fn any_other_token_is_a_401_where_one_is_needed_and_nothing_elsewhere() {
    let gate = gate(GatewaySettings { keys_fetches_per_minute: 1_000, ..settings() }).await;
    let (key, other) = (Key::new("k1", 1), Key::new("k1", 2));
    let header = |alg: &str| json!({"alg": alg, "typ": "JWT", "kid": "k1"});
    let unsigned =
        format!("{}.{}.", encode(header("none").to_string().as_bytes()), encode(claims().to_string().as_bytes()));
    let good = key.sign(&claims());
    let (head, rest) = good.split_once('.').unwrap();
    let (_, signature) = rest.split_once('.').unwrap();
    let altered = format!("{head}.{}.{signature}", encode(claims_with("sub", json!("admin")).to_string().as_bytes()));
    let bad = [
        ("alg none", unsigned),
        ("alg HS256", key.sign_as(&header("HS256"), &claims())),
        ("alg ES256", key.sign_as(&header("ES256"), &claims())),
        ("alg unknown", key.sign_as(&header("eddsa"), &claims())),
        ("an extension", key.sign_as(&json!({"alg": "EdDSA", "kid": "k1", "crit": ["x"], "x": 1}), &claims())),
        ("no key id", key.sign_as(&json!({"alg": "EdDSA"}), &claims())),
        ("unknown key", Key::new("k9", 1).sign(&claims())),
        ("forged", other.sign(&claims())),
        ("altered", altered),
        ("expired", key.sign(&claims_with("exp", json!(NOW - 10)))),
        ("not yet", key.sign(&claims_with("nbf", json!(NOW + 600)))),
        ("no expiry", key.sign(&claims_with("exp", Value::Null))),
        ("odd expiry", key.sign(&claims_with("exp", json!("later")))),
        ("other issuer", key.sign(&claims_with("iss", json!("mallory")))),
        ("no issuer", key.sign(&claims_with("iss", Value::Null))),
        ("other audience", key.sign(&claims_with("aud", json!("bank")))),
        ("no audience", key.sign(&claims_with("aud", Value::Null))),
        ("no subject", key.sign(&claims_with("sub", Value::Null))),
        ("garbage", "a.b.c".into()),
        ("nothing", String::new()),
        ("huge", "x".repeat(9_000)),
    ];
    for (case, token) in bad {
        assert_eq!(gate.get("/livez", &bearer(&token)).await.status, 200, "{case}: a probe needs no token");
        assert_eq!(gate.get("/who", &bearer(&token)).await.json()["subject"], Value::Null, "{case}: it is nobody's");
        gate.get("/nowhere", &bearer(&token)).await.problem(404, "not-found");
        let reply = gate.get("/admin", &bearer(&token)).await;
        assert_eq!(reply.status, 401, "{case}: {reply:?}");
        reply.problem(401, "invalid-token");
        assert_eq!(reply.header("www-authenticate"), Some("Bearer error=\"invalid_token\""), "{case}");
    }
    for lines in ["Authorization: Basic YTpi\r\n", "Authorization: Bearer\r\n", &bearer(&good).repeat(2)] {
        gate.get("/admin", lines).await.problem(401, "invalid-token");
    }
}

#[tokio::test]
async fn without_keys_a_token_cannot_be_judged() {
    let no_host = || Err(AskError::NotDelivered(NotDelivered::NoHost { capability: "auth".into() }));
    let gate = gate_with_keys(settings(), no_host).await;
    let reply = gate.get("/admin", &bearer(&Key::new("k1", 1).sign(&claims()))).await;
    reply.problem(503, "unavailable");
    assert!(reply.header("retry-after").is_some());
    assert_eq!(gate.get("/who", "").await.status, 200, "who sends no token needs no keys");
}

#[tokio::test]
async fn unknown_keys_make_the_gateway_fetch_only_so_often() {
    let fetched = Arc::new(AtomicU32::new(0));
    let count = fetched.clone();
    let gate = gate_with_keys(GatewaySettings { keys_fetches_per_minute: 3, ..settings() }, move || {
        count.fetch_add(1, Ordering::SeqCst);
        Ok(published(&[&Key::new("k1", 1)]))
    })
    .await;
    gate.get("/who", &bearer(&Key::new("k1", 1).sign(&claims()))).await;
    let before = fetched.load(Ordering::SeqCst);
    for _ in 0..10 {
        gate.get("/admin", &bearer(&Key::new("other", 1).sign(&claims()))).await.problem(401, "invalid-token");
    }
    assert_eq!(fetched.load(Ordering::SeqCst) - before, 2, "the first of three was for the known key");
}

#[tokio::test]
async fn a_key_that_was_published_later_is_fetched_when_a_token_names_it() {
    let rotated = Arc::new(Mutex::new(false));
    let now = rotated.clone();
    let gate = gate_with_keys(settings(), move || {
        let (old, new) = (Key::new("k1", 1), Key::new("k2", 2));
        Ok(if *now.lock() { published(&[&new, &old]) } else { published(&[&old]) })
    })
    .await;
    assert_eq!(gate.get("/who", &bearer(&Key::new("k1", 1).sign(&claims()))).await.status, 200);
    *rotated.lock() = true;
    assert_eq!(gate.get("/who", &bearer(&Key::new("k2", 2).sign(&claims()))).await.status, 200);
}

/// An `auth` that takes its time.
struct SlowAuth(Arc<AtomicU32>);

impl Actor for SlowAuth {
    type Capability = Auth;
    type Settings = std::collections::BTreeMap<String, String>;
    type Shared = Arc<AtomicU32>;

    async fn share(_: Self::Settings, start: &mut Start) -> Result<Arc<AtomicU32>, StartError> {
        start.provided::<Arc<AtomicU32>>().map(|a| (*a).clone()).ok_or_else(|| StartError::new("no counter"))
    }
    async fn start(shared: &Arc<AtomicU32>, _: &mut Start) -> Result<Self, StartError> {
        Ok(Self(shared.clone()))
    }
    fn handles(h: &mut Handles<Self>) {
        h.ask::<GetKeys>();
    }
}

impl Handle<GetKeys> for SlowAuth {
    async fn handle(&mut self, _: GetKeys, _: &mut Cx) -> Result<Keys, Fault<Never>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok(published(&[&Key::new("k1", 1)]))
    }
}

#[tokio::test(start_paused = true)]
async fn requests_that_wait_for_keys_share_one_fetch() {
    let fetched = Arc::new(AtomicU32::new(0));
    let stage = Harness::<SlowAuth>::bare().provide(fetched.clone()).start().await;
    let ring = KeyRing::new(stage.client(), 100);
    let known = futures_util::future::join_all((0..20).map(|_| ring.with("k1")));
    assert!(stage.run(known).await.iter().all(Result::is_ok));
    assert_eq!(fetched.load(Ordering::SeqCst), 1);
    let unknown = futures_util::future::join_all((0..20).map(|i| ring.with(if i < 10 { "k8" } else { "k9" })));
    assert!(stage.run(unknown).await.iter().all(|k| k.as_ref().is_err_and(|e| *e == NoKey::Unknown)));
    assert_eq!(fetched.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_fails_keeps_the_keys_and_fails_all_who_waited_for_it() {
    let stage = Harness::<SlowAuth>::bare().provide(Arc::new(AtomicU32::new(0))).start().await;
    let ring = KeyRing::new(stage.client().within(Duration::from_millis(10)), 100);
    let waiting = futures_util::future::join_all((0..5).map(|_| ring.with("k1")));
    let outcomes = stage.run(waiting).await;
    assert!(outcomes.iter().all(|k| matches!(k, Err(NoKey::Unavailable(_)))));
}

#[tokio::test(start_paused = true)]
async fn a_remembered_token_is_not_believed_beyond_its_expiry() {
    let stage = Harness::<SlowAuth>::bare().provide(Arc::new(AtomicU32::new(0))).start().await;
    let client = stage.client();
    let tokens = Tokens::new(client.env().clone(), Arc::new(KeyRing::new(client.clone(), 10)), 5, 10, 60_000);
    let token = Key::new("k1", 1).sign(&claims_with("exp", json!(NOW + 30)));
    let req = TestRequest::default().insert_header(("authorization", format!("Bearer {token}"))).to_http_request();
    let status = async || stage.run(tokens.principal(req.headers())).await.map_err(|p| p.status().as_u16());
    assert!(status().await.is_ok_and(|p| p.is_some()));
    tokio::time::advance(Duration::from_secs(33)).await;
    assert!(status().await.is_ok(), "within the leeway");
    tokio::time::advance(Duration::from_secs(3)).await;
    assert_eq!(status().await, Err(401));
}
