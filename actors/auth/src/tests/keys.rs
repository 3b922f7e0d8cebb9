use jsonwebtoken::{Algorithm, DecodingKey, Validation};

use super::*;

/// The claims of an access token, verified as a gateway does, and the id of its key.
async fn verified(t: &Stage<AuthActor>, token: &Secret) -> Option<(Claims, String)> {
    let keys = t.ask(GetKeys {}).await.unwrap();
    let kid = jsonwebtoken::decode_header(token.expose()).unwrap().kid.unwrap();
    let key = keys.keys.iter().find(|k| k.kid == kid)?;
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_issuer(&[keys.issuer]);
    validation.set_audience(&[keys.audience]);
    validation.validate_exp = false; // The machine's clock is not the test's.
    let key = DecodingKey::from_ed_components(&key.x).unwrap();
    Some((jsonwebtoken::decode(token.expose(), &key, &validation).unwrap().claims, kid))
}

async fn token(t: &Stage<AuthActor>) -> Secret {
    t.ask(login(1, PASSWORD)).await.unwrap().access_token
}

#[tokio::test]
async fn an_access_token_is_verified_by_the_published_key() {
    let t = with_one(&People::default()).await;
    let (claims, _) = verified(&t, &token(&t).await).await.unwrap();
    assert_eq!((claims.sub, claims.roles), (register(1).user_id, vec!["customer".to_string()]));
    assert_eq!(claims.exp - claims.iat, 900);
    assert!(claims.iat >= 1_800_000_000, "the harness's own day");
}

#[tokio::test]
async fn every_token_has_an_id_of_its_own() {
    let t = with_one(&People::default()).await;
    let (a, b) = (token(&t).await, token(&t).await);
    assert_ne!(verified(&t, &a).await.unwrap().0.jti, verified(&t, &b).await.unwrap().0.jti);
}

/// Lets time pass in steps that the timers follow, and waits for what they do.
async fn days(t: &Stage<AuthActor>, days: u64, until_keys: usize) {
    pass(t, Duration::from_secs(days * 86_400)).await;
    let client = t.client();
    let reached = async {
        while client.ask(GetKeys {}).await.unwrap().keys.len() != until_keys {
            tokio::task::yield_now().await;
        }
    };
    t.run(tokio::time::timeout(Duration::from_secs(60), reached)).await.expect("the keys timer does its work");
}

#[tokio::test]
async fn a_new_key_is_published_before_it_signs_and_the_old_one_is_kept_for_its_tokens() {
    let t = with_one(&People::default()).await;
    let first = token(&t).await;
    let (_, first_kid) = verified(&t, &first).await.unwrap();

    days(&t, 30, 2).await;
    let (_, kid) = verified(&t, &token(&t).await).await.unwrap();
    assert_eq!(kid, first_kid, "the new key is published and does not sign yet");

    pass(&t, Duration::from_secs(601)).await;
    let second = token(&t).await;
    let (_, second_kid) = verified(&t, &second).await.unwrap();
    assert_ne!(second_kid, first_kid, "now it does");
    assert!(verified(&t, &first).await.is_some(), "tokens of the old key can still be verified");

    days(&t, 1, 1).await;
    assert!(verified(&t, &first).await.is_none(), "they have expired, and so has their key");
    assert!(verified(&t, &second).await.is_some());
}
