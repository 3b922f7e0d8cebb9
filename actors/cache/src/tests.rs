use std::time::Duration;

use essaim::contract::AskError;
use essaim::{Harness, Stage};

use super::*;

fn get(key: &str) -> Get {
    Get { namespace: "sessions".into(), key: key.into() }
}

fn put(key: &str, value: &str) -> Put {
    Put { namespace: "sessions".into(), key: key.into(), value: value.into(), ttl_ms: None }
}

async fn cache() -> Stage<CacheActor> {
    Harness::bare().settings(CacheSettings { max_key_bytes: 16, max_value_bytes: 4 }).start().await
}

#[tokio::test(start_paused = true)]
async fn a_value_is_found_until_it_is_invalidated() {
    let t = cache().await;
    assert_eq!(t.ask(get("k")).await, Ok(None));
    t.ask(put("k", "1")).await.unwrap();
    t.ask(put("other", "2")).await.unwrap();
    assert_eq!(t.ask(get("k")).await, Ok(Some("1".into())));
    t.ask(Invalidate { namespace: "sessions".into(), key: "k".into() }).await.unwrap();
    assert_eq!(t.ask(get("k")).await, Ok(None));
    assert_eq!(t.ask(get("other")).await, Ok(Some("2".into())));
}

#[tokio::test(start_paused = true)]
async fn the_last_put_counts() {
    let t = cache().await;
    t.ask(put("k", "1")).await.unwrap();
    t.ask(put("k", "2")).await.unwrap();
    assert_eq!(t.ask(get("k")).await, Ok(Some("2".into())));
}

#[tokio::test(start_paused = true)]
async fn a_value_with_a_time_of_its_own_goes_when_that_is_over() {
    let t = cache().await;
    t.ask(Put { ttl_ms: Some(100), ..put("k", "1") }).await.unwrap();
    t.run(tokio::time::sleep(Duration::from_millis(99))).await;
    assert_eq!(t.ask(get("k")).await, Ok(Some("1".into())));
    t.run(tokio::time::sleep(Duration::from_millis(1))).await;
    assert_eq!(t.ask(get("k")).await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn no_value_outlives_the_near_caches_bound() {
    let t = Harness::<CacheActor>::bare().runtime(|s| s.near.ttl_ms = 50).start().await;
    t.ask(Put { ttl_ms: Some(100), ..put("k", "1") }).await.unwrap();
    t.run(tokio::time::sleep(Duration::from_millis(50))).await;
    assert_eq!(t.ask(get("k")).await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn namespaces_are_apart_from_each_other_and_from_the_nodes_own() {
    let t = cache().await;
    t.client().near().put("sessions", "k", bytes::Bytes::from_static(b"\0\0\0\0\0\0\0\0own"));
    assert_eq!(t.ask(get("k")).await, Ok(None));
    t.ask(Put { namespace: "baskets".into(), ..put("k", "1") }).await.unwrap();
    assert_eq!(t.ask(get("k")).await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_is_rejected_with_the_limit() {
    let t = cache().await;
    let value = CacheError::ValueTooLarge { bytes: 5, limit: 4 };
    assert_eq!(t.ask(put("k", "12345")).await, Err(AskError::Rejected(value)));
    let key = || AskError::Rejected(CacheError::KeyTooLarge { bytes: 17, limit: 16 });
    assert_eq!(t.ask(put("123456789", "1")).await, Err(key()));
    assert_eq!(t.ask(get("123456789")).await, Err(key()));
}

#[tokio::test(start_paused = true)]
async fn the_nodes_status_tells_what_was_asked_and_what_is_kept() {
    let t = cache().await;
    t.ask(put("k", "1")).await.unwrap();
    t.ask(get("k")).await.unwrap();
    t.ask(get("other")).await.unwrap();
    t.ask(put("k", "12345")).await.unwrap_err();
    let status = t.run(t.client().status()).await;
    let expected = serde_json::json!({"gets": 2, "found": 1, "puts": 1, "invalidations": 0, "rejected": 1});
    assert_eq!(status["capabilities"]["cache"]["figures"], expected);
    assert_eq!(status["near"]["entries"], 1);
}
