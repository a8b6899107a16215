//! The scripts. Each script is one atomic step on one slot and one round trip.
//!
//! Each script may be repeated, as after an answer that was lost. Most scripts then change nothing. In some
//! cases a failed attempt counts twice (`settle`), a SET is handed out again only after its time (`take`),
//! or the answer tells less than was done. No repetition loses or doubles a SET.

use std::sync::LazyLock;

use redis::{Arg, Cmd, Script as Source, ToRedisArgs};

use super::slot::Slot;

/// A script, known to the servers by its hash.
pub(super) struct Script {
    source: String,
    hash: String,
    writes: bool,
}

/// Whether a script changes anything, and so whether replicas are waited for.
enum Does {
    Read,
    Write,
}

impl Script {
    fn new(source: String, does: &Does) -> Self {
        let hash = Source::new(&source).get_hash().to_owned();
        Self { source, hash, writes: matches!(does, Does::Write) }
    }
}

/// Each script begins with the parts that it shares with other scripts.
macro_rules! scripts {
    ($($name:ident: $does:ident, $($file:literal)+;)+) => {
        $(pub(super) static $name: LazyLock<Script> = LazyLock::new(|| {
            let parts = [$(include_str!(concat!("scripts/", $file, ".lua"))),+];
            Script::new(parts.concat(), &Does::$does)
        });)+

        /// Returns the sources of all scripts, for tests.
        #[cfg(test)]
        pub(super) fn sources() -> Vec<&'static str> {
            vec![$(&$name.source),+]
        }
    };
}

scripts! {
    OPEN: Write, "slot" "open";
    PING: Read, "slot" "ping";

    CREATE: Write, "slot" "changed" "create";
    OWN: Write, "slot" "own";
    DISOWN: Write, "slot" "disown";
    OWNED: Read, "slot" "owned";
    CHANGE: Write, "slot" "changed" "outbox" "settled" "change";
    MAKE_DUE: Write, "slot" "outbox" "make_due";
    DISCARD_ALL: Write, "slot" "outbox" "settled" "discard_all";
    DELETE: Write, "slot" "changed" "records" "delete";
    LEFT: Write, "slot" "left";
    STREAMS: Read, "slot" "streams";
    STREAM: Read, "slot" "stream";

    SELECT: Write, "slot" "select";
    LIST_CHANGE: Write, "slot" "lists" "list_change";
    LIST_LOOKUP: Read, "slot" "lists" "list_lookup";
    LIST_SHAPES: Read, "slot" "list_shapes";
    LIST_STREAMS: Read, "slot" "list_streams";
    LIST_EXPIRE: Write, "slot" "lists" "list_expire";
    LIST_DELETE: Write, "slot" "lists" "list_delete";

    CLAIM: Write, "slot" "claim";
    JUDGE_ACCOUNTS: Read, "slot" "accounts" "judge_accounts";
    APPEND: Write, "slot" "outbox" "append";
    CONCLUDE: Write, "slot" "accounts" "conclude";
    FINISH: Write, "slot" "finish";
    POSITION: Read, "slot" "position";
    EVENT_WITH_ID: Read, "slot" "event_with_id";
    EVENTS_AT: Read, "slot" "events_at";

    READ: Read, "slot" "outbox" "read";
    DISCARD: Write, "slot" "outbox" "settled" "discard";
    SETTLE: Write, "slot" "outbox" "settled" "settle";
    ACKNOWLEDGE: Write, "slot" "outbox" "settled" "acknowledge";
    TAKE: Write, "slot" "outbox" "take";
    NEXT_DUE: Read, "slot" "outbox" "ahead" "next_due";
    WORK: Read, "slot" "work";
    FORGET_WAITS: Write, "slot" "outbox" "ahead" "forget_waits";
    BACKLOG: Read, "slot" "outbox" "waiting" "backlog";
    COUNT: Read, "slot" "outbox" "waiting" "count";

    DEAD: Read, "slot" "dead";
    DEAD_COUNTS: Read, "slot" "dead_counts";
    PAGE: Read, "slot" "page";
    FIRST_KEPT: Read, "slot" "outbox" "first_kept";
    REQUEUE: Write, "slot" "outbox" "settled" "requeue";
    PURGE: Write, "slot" "outbox" "settled" "purge";
    OF_JTI: Read, "slot" "of_jti";
    KEPT: Read, "slot" "kept";
    EXPIRE: Write, "slot" "outbox" "settled" "expire";
    LIMIT_HELD: Write, "slot" "outbox" "settled" "limit_held";
    GIVE_UP_POLLED: Write, "slot" "outbox" "settled" "give_up_polled";

    RECORD: Read, "slot" "record";
    RECORD_PUT: Write, "slot" "records" "record_put";
    RECORD_DELETE: Write, "slot" "records" "record_delete";
    RECORD_LIST: Read, "slot" "record_list";
    RECORD_OWNED: Read, "slot" "record_owned";
    RECORD_EXPIRE: Write, "slot" "records" "record_expire";
    RECORDS_CLEAR: Write, "slot" "records" "records_clear";

    // No replica has to have the state that nodes share, because a lease that is lost with a server runs
    // out. So these scripts count as reads.
    HEARTBEAT: Read, "slot" "heartbeat";
    DEPART: Read, "slot" "depart";
    LIVE: Read, "slot" "live";
    FEED_APPEND: Read, "slot" "feed_append";
    FEED_NEWEST: Read, "slot" "feed_newest";
    RAISE_EPOCH: Write, "slot" "raise_epoch";
    CHANGES: Read, "slot" "changes";

    SCAN: Read, "slot" "scan";
    NUMBERED: Read, "slot" "numbered";
    IDS_BEFORE: Read, "slot" "ids_before";
    PUT_SETS: Write, "slot" "outbox" "settled" "put_sets";
    PUT_LIST: Write, "slot" "lists" "put_list";
    PUT_EVENTS: Write, "slot" "put_events";
    PUT_ACCOUNTS: Write, "slot" "put_accounts";
    PUT_POSITION: Write, "slot" "put_position";
    PUT_IDS_BEFORE: Write, "slot" "put_ids_before";
    CLEAR: Write, "slot" "clear";
    MARK: Write, "slot" "mark";
}

/// A call of a script on one slot, with its arguments.
pub(super) struct Call {
    script: &'static Script,
    slot: Slot,
    command: Cmd,
}

impl Call {
    /// `tag` is the head of all keys that the script touches, and its first key.
    ///
    /// A second one is named with it, and neither exists. While a Cluster moves the slot from node to
    /// node, some of its keys are here and some are there; and a command of one key that is not here
    /// would be sent to where little else may have come yet. One of two keys has to try again until
    /// all have been moved.
    pub(super) fn new(script: &'static Script, slot: Slot, tag: &str) -> Self {
        let mut command = redis::cmd("EVALSHA");
        command.arg(&script.hash).arg(2).arg(tag).arg(format!("{tag}:"));
        Self { script, slot, command }
    }

    pub(super) fn arg(mut self, argument: impl ToRedisArgs) -> Self {
        self.command.arg(argument);
        self
    }

    pub(super) fn push(&mut self, argument: impl ToRedisArgs) {
        self.command.arg(argument);
    }

    pub(super) fn push_all<T: ToRedisArgs>(&mut self, arguments: impl IntoIterator<Item = T>) {
        for argument in arguments {
            self.push(argument);
        }
    }

    pub(super) fn slot(&self) -> Slot {
        self.slot
    }

    pub(super) fn writes(&self) -> bool {
        self.script.writes
    }

    pub(super) fn command(&self) -> &Cmd {
        &self.command
    }

    /// Returns the tag of all keys that the script touches.
    pub(super) fn tag(&self) -> &[u8] {
        match self.command.args_iter().nth(3) {
            Some(Arg::Simple(tag)) => tag,
            _ => unreachable!("a call has its tag"),
        }
    }

    /// Returns the command for a server that does not know the script yet. The server knows it afterwards.
    pub(super) fn with_source(&self) -> Cmd {
        let mut command = redis::cmd("EVAL");
        command.arg(&self.script.source);
        for argument in self.command.args_iter().skip(2) {
            if let Arg::Simple(argument) = argument {
                command.arg(argument);
            }
        }
        command
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn every_file_is_part_of_a_script() {
        let folder = [env!("CARGO_MANIFEST_DIR"), "src/store/redis/scripts"];
        for file in std::fs::read_dir(folder.iter().collect::<PathBuf>()).expect("a folder") {
            let text = std::fs::read_to_string(file.expect("a file").path()).expect("text");
            assert!(sources().iter().any(|source| source.contains(&text)), "{text}");
        }
    }

    #[test]
    fn a_call_has_the_same_arguments_by_hash_and_by_source() {
        let call = Call::new(&APPEND, Slot::of(&["st_1"]), "{ssf:1}").arg("a").arg(b"\xff\0");
        let arguments = |command: &Cmd| {
            let arguments = command.args_iter().map(|argument| match argument {
                Arg::Simple(argument) => argument.to_vec(),
                other => panic!("{other:?}"),
            });
            arguments.collect::<Vec<_>>()
        };
        let (by_hash, whole) = (arguments(call.command()), arguments(&call.with_source()));
        assert_eq!(by_hash[0], b"EVALSHA");
        assert_eq!(whole[0], b"EVAL");
        assert_eq!(whole[1], APPEND.source.as_bytes());
        assert_eq!(by_hash[2..], whole[2..]);
        assert_eq!(by_hash[2..], [&b"2"[..], b"{ssf:1}", b"{ssf:1}:", b"a", b"\xff\0"]);
    }
}
