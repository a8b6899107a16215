//! Asks the servers that the configuration names.

use std::time::Duration;

use redis::FromRedisValue as _;

use super::Findings;
use crate::{
    app::{self, OpenExistingError},
    clock,
    config::{Config, StoreBackend},
    domain::time::Timestamp,
    ingest,
    telemetry::causes::with_causes,
};

/// The longest time that a server may take.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn try_servers(config: &Config, findings: &mut Findings) {
    store(config, findings).await;
    publishers_redis(config, findings).await;
    authorization_servers(config, findings).await;
    roots(findings);
}

/// Tries each authorization server as the token of a Receiver would: reads its keys, or asks about a
/// token that was just made up.
async fn authorization_servers(config: &Config, findings: &mut Findings) {
    // There is a line about files that cannot be read already.
    let Ok(servers) = app::load_authorization(config) else { return };
    for (provider, server) in &servers {
        let Some(external) = server.external() else { continue };
        let item = format!("providers.{provider}.oauth");
        match external.probe().await {
            Ok(()) => findings.ok(item, "the authorization server answers as it should"),
            Err(error) => {
                let remedy = error.remedy().map(|remedy| format!("; {remedy}"));
                let remedy = remedy.unwrap_or_default();
                findings.error(item, format!("{}{remedy}", with_causes(&error)));
            }
        }
    }
}

async fn store(config: &Config, findings: &mut Findings) {
    let place = app::store_place(&config.store);
    let opened = tokio::time::timeout(PATIENCE, app::open_store_to_read(&config.store)).await;
    let Ok(opened) = opened else {
        findings.error("store", format!("{place} did not answer within {PATIENCE:?}"));
        return;
    };
    match opened {
        Ok(store) => match store.streams().await {
            Ok(streams) => findings.ok("store", format!("{place} has {} streams", streams.len())),
            Err(error) => findings.error("store", format!("{place}: {}", with_causes(&error))),
        },
        Err(OpenExistingError::Missing(_)) if config.store.backend == StoreBackend::Redis => {
            findings.ok(
                "store",
                format!("{place} answers and is empty; `ssfd serve` creates the store"),
            );
        }
        // There is a line about it already.
        Err(OpenExistingError::Missing(_)) => {}
        Err(error) => findings.error("store", format!("{place}: {}", with_causes(&error))),
    }
}

async fn publishers_redis(config: &Config, findings: &mut Findings) {
    // There is a line about a bad URL already.
    let Ok(Some(servers)) = ingest::servers(&config.ingest.redis, Duration::ZERO) else { return };
    let asked = async {
        let mut connection = servers.connect().await?;
        let before = clock::now();
        let answer = redis::cmd("TIME").query_async(&mut connection).await?;
        let (secs, micros) = <(i64, i64)>::from_redis_value(answer)?;
        let time = Timestamp::from_millis(secs.saturating_mul(1000).saturating_add(micros / 1000));
        redis::RedisResult::Ok(before.since(time).max(time.since(clock::now())))
    };
    match asked.await {
        Ok(skew) if Duration::from_secs(2) < skew => findings.warning(
            "ingest.redis",
            format!("the server's clock is {skew:?} from ours; keep both by NTP"),
        ),
        Ok(_) => findings.ok("ingest.redis", "the server answers, and its clock agrees with ours"),
        Err(error) => findings.error("ingest.redis", with_causes(&error)),
    }
}

/// Looks for the roots that pushes and requests to authorization servers trust.
fn roots(findings: &mut Findings) {
    let found = rustls_native_certs::load_native_certs();
    match found.certs.len() {
        0 => findings.warning(
            "trusted roots",
            "the system has none, so only those of `trusted_roots` are trusted; install the package \
             ca-certificates",
        ),
        some => findings.ok("trusted roots", format!("the system has {some}")),
    }
}
