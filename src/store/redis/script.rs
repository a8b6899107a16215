//! The scripts. Each script is one atomic step on one slot and one round trip.
//!
//! Each script may be repeated, as after an answer that was lost. Most scripts then change nothing. In some
//! cases a failed attempt counts twice (`settle`), a SET is handed out again only after its time (`take`),
//! or the answer tells less than was done. No repetition loses or doubles a SET.

use std::sync::LazyLock;

use redis::{Arg, Cmd, Script as Source, ToRedisArgs};

use super::{replicas::Need, slot::Slot};
use crate::store::condition::CallKind;

/// A script, known to the servers by its hash.
pub(super) struct Script {
    source: String,
    hash: String,
    does: Does,
}

/// The effect of a script, and so what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    /// Changes nothing.
    Read,
    /// Changes the state that nodes share. No replica has to have it, because a lease that is lost with a
    /// server runs out.
    Share,
    /// Takes something new in. A server whose memory is used up refuses this, and only this.
    Grow,
    /// Changes what is there. Counts once the replicas have it.
    Change,
    /// Records a result, or does recurring work. Losing it costs a repetition.
    Record,
}

/// Lets a script run on a server whose memory is used up, so that what is stored can still be delivered.
/// The data that such a script adds is bounded by the data that is stored already.
const ALLOW_OOM: &str = "#!lua flags=allow-oom\n";

impl Script {
    fn new(parts: &str, does: Does) -> Self {
        let head = match does {
            Does::Read | Does::Grow => "",
            Does::Share | Does::Change | Does::Record => ALLOW_OOM,
        };
        let source = format!("{head}{parts}");
        let hash = Source::new(&source).get_hash().to_owned();
        Self { source, hash, does }
    }
}

/// Each script begins with the parts that it shares with other scripts.
macro_rules! scripts {
    ($($name:ident: $does:ident, $($file:literal)+;)+) => {
        $(pub(super) static $name: LazyLock<Script> = LazyLock::new(|| {
            let parts = [$(include_str!(concat!("scripts/", $file, ".lua"))),+];
            Script::new(&parts.concat(), Does::$does)
        });)+

        /// Returns the sources of all scripts, for tests.
        #[cfg(test)]
        pub(super) fn sources() -> Vec<&'static str> {
            vec![$(&$name.source),+]
        }
    };
}

scripts! {
    OPEN: Record, "slot" "open";

    CREATE: Grow, "slot" "changed" "create";
    OWN: Grow, "slot" "own";
    DISOWN: Change, "slot" "disown";
    OWNED: Read, "slot" "owned";
    CHANGE: Change, "slot" "changed" "outbox" "settled" "change";
    MAKE_DUE: Record, "slot" "outbox" "make_due";
    DISCARD_ALL: Record, "slot" "outbox" "settled" "discard_all";
    DELETE: Change, "slot" "changed" "records" "delete";
    LEFT: Change, "slot" "left";
    STREAMS: Read, "slot" "streams";
    STREAM: Read, "slot" "stream";

    SELECT: Change, "slot" "select";
    LIST_CHANGE: Change, "slot" "lists" "list_change";
    LIST_LOOKUP: Read, "slot" "lists" "list_lookup";
    LIST_SHAPES: Read, "slot" "list_shapes";
    LIST_STREAMS: Read, "slot" "list_streams";
    LIST_EXPIRE: Record, "slot" "lists" "list_expire";
    LIST_DELETE: Change, "slot" "lists" "list_delete";

    CLAIM: Grow, "slot" "claim";
    JUDGE_ACCOUNTS: Read, "slot" "accounts" "judge_accounts";
    APPEND: Grow, "slot" "outbox" "append";
    CONCLUDE: Change, "slot" "accounts" "conclude";
    FINISH: Change, "slot" "finish";
    POSITION: Read, "slot" "position";
    EVENT_WITH_ID: Read, "slot" "event_with_id";
    EVENTS_AT: Read, "slot" "events_at";

    READ: Read, "slot" "outbox" "read";
    DISCARD: Record, "slot" "outbox" "settled" "discard";
    SETTLE: Record, "slot" "outbox" "settled" "settle";
    ACKNOWLEDGE: Record, "slot" "outbox" "settled" "acknowledge";
    TAKE: Record, "slot" "outbox" "take";
    NEXT_DUE: Read, "slot" "outbox" "ahead" "next_due";
    WORK: Read, "slot" "work";
    FORGET_WAITS: Record, "slot" "outbox" "ahead" "forget_waits";
    BACKLOG: Read, "slot" "outbox" "waiting" "backlog";
    COUNT: Read, "slot" "outbox" "waiting" "count";

    DEAD: Read, "slot" "dead";
    DEAD_COUNTS: Read, "slot" "dead_counts";
    PAGE: Read, "slot" "page";
    FIRST_KEPT: Read, "slot" "outbox" "first_kept";
    REQUEUE: Change, "slot" "outbox" "settled" "requeue";
    PURGE: Change, "slot" "outbox" "settled" "purge";
    OF_JTI: Read, "slot" "of_jti";
    KEPT: Read, "slot" "kept";
    EXPIRE: Record, "slot" "outbox" "settled" "expire";
    LIMIT_HELD: Record, "slot" "outbox" "settled" "limit_held";
    GIVE_UP_POLLED: Record, "slot" "outbox" "settled" "give_up_polled";

    RECORD: Read, "slot" "record";
    RECORD_PUT: Record, "slot" "records" "record_put";
    RECORD_DELETE: Change, "slot" "records" "record_delete";
    RECORD_LIST: Read, "slot" "record_list";
    RECORD_OWNED: Read, "slot" "record_owned";
    RECORD_EXPIRE: Record, "slot" "records" "record_expire";
    RECORD_STATE: Read, "slot" "record_state";
    RECORDS_CLEAR: Change, "slot" "records" "records_clear";

    HEARTBEAT: Share, "slot" "heartbeat";
    DEPART: Share, "slot" "depart";
    LIVE: Read, "slot" "live";
    FEED_APPEND: Share, "slot" "feed_append";
    FEED_NEWEST: Read, "slot" "feed_newest";
    RAISE_EPOCH: Record, "slot" "raise_epoch";
    CHANGES: Read, "slot" "changes";

    SCAN: Read, "slot" "scan";
    NUMBERED: Read, "slot" "numbered";
    IDS_BEFORE: Read, "slot" "ids_before";
    PUT_SETS: Grow, "slot" "outbox" "settled" "put_sets";
    PUT_LIST: Grow, "slot" "lists" "put_list";
    PUT_EVENTS: Grow, "slot" "put_events";
    PUT_ACCOUNTS: Grow, "slot" "put_accounts";
    PUT_POSITION: Grow, "slot" "put_position";
    PUT_IDS_BEFORE: Grow, "slot" "put_ids_before";
    CLEAR: Change, "slot" "clear";
    MARK: Change, "slot" "mark";
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

    /// Whether the call needs replicas.
    pub(super) fn need(&self) -> Need {
        match self.script.does {
            Does::Read | Does::Share => Need::Nothing,
            Does::Record => Need::Wanted,
            Does::Grow | Does::Change => Need::Required,
        }
    }

    /// Whether the call takes something new in.
    pub(super) fn grows(&self) -> bool {
        self.script.does == Does::Grow
    }

    pub(super) fn kind(&self) -> CallKind {
        match self.script.does {
            Does::Read => CallKind::Read,
            _ => CallKind::Write,
        }
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
