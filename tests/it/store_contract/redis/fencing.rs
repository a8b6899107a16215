//! Writes of several nodes do not interfere with each other.

use ssfd::store::{StoreError, slot::Slot};

use super::*;

#[tokio::test]
async fn the_latest_activity_stays_whichever_node_records_last() {
    let server = Redis::start().await;
    let store = store_on(&server).await;
    create(&store, vec![push_stream("st_1")]).await;
    let kept = async |at: Timestamp| {
        store.record_activity(vec![(id("st_1"), at)], None).await.expect("recorded");
        store.activity().await.expect("readable").last[0].1
    };
    assert_eq!(kept(later(2)).await, later(2));
    assert_eq!(kept(later(1)).await, later(2));
    // Nobody asked, and now somebody does.
    kept(Timestamp::from_millis(i64::MAX)).await;
    assert_eq!(kept(later(3)).await, later(3));
}

#[tokio::test]
async fn a_node_that_lost_its_slot_records_nothing() {
    let server = Redis::start().await;
    let epochs = Arc::new(Epochs::default());
    let settings = impatient(vec![server.url()]);
    let store = RedisStore::open(&settings, Arc::clone(&epochs)).await.expect("opens");
    let chooses = StreamConfig { default_subjects: DefaultSubjects::None, ..push_stream("st_1") };
    create(&store, vec![chooses]).await;
    append_sets(&store, vec![set("st_1", "j1")]).await;
    let slot = Slot::of(&["st_1"]);
    let owner = format!("{{ssf:{slot}}}:owner");
    let waiting = seq(&store, "st_1", "j1").await;
    let settle = async || {
        let settlement = Settlement { seq: waiting, disposition: retry_at(NOW), version: 1 };
        store.settle(&id("st_1"), vec![settlement], NOW).await
    };
    let attempts = async || pending(&store, "st_1").await[0].attempts;

    // Alone, it need not ask; nor does it where nobody has taken the slot.
    let () = server.run(&["HSET", &owner, "epoch", "4"]).await;
    settle().await.expect("settled");
    epochs.set(slot, Some(4));
    settle().await.expect("settled");
    assert_eq!(attempts().await, 2);

    let () = server.run(&["HSET", &owner, "epoch", "5"]).await;
    assert!(matches!(settle().await, Err(StoreError::Fenced)));
    assert_eq!(attempts().await, 2);
    // Nor does it discard, which a read would.
    let read = store.read_due(&id("st_1"), up_to(9), NOW).await;
    assert!(matches!(read, Err(StoreError::Fenced)), "{read:?}");
    assert_eq!(pending(&store, "st_1").await.len(), 1);

    epochs.set(slot, Some(5));
    settle().await.expect("settled");
    assert_eq!(store.read_due(&id("st_1"), up_to(9), NOW).await.expect("read").discarded, 1);
    epochs.set(slot, None);
}
