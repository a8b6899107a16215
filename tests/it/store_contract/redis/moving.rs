//! A Cluster whose slots are moved from node to node while they are served from.

use ssfd::store::{StoreError, slot::Slot};

use super::*;

const STREAM: &str = "st_1";

#[tokio::test]
async fn nothing_is_misread_while_a_slot_is_on_its_way() {
    let cluster = RedisCluster::start(2, 0).await;
    let settings =
        RedisSettings { topology: Topology::Cluster, retries: 1, ..impatient(cluster.urls()) };
    let store = RedisStore::open(&settings, Arc::new(Epochs::default())).await.expect("opens");
    create(&store, vec![push_stream(STREAM)]).await;
    append_sets(&store, vec![set(STREAM, "j1"), in_lane(1, set(STREAM, "j2"))]).await;

    let tag = format!("{{ssf:{}}}", Slot::of(&[STREAM]));
    let [first, second] = &cluster.primaries[..] else { panic!("two nodes") };
    let slot = first.run::<u16>(&["CLUSTER", "KEYSLOT", &tag]).await.to_string();
    let mine: Vec<String> = first.run(&["CLUSTER", "GETKEYSINSLOT", &slot, "99"]).await;
    let (from, to) = if mine.is_empty() { (second, first) } else { (first, second) };
    let keys: Vec<String> = from.run(&["CLUSTER", "GETKEYSINSLOT", &slot, "99"]).await;
    assert!(4 < keys.len(), "{keys:?}");
    let [from_id, to_id]: [String; 2] =
        [from.run(&["CLUSTER", "MYID"]).await, to.run(&["CLUSTER", "MYID"]).await];
    let () = to.run(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]).await;
    let () = from.run(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]).await;

    // At every stage of the move, no event is lost as if its stream did not exist.
    let port = to.port().to_string();
    for n in 0..=keys.len() {
        let events = vec![event(vec![set(STREAM, "j3")])];
        let appended =
            store.append(AppendBatch { events, position: None, now: NOW }, &|_| ()).await;
        assert!(matches!(appended, Err(StoreError::Unavailable(_))), "{n}: {appended:?}");
        let read = store.stream(&id(STREAM)).await;
        assert!(matches!(read, Err(StoreError::Unavailable(_))), "{n}: {read:?}");
        if let Some(key) = keys.get(n) {
            let () = from.run(&["MIGRATE", "127.0.0.1", &port, key, "0", "5000"]).await;
        }
    }
    for node in [to, from] {
        let () = node.run(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]).await;
    }
    append_sets(&store, vec![set(STREAM, "j3")]).await;
    assert_eq!(names(&pending(&store, STREAM).await), ["j1", "j2", "j3"]);
    let due = store.read_due(&id(STREAM), up_to(9), NOW).await.expect("readable");
    assert_eq!(names(&due.sets), ["j1", "j2"]);
}
