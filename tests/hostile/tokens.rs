//! Access tokens that nobody issued, refresh tokens that were stolen.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer, SigningKey};
use hmac::{Hmac, KeyInit, Mac};
use sea_orm::{ConnectionTrait, Database, Statement};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{PASSWORD, Site, refused_with};

/// A key that signs under the id of another one.
struct Forger {
    kid: String,
    key: SigningKey,
}

impl Forger {
    /// A forger with the platform's own key: the signature is right, and only the claims are wrong.
    fn with_the_real_key(site: &Site) -> Self {
        let file = site.cluster().node("main").data().join("auth.sqlite3");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        runtime.block_on(async {
            let database = Database::connect(format!("sqlite://{}?mode=ro", file.display())).await;
            let database = database.expect("the database of auth can be read");
            let query = "SELECT kid, seed FROM signing_keys ORDER BY generation LIMIT 1".to_string();
            let row = database.query_one_raw(Statement::from_string(database.get_database_backend(), query)).await;
            let row = row.expect("the table is there").expect("there is a key");
            let (kid, seed): (String, Vec<u8>) = (row.try_get("", "kid").unwrap(), row.try_get("", "seed").unwrap());
            Self { kid, key: SigningKey::from_bytes(&seed.try_into().expect("a key has 32 bytes")) }
        })
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", encoded(header), encoded(claims));
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes()).to_bytes()))
    }

    fn header(&self) -> Value {
        json!({ "alg": "EdDSA", "typ": "JWT", "kid": self.kid })
    }
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn decoded(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("it is base64")).expect("it is JSON")
}

/// The object with one member changed.
fn with(object: &Value, name: &str, value: Value) -> Value {
    let mut changed = object.clone();
    changed[name] = value;
    changed
}

#[test]
fn only_what_the_platform_signed_and_meant_is_believed() {
    let site = Site::shared();
    let real = Forger::with_the_real_key(site);
    let token = site.ana.token().trim_start_matches("Bearer ").to_string();
    let [head, claims, signature] = token.split('.').collect::<Vec<_>>().try_into().expect("a token has three parts");
    let (header, claims_json) = (decoded(head), decoded(claims));
    assert_eq!(header, real.header(), "the key that was read is the one that signs");
    let mallory = Forger { kid: real.kid.clone(), key: SigningKey::from_bytes(&[7; 32]) };
    let admin = with(&claims_json, "roles", json!(["admin"]));
    let now = claims_json["iat"].as_i64().expect("a token says when it was issued");
    let public_key = real.key.verifying_key();
    // An HMAC under what everybody knows, the public key, for a verifier that lets the token choose its algorithm.
    let confused = {
        let signed = format!("{}.{}", encoded(&with(&header, "alg", json!("HS256"))), encoded(&admin));
        let mut mac = Hmac::<Sha256>::new_from_slice(public_key.as_bytes()).expect("any key will do");
        mac.update(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    };
    let mut flipped = URL_SAFE_NO_PAD.decode(signature).expect("a signature is base64");
    flipped[0] ^= 1;
    let unsigned = |alg: &str| format!("{}.{}.", encoded(&with(&header, "alg", json!(alg))), encoded(&admin));
    let other = |name: &str, value: Value| real.sign(&header, &with(&claims_json, name, value));
    let forged = [
        ("altered claims", format!("{head}.{}.{signature}", encoded(&admin))),
        ("altered signature", format!("{head}.{claims}.{}", URL_SAFE_NO_PAD.encode(&flipped))),
        ("no signature", format!("{head}.{claims}.")),
        ("another key", mallory.sign(&header, &admin)),
        ("alg none", unsigned("none")),
        ("alg None", unsigned("None")),
        ("alg NONE, signed", real.sign(&with(&header, "alg", json!("NONE")), &claims_json)),
        ("alg HS256 under the public key", confused),
        ("alg RS256", real.sign(&with(&header, "alg", json!("RS256")), &claims_json)),
        ("unknown kid", real.sign(&with(&header, "kid", json!("another")), &claims_json)),
        ("kid of a path", real.sign(&with(&header, "kid", json!("../../../dev/null")), &claims_json)),
        ("kid of a statement", real.sign(&with(&header, "kid", json!("' OR '1'='1")), &claims_json)),
        ("no kid", real.sign(&json!({ "alg": "EdDSA" }), &claims_json)),
        ("a key of its own", mallory.sign(&with(&header, "jwk", json!({ "kty": "OKP", "crv": "Ed25519" })), &admin)),
        ("expired", other("exp", json!(now - 60))),
        ("expires never", other("exp", Value::Null)),
        ("expires in text", other("exp", json!("9999999999"))),
        ("not valid yet", other("nbf", json!(now + 3_600))),
        ("another issuer", other("iss", json!("mallory"))),
        ("another audience", other("aud", json!("bank"))),
        ("nobody", other("sub", Value::Null)),
        ("claims that are no object", real.sign(&header, &json!(["sub"]))),
        ("too long", real.sign(&header, &with(&claims_json, "x", json!("x".repeat(9_000))))),
        ("nothing", String::new()),
        ("dots", "..".into()),
    ];
    for (case, token) in &forged {
        let bearer = site.anybody.bearing(token);
        let refused = refused_with(401, bearer.get("/users/me"));
        assert!(refused.header("www-authenticate").is_some_and(|c| c.starts_with("Bearer")), "{case}");
        refused_with(401, bearer.get("/users"));
        refused_with(401, bearer.post("/orders", json!({ "lines": [] })));
        bearer.get("/products").is(200);
    }
    // The unchanged token is accepted, so the others are refused for what was changed in them alone.
    let genuine = site.anybody.bearing(&real.sign(&header, &claims_json));
    genuine.get("/users/me").is(200);
    refused_with(401, genuine.with("Authorization", "Bearer x").get("/users/me"));
    refused_with(401, site.anybody.with("Authorization", "Basic YW5hOnB3").get("/users/me"));
    site.is_sound();
}

#[test]
fn a_stolen_refresh_token_that_comes_again_ends_the_whole_session() {
    let site = Site::shared();
    site.anybody.register("victim@hostile.example", PASSWORD, "Victim");
    let login = || site.anybody.login("victim@hostile.example", PASSWORD)["refresh_token"].clone();
    let exchange = |token: &Value| site.anybody.post("/auth/refresh", json!({ "refresh_token": token }));
    let (first, elsewhere) = (login(), login());
    let second = exchange(&first).is(200)["refresh_token"].clone();
    assert_eq!(exchange(&first).is(200)["refresh_token"], second, "an answer that was lost is given again");
    let third = exchange(&second).is(200)["refresh_token"].clone();
    refused_with(401, exchange(&first));
    for token in [&third, &second, &first] {
        refused_with(401, exchange(token));
    }
    exchange(&elsewhere).is(200);
    for nonsense in ["", "x", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", &"A".repeat(10_000), "' OR 1=1 --"] {
        refused_with(401, exchange(&json!(nonsense)));
        site.anybody.post("/auth/logout", json!({ "refresh_token": nonsense })).is(204);
    }
    site.is_sound();
}
