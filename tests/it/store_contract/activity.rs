//! When streams were last active.

use super::*;
use ssfd::store::ActivityRecord;

pub(super) async fn activity_is_recorded_and_goes_with_its_stream(backend: impl Backend) {
    let store = backend.open().await;
    assert_eq!(store.activity().await.expect("readable"), ActivityRecord::default());
    create(&*store, vec![poll_stream("st_1"), push_stream("st_2"), poll_stream("st_3")]).await;
    let record = async |last: &[(&str, Timestamp)], recorded_at| {
        let last = last.iter().map(|(stream, at)| (id(stream), *at)).collect();
        store.record_activity(last, recorded_at).await.expect("recorded");
    };
    record(&[("st_1", NOW), ("st_2", later(1)), ("st_unknown", NOW)], None).await;
    record(&[("st_1", later(2))], Some(later(3))).await;
    record(&[], Some(later(4))).await;
    record(&[("st_3", later(5))], None).await;
    assert!(store.delete_stream(&id("st_2")).await.expect("deleted"));
    drop(store);

    let mut kept = backend.open().await.activity().await.expect("readable");
    kept.last.sort();
    let last = vec![(id("st_1"), later(2)), (id("st_3"), later(5))];
    assert_eq!(kept, ActivityRecord { last, recorded_at: Some(later(4)) });
}
