//! The store floor: the commands that read events and store SETs.

use redis::streams::StreamReadReply;

use super::{Count, Floor};
use crate::{
    publisher::{KEY, Publisher},
    support::{backend::Backend, bare_store::BareStore, redis::Redis},
};

/// The number of commands that are sent or committed together.
const GROUP: u32 = 256;
/// The number of events that are published before they are read.
const AHEAD: u32 = 50_000;
const GROUP_NAME: &str = "bare";

/// Measures reading events from Redis and acknowledging them.
pub(super) fn ingest() -> Floor {
    let redis = Redis::start();
    let mut reader = Reader::new(redis.connection());
    let mut publisher = Publisher::new(redis.connection());
    for _ in 0..AHEAD / GROUP {
        publisher.publish(GROUP.into());
    }
    let mut count = Count::begin();
    while !count.is_over() && count.done < AHEAD - GROUP {
        count.done += reader.read();
    }
    let (cpu, each) = count.end();
    while 0 < reader.read() {}
    let mut count = Count::begin();
    while !count.is_over() {
        publisher.publish(1);
        count.done += reader.read();
    }
    let (_, alone) = count.end();
    Floor { cpu, per_second: each.as_secs_f64().recip(), alone }
}

/// A reader with its own consumer group.
struct Reader(redis::Connection);

impl Reader {
    fn new(mut connection: redis::Connection) -> Self {
        let mut create = redis::cmd("XGROUP");
        create.arg(&["CREATE", KEY, GROUP_NAME, "0", "MKSTREAM"]);
        let () = create.query(&mut connection).expect("a group");
        Self(connection)
    }

    /// Reads and acknowledges entries. Returns their number.
    fn read(&mut self) -> u32 {
        let mut read = redis::cmd("XREADGROUP");
        read.arg(&["GROUP", GROUP_NAME, "bare", "COUNT"]).arg(GROUP).arg(&["STREAMS", KEY, ">"]);
        let read: Option<StreamReadReply> = read.query(&mut self.0).expect("an answer");
        let Some(read) = read else { return 0 };
        let mut acknowledge = redis::cmd("XACK");
        acknowledge.arg(&[KEY, GROUP_NAME]);
        for entry in read.keys.iter().flat_map(|key| &key.ids) {
            acknowledge.arg(&entry.id);
        }
        acknowledge.query(&mut self.0).expect("an answer")
    }
}

/// Measures storing, reading and settling SETs. For a single SET only the storing counts for its
/// age, because the SET is sent once it is stored.
pub(super) fn store(backend: Backend) -> Floor {
    let mut store = BareStore::new(backend);
    let mut count = Count::begin();
    while !count.is_over() {
        store.keep(GROUP);
        store.settle(GROUP);
        count.done += GROUP;
    }
    let (cpu, each) = count.end();
    let mut count = Count::begin();
    while !count.is_over() {
        store.keep(1);
        count.done += 1;
    }
    let (_, alone) = count.end();
    Floor { cpu, per_second: each.as_secs_f64().recip(), alone }
}
