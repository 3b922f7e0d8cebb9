use std::cell::Cell;
use std::convert::Infallible;

use essaim_base::lock::Mutex;
use tokio::sync::oneshot;

use super::*;

fn near(ttl_ms: u64, max_bytes: u64) -> Near {
    Near::new(NearBounds { ttl: Duration::from_millis(ttl_ms), max_bytes }, Env::simulated(1, Duration::from_secs(1)))
}

fn ordinary() -> Near {
    near(1_000, 1 << 20)
}

async fn ok(value: &'static str) -> Result<Bytes, Infallible> {
    Ok(Bytes::from_static(value.as_bytes()))
}

/// A load that ends when the test says so, and tells when it began.
fn held() -> (impl Future<Output = Result<Bytes, &'static str>>, oneshot::Receiver<()>, oneshot::Sender<Held>) {
    let (began, begins) = oneshot::channel();
    let (end, ends) = oneshot::channel();
    let load = async move {
        let _ = began.send(());
        ends.await.unwrap_or(Err("dropped"))
    };
    (load, begins, end)
}

type Held = Result<Bytes, &'static str>;

#[tokio::test(start_paused = true)]
async fn a_loaded_value_is_remembered_until_its_time_is_over() {
    let near = ordinary();
    assert_eq!(near.get_with("ns", "k", ok("1")).await.unwrap(), "1");
    tokio::time::advance(Duration::from_millis(999)).await;
    assert_eq!(near.get_with("ns", "k", ok("2")).await.unwrap(), "1");
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(near.get("ns", "k"), None);
    assert_eq!(near.get_with("ns", "k", ok("2")).await.unwrap(), "2");
}

#[tokio::test(start_paused = true)]
async fn age_counts_from_the_moment_the_load_began() {
    let near = ordinary();
    let slow = async {
        tokio::time::sleep(Duration::from_millis(600)).await;
        ok("1").await
    };
    near.get_with("ns", "k", slow).await.unwrap();
    tokio::time::advance(Duration::from_millis(400)).await;
    assert_eq!(near.get("ns", "k"), None);
}

#[tokio::test]
async fn a_value_put_is_found_under_its_own_namespace_only() {
    let near = ordinary();
    near.put("a", "k", Bytes::from_static(b"1"));
    assert_eq!(near.get("a", "k").unwrap(), "1");
    assert_eq!(near.get("b", "k"), None);
}

#[tokio::test]
async fn concurrent_misses_wait_for_one_load() {
    let near = ordinary();
    let loads = Cell::new(0);
    let load = || async {
        loads.set(loads.get() + 1);
        tokio::task::yield_now().await;
        ok("1").await
    };
    let all = futures_util::future::join_all((0..100).map(|_| near.get_with("ns", "k", load()))).await;
    assert!(all.iter().all(|v| v.as_ref().unwrap() == "1"));
    assert_eq!(loads.get(), 1);
    let figures = near.figures();
    assert_eq!((figures.hits, figures.misses, figures.loads, figures.entries), (0, 100, 1, 1));
}

#[tokio::test]
async fn a_failed_load_fails_for_its_caller_and_those_who_waited_load_at_the_same_time() {
    let near = ordinary();
    let (first, began, end) = held();
    let (second, second_began, second_end) = held();
    let (third, third_began, third_end) = held();
    let script = async {
        began.await.unwrap();
        tokio::task::yield_now().await;
        end.send(Err("down")).unwrap();
        // Neither waits for the other.
        second_began.await.unwrap();
        third_began.await.unwrap();
        second_end.send(Err("still down")).unwrap();
        third_end.send(Ok(Bytes::from_static(b"up"))).unwrap();
    };
    let (a, b, c, ()) = tokio::join!(
        near.get_with("ns", "k", first),
        near.get_with("ns", "k", second),
        near.get_with("ns", "k", third),
        script
    );
    assert_eq!((a, b), (Err("down"), Err("still down")));
    assert_eq!(c.unwrap(), "up");
    assert_eq!(near.get("ns", "k").unwrap(), "up", "a value loaded alone is remembered too");
}

#[tokio::test]
async fn a_cancelled_load_is_taken_over_by_one_that_waited() {
    let near = ordinary();
    let (leading, began, _never) = held();
    let leader = tokio::spawn({
        let near = near.clone();
        async move { near.get_with("ns", "k", leading).await }
    });
    began.await.unwrap();
    let waiters = [(); 2].map(|()| {
        let near = near.clone();
        tokio::spawn(async move { near.get_with("ns", "k", ok("1")).await })
    });
    tokio::task::yield_now().await;
    leader.abort();
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap().unwrap(), "1");
    }
    assert_eq!(near.figures().loads, 2, "the cancelled load, and one more");
}

#[tokio::test]
async fn a_load_that_panics_is_taken_over_too() {
    let near = ordinary();
    let leader = tokio::spawn({
        let near = near.clone();
        async move {
            let load = async { panic!("on purpose") };
            near.get_with::<Infallible>("ns", "k", load).await
        }
    });
    assert!(leader.await.unwrap_err().is_panic());
    assert_eq!(near.get_with("ns", "k", ok("1")).await.unwrap(), "1");
}

#[tokio::test]
async fn a_load_that_began_before_an_invalidation_is_answered_and_not_remembered() {
    let near = ordinary();
    let (old, began, end) = held();
    let script = async {
        began.await.unwrap();
        near.invalidate("ns", "k");
        // A read that starts now must not get the value of the old load.
        let new = near.get_with("ns", "k", ok("new")).await;
        end.send(Ok(Bytes::from_static(b"old"))).unwrap();
        new
    };
    let (waited, new) = tokio::join!(near.get_with("ns", "k", old), script);
    assert_eq!(waited.unwrap(), "old");
    assert_eq!(new.unwrap(), "new");
    assert_eq!(near.get("ns", "k").unwrap(), "new");
}

#[tokio::test]
async fn an_outdated_load_that_ends_alone_leaves_nothing() {
    let near = ordinary();
    let load = async {
        near.invalidate("ns", "k");
        ok("old").await
    };
    assert_eq!(near.get_with("ns", "k", load).await.unwrap(), "old");
    assert_eq!(near.get("ns", "k"), None);
}

#[tokio::test]
async fn a_value_put_while_a_load_is_under_way_stays() {
    let near = ordinary();
    let load = async {
        near.put("ns", "k", Bytes::from_static(b"put"));
        ok("loaded").await
    };
    near.get_with("ns", "k", load).await.unwrap();
    assert_eq!(near.get("ns", "k").unwrap(), "put");
}

#[tokio::test]
async fn a_flush_forgets_everything_and_outdates_every_load() {
    let near = ordinary();
    near.put("ns", "a", Bytes::from_static(b"1"));
    let load = async {
        near.flush();
        ok("old").await
    };
    near.get_with("ns", "b", load).await.unwrap();
    assert_eq!((near.get("ns", "a"), near.get("ns", "b")), (None, None));
    near.put("ns", "a", Bytes::from_static(b"2"));
    assert_eq!(near.get("ns", "a").unwrap(), "2", "it remembers again after a flush");
    assert_eq!(near.figures().flushes, 1);
}

#[tokio::test]
async fn an_invalidation_reaches_another_node_by_its_literal_name() {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let there = ordinary();
    let here = ordinary().broadcasting({
        let sent = sent.clone();
        move |name, body| sent.lock().push((name.to_string(), body))
    });
    for near in [&here, &there] {
        near.put("ns", "k", Bytes::from_static(b"1"));
        near.put("ns", "other", Bytes::from_static(b"1"));
    }
    here.invalidate("ns", "k");
    let sent = std::mem::take(&mut *sent.lock());
    let [(name, body)] = &sent[..] else { panic!("one broadcast: {sent:?}") };
    // MessagePack with named fields: a map of two, `ns` and `key`.
    assert_eq!((name.as_str(), &body[..]), ("essaim.near-invalidate.v1", &b"\x82\xa2ns\xa2ns\xa3key\xa1k"[..]));
    assert!(there.hear(name, body));
    for near in [&here, &there] {
        assert_eq!(near.get("ns", "k"), None);
        assert_eq!(near.get("ns", "other").unwrap(), "1");
        assert_eq!(near.figures().invalidations, 1);
    }
}

#[tokio::test]
async fn other_broadcasts_are_left_to_others() {
    assert!(!ordinary().hear("cache.put.v1", b""));
}

#[tokio::test]
async fn an_invalidation_that_cannot_be_read_forgets_everything() {
    let near = ordinary();
    near.put("ns", "k", Bytes::from_static(b"1"));
    assert!(near.hear(INVALIDATE, b"\xc1"));
    assert_eq!(near.get("ns", "k"), None);
    assert_eq!(near.figures().flushes, 1);
}

#[tokio::test]
async fn the_bytes_kept_stay_within_the_bound() {
    let near = near(60_000, 100_000);
    for i in 0..1_000 {
        near.put("ns", &i.to_string(), Bytes::from(vec![0; 1_000]));
    }
    let figures = near.figures();
    assert!(figures.bytes <= 100_000 && figures.entries > 50, "{figures:?}");
}

#[tokio::test]
async fn a_value_larger_than_the_whole_cache_is_not_kept() {
    let near = near(60_000, 1_000);
    near.put("ns", "k", Bytes::from(vec![0; 1_000]));
    assert_eq!(near.get("ns", "k"), None);
}

#[tokio::test]
async fn a_ttl_of_zero_keeps_nothing() {
    let near = near(0, 1 << 20);
    near.get_with("ns", "k", ok("1")).await.unwrap();
    assert_eq!(near.figures().entries, 0);
}

/// Threads read and write one key; a read that begins after an invalidation has returned must see at least what had
/// been written before it.
#[test]
fn no_read_that_begins_after_an_invalidation_sees_what_was_before_it() {
    const ROUNDS: u64 = 200;
    let near = ordinary();
    let (written, invalidated) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    let readers = [(); 3].map(|()| {
        let (near, written, invalidated) = (near.clone(), written.clone(), invalidated.clone());
        std::thread::spawn(move || {
            runtime().block_on(async {
                while invalidated.load(Ordering::SeqCst) < ROUNDS {
                    let at_least = invalidated.load(Ordering::SeqCst);
                    let load = async {
                        let value = written.load(Ordering::SeqCst);
                        std::thread::yield_now(); // Lets an invalidation come between.
                        Ok::<_, Infallible>(Bytes::copy_from_slice(&value.to_be_bytes()))
                    };
                    let value = near.get_with("ns", "k", load).await.unwrap();
                    let value = u64::from_be_bytes(value[..].try_into().unwrap());
                    assert!(value >= at_least, "{value} after {at_least} was invalidated");
                }
            });
        })
    });
    for round in 1..=ROUNDS {
        written.store(round, Ordering::SeqCst);
        near.invalidate("ns", "k");
        invalidated.store(round, Ordering::SeqCst);
        std::thread::yield_now();
    }
    for reader in readers {
        reader.join().unwrap();
    }
    assert!(near.figures().loads > 0);
}

#[tokio::test(start_paused = true)]
async fn behind_a_bar_nothing_is_served_shared_or_kept() {
    let near = ordinary();
    near.get_with("ns", "k", ok("old")).await.unwrap();
    let bar = near.bar("ns", "k");
    assert_eq!(near.get("ns", "k"), None);
    let (load, begins, end) = held();
    let first = near.get_with("ns", "k", load);
    let second = async {
        begins.await.unwrap();
        // It does not wait for the first one's load, which may have read what the bar is about.
        assert_eq!(near.get_with("ns", "k", ok("new")).await.unwrap(), "new");
        end.send(Ok(Bytes::from_static(b"old"))).unwrap();
    };
    assert_eq!(tokio::join!(first, second).0.unwrap(), "old");
    assert_eq!(near.get("ns", "k"), None);
    drop(bar);
    near.get_with("ns", "k", ok("new")).await.unwrap();
    assert_eq!(near.get("ns", "k").unwrap(), "new");
}

#[tokio::test(start_paused = true)]
async fn what_was_loaded_before_a_bar_went_is_not_kept_after_it() {
    for begun_before_the_bar in [true, false] {
        let near = ordinary();
        let mut bar = (!begun_before_the_bar).then(|| near.bar("ns", "k"));
        let (load, begins, end) = held();
        let reads = near.get_with("ns", "k", load);
        let writes = async {
            begins.await.unwrap();
            drop(bar.take().unwrap_or_else(|| near.bar("ns", "k")));
            end.send(Ok(Bytes::from_static(b"old"))).unwrap();
        };
        assert_eq!(tokio::join!(reads, writes).0.unwrap(), "old");
        assert_eq!(near.get("ns", "k"), None);
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_of_several_bars_counts() {
    let near = ordinary();
    let (first, second) = (near.bar("ns", "k"), near.bar("ns", "k"));
    drop(first);
    near.get_with("ns", "k", ok("1")).await.unwrap();
    assert_eq!(near.get("ns", "k"), None);
    drop(second);
    near.get_with("ns", "k", ok("2")).await.unwrap();
    assert_eq!(near.get("ns", "k").unwrap(), "2");
}
