//! The commands by which events are read and SETs are kept.

use redis::streams::StreamReadReply;

use super::{Count, Floor};
use crate::{
    support::{backend::Backend, bare_store::BareStore, redis::Redis},
    upstream::{KEY, Upstream},
};

/// Commands that are sent, or committed, together.
const GROUP: u32 = 256;
/// Events that are published before they are read.
const AHEAD: u32 = 50_000;
const GROUP_NAME: &str = "bare";

/// Reads events from Redis and acknowledges them.
pub(super) fn ingest() -> Floor {
    let redis = Redis::start();
    let mut reader = Reader::new(redis.connection());
    let mut upstream = Upstream::new(redis.connection());
    for _ in 0..AHEAD / GROUP {
        upstream.publish(GROUP.into());
    }
    let mut count = Count::begin();
    while !count.is_over() && count.done < AHEAD - GROUP {
        count.done += reader.read();
    }
    let (cpu, each) = count.end();
    while 0 < reader.read() {}
    let mut count = Count::begin();
    while !count.is_over() {
        upstream.publish(1);
        count.done += reader.read();
    }
    let (_, alone) = count.end();
    Floor { cpu, per_second: each.as_secs_f64().recip(), alone }
}

/// A consumer group of its own.
struct Reader(redis::Connection);

impl Reader {
    fn new(mut connection: redis::Connection) -> Self {
        let mut create = redis::cmd("XGROUP");
        create.arg(&["CREATE", KEY, GROUP_NAME, "0", "MKSTREAM"]);
        let () = create.query(&mut connection).expect("a group");
        Self(connection)
    }

    /// How many there were.
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

/// Keeps SETs, reads them and settles them. One that is alone is on its way once it is kept.
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
