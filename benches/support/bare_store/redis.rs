//! The least that Redis must hold of a SET: its record, its number by `jti`, its place among the
//! unsettled SETs, and its outcome. Each is written by its own command, with many commands in one
//! pipeline.

use std::ops::Range;

use redis::{Commands as _, Connection, RedisResult};

use super::jti;
use crate::support::redis::Redis;

pub(super) struct BareRedis {
    connection: Connection,
    _server: Redis,
}

const SETS: &str = "bare:sets";
const JTIS: &str = "bare:jtis";
const WAITING: &str = "bare:waiting";
const STATES: &str = "bare:states";

impl BareRedis {
    pub(super) fn new() -> Self {
        let server = Redis::start();
        Self { connection: server.connection(), _server: server }
    }

    pub(super) fn keep(&mut self, sets: Range<u32>, claims: &str) -> RedisResult<()> {
        let mut keep = redis::pipe();
        for n in sets {
            keep.hset_nx(JTIS, format!("{:032x}", jti(n)), n).ignore();
            keep.hset(SETS, n, claims).ignore();
            keep.zadd(WAITING, n, n).ignore();
        }
        keep.query(&mut self.connection)
    }

    pub(super) fn settle(&mut self, sets: u32) -> RedisResult<()> {
        let waiting: Vec<u32> =
            self.connection.zrange(WAITING, 0, isize::try_from(sets - 1).expect("few"))?;
        let _claims: Vec<String> = self.connection.hmget(SETS, &waiting)?;
        let mut settle = redis::pipe();
        for n in waiting {
            settle.zrem(WAITING, n).ignore();
            settle.hset(STATES, n, "s1700000000000").ignore();
        }
        settle.query(&mut self.connection)
    }
}
