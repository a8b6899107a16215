//! A stream's configuration.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | status: `e` enabled, `p` paused, `d` disabled |
//! | 1 | delivery: `p` push, `l` poll |
//! | 1 | default subjects: `A` all, `N` none |
//! | 16 | version |
//! | 16 | a hash of the delivery, by which a change of it is noticed |
//! | 3 | the length of the provider's name |
//! | … | the provider's name, and all else as JSON |

use serde::{Deserialize, Serialize};

use super::{Parts, digits, unreadable};
use crate::{
    domain::{
        audience::Audience,
        id::{ProviderName, ReceiverId, StreamId},
        secret::Secret,
        status::StreamStatus,
        stream::{Delivery, PushEndpoint, StreamConfig},
        subject::list::DefaultSubjects,
        time::Timestamp,
    },
    store::StoreError,
};

const WHAT: &str = "a stream";

#[derive(Serialize, Deserialize)]
struct Members {
    receiver: ReceiverId,
    audience: Audience,
    #[serde(skip_serializing_if = "Option::is_none")]
    events_requested: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorization_header: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    subject_format: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    created_at: i64,
}

pub(in crate::store::redis) fn encode(stream: &StreamConfig) -> String {
    let endpoint = stream.endpoint();
    let secret = endpoint.and_then(PushEndpoint::authorization_header).map(Secret::expose);
    let members = Members {
        receiver: stream.receiver.clone(),
        audience: stream.audience.clone(),
        events_requested: stream.events_requested.clone(),
        endpoint: endpoint.map(|endpoint| endpoint.as_given().to_owned()),
        authorization_header: secret.map(str::to_owned),
        description: stream.description.clone(),
        subject_format: stream.subject_format.as_str().to_owned(),
        reason: stream.reason.clone(),
        created_at: stream.created_at.as_millis(),
    };
    let provider = stream.provider.as_str();
    format!(
        "{}{}{}{}{:016x}{:03}{provider}{}",
        status(stream.status),
        if endpoint.is_some() { 'p' } else { 'l' },
        match stream.default_subjects {
            DefaultSubjects::All => 'A',
            DefaultSubjects::None => 'N',
        },
        version(stream.version),
        hash(&members),
        provider.len(),
        serde_json::to_string(&members).expect("text and numbers are JSON"),
    )
}

pub(in crate::store::redis) fn status(status: StreamStatus) -> char {
    match status {
        StreamStatus::Enabled => 'e',
        StreamStatus::Paused => 'p',
        StreamStatus::Disabled => 'd',
    }
}

/// Formats a version as in the record of a stream.
pub(in crate::store::redis) fn version(version: u64) -> String {
    digits(i64::try_from(version).unwrap_or(i64::MAX))
}

/// Hashes the delivery by FNV-1a, to notice a change. The hash hides nothing: whoever can read it can read
/// the value.
fn hash(members: &Members) -> u64 {
    let parts = [&members.endpoint, &members.authorization_header];
    let bytes = parts.iter().flat_map(|part| part.iter().flat_map(|part| part.bytes()).chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

pub(in crate::store::redis) fn decode(
    id: StreamId,
    record: &[u8],
) -> Result<StreamConfig, StoreError> {
    let mut parts = Parts::of(record, WHAT)?;
    let status = match parts.text(1)? {
        "e" => StreamStatus::Enabled,
        "p" => StreamStatus::Paused,
        "d" => StreamStatus::Disabled,
        _ => return Err(unreadable(WHAT)),
    };
    let _in_members = parts.text(1)?;
    let default_subjects = default_subjects(parts.text(1)?)?;
    let version = parts.number(16)?;
    let _hash = parts.text(16)?;
    let length = parts.number(3)?;
    let provider: ProviderName = parts.parsed(length)?;
    let members: Members = serde_json::from_str(parts.rest()).map_err(|_| unreadable(WHAT))?;
    let delivery = match &members.endpoint {
        None => Delivery::Poll,
        Some(url) => {
            let secret = members.authorization_header.map(Secret::new);
            // Whether http is allowed was judged when the stream was made.
            let endpoint = PushEndpoint::new(url, secret, true).map_err(|_| unreadable(WHAT))?;
            Delivery::Push(endpoint)
        }
    };
    Ok(StreamConfig {
        id,
        provider,
        receiver: members.receiver,
        audience: members.audience,
        events_requested: members.events_requested,
        delivery,
        description: members.description,
        default_subjects,
        subject_format: members.subject_format.parse().map_err(|_| unreadable(WHAT))?,
        status,
        reason: members.reason,
        version,
        created_at: Timestamp::from_millis(members.created_at),
    })
}

/// Of the letter in the head.
pub(in crate::store::redis) fn default_subjects(
    letter: &str,
) -> Result<DefaultSubjects, StoreError> {
    match letter {
        "A" => Ok(DefaultSubjects::All),
        "N" => Ok(DefaultSubjects::None),
        _ => Err(unreadable(WHAT)),
    }
}
