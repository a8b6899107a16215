//! Devices that report their posture, with their standing. The token of a device is a record of its own
//! ([`super::device_token`]).

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{
    BelongsTo, Condition, Record, RecordFilter, RecordName, RecordWrite, Records, Versioned, get,
    page, raw, replace,
};
use crate::{
    domain::{
        grant::TokenHash,
        id::{AgentsName, DeviceId, PostureRuleName, ProviderName},
        posture::{
            Admission, Cause, Change, ClockOff, Compliance, Device, DeviceKey, SpentChallenge,
            Standing, Status,
        },
        subject::SubjectId,
        time::Timestamp,
    },
    store::{StoreError, archive::PageToken},
};

/// A device as JSON. Times are in milliseconds since 1970.
#[derive(Serialize, Deserialize)]
pub(super) struct DeviceRecord {
    provider: ProviderName,
    agents: AgentsName,
    device: DeviceId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    platform: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<serde_json::Value>,
    admission: AdmissionRecord,
    registered_at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    status: StatusRecord,
    seq: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    changed_at: Option<i64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    failing: BTreeMap<PostureRuleName, i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_check_in: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lost_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pending: Option<ChangeRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    clock_off: Option<ClockOffRecord>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    spent: Vec<SpentRecord>,
    /// Differs in each write. The store takes a write of a value that it has already for a repetition; with
    /// this, two requests that do the same are told apart.
    written_by: String,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
enum AdmissionRecord {
    Registered,
    Quarantined,
    Revoked { at: i64 },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StatusRecord {
    Unknown,
    Compliant,
    NotCompliant,
}

#[derive(Serialize, Deserialize)]
struct ChangeRecord {
    seq: i64,
    compliant: bool,
    at: i64,
    cause: CauseRecord,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CauseRecord {
    Met,
    Failed(Vec<PostureRuleName>),
    LostSince(i64),
}

#[derive(Serialize, Deserialize)]
struct ClockOffRecord {
    secs: i64,
    seen_at: i64,
}

#[derive(Serialize, Deserialize)]
struct SpentRecord {
    atc: String,
    expires_at: i64,
}

impl Record for DeviceRecord {
    const KIND: &'static str = "devices";

    fn key(&self) -> String {
        format!("{}/{}/{}", self.provider, self.agents, self.device)
    }

    fn made_at(&self) -> Timestamp {
        Timestamp::from_millis(self.registered_at)
    }
}

impl DeviceRecord {
    fn of(device: &Device, written_by: String) -> Self {
        let Device { key, standing, .. } = device;
        let millis = Timestamp::as_millis;
        Self {
            provider: key.provider.clone(),
            agents: key.agents.clone(),
            device: key.device.clone(),
            name: device.name.clone(),
            platform: device.platform.clone(),
            user: device.user.as_ref().map(|user| serde_json::json!(user)),
            admission: match device.admission {
                Admission::Registered => AdmissionRecord::Registered,
                Admission::Quarantined => AdmissionRecord::Quarantined,
                Admission::Revoked { at } => AdmissionRecord::Revoked { at: at.as_millis() },
            },
            registered_at: device.registered_at.as_millis(),
            token: device.token.as_ref().map(|token| token.as_str().to_owned()),
            status: match standing.status {
                Status::Unknown => StatusRecord::Unknown,
                Status::Compliant => StatusRecord::Compliant,
                Status::NotCompliant => StatusRecord::NotCompliant,
            },
            seq: standing.seq,
            changed_at: standing.changed_at.map(millis),
            failing: standing
                .failing
                .iter()
                .map(|(rule, at)| (rule.clone(), millis(*at)))
                .collect(),
            last_check_in: standing.last_check_in.map(millis),
            lost_at: standing.lost_at.map(millis),
            pending: device.pending.as_ref().map(|change| ChangeRecord {
                seq: change.seq,
                compliant: change.to == Compliance::Compliant,
                at: change.at.as_millis(),
                cause: match &change.cause {
                    Cause::Met => CauseRecord::Met,
                    Cause::Failed(rules) => CauseRecord::Failed(rules.clone()),
                    Cause::Lost { since } => CauseRecord::LostSince(since.as_millis()),
                },
            }),
            clock_off: device
                .clock_off
                .map(|off| ClockOffRecord { secs: off.secs, seen_at: off.seen_at.as_millis() }),
            spent: device
                .spent
                .iter()
                .map(|one| SpentRecord {
                    atc: one.atc.clone(),
                    expires_at: one.expires_at.as_millis(),
                })
                .collect(),
            written_by,
        }
    }
}

impl TryFrom<DeviceRecord> for Device {
    type Error = StoreError;

    fn try_from(record: DeviceRecord) -> Result<Self, StoreError> {
        let at = Timestamp::from_millis;
        let user = record.user.map(SubjectId::try_from).transpose();
        let user = user.map_err(|error| {
            StoreError::Corrupt(format!("a record of the kind {}: {error}", DeviceRecord::KIND))
        })?;
        Ok(Self {
            key: DeviceKey {
                provider: record.provider,
                agents: record.agents,
                device: record.device,
            },
            name: record.name,
            platform: record.platform,
            user,
            admission: match record.admission {
                AdmissionRecord::Registered => Admission::Registered,
                AdmissionRecord::Quarantined => Admission::Quarantined,
                AdmissionRecord::Revoked { at: millis } => Admission::Revoked { at: at(millis) },
            },
            registered_at: at(record.registered_at),
            token: record.token.map(TokenHash::from_hex),
            standing: Standing {
                status: match record.status {
                    StatusRecord::Unknown => Status::Unknown,
                    StatusRecord::Compliant => Status::Compliant,
                    StatusRecord::NotCompliant => Status::NotCompliant,
                },
                seq: record.seq,
                changed_at: record.changed_at.map(at),
                failing: record
                    .failing
                    .into_iter()
                    .map(|(rule, millis)| (rule, at(millis)))
                    .collect(),
                last_check_in: record.last_check_in.map(at),
                lost_at: record.lost_at.map(at),
            },
            pending: record.pending.map(|change| Change {
                seq: change.seq,
                to: if change.compliant { Compliance::Compliant } else { Compliance::NotCompliant },
                at: at(change.at),
                cause: match change.cause {
                    CauseRecord::Met => Cause::Met,
                    CauseRecord::Failed(rules) => Cause::Failed(rules),
                    CauseRecord::LostSince(since) => Cause::Lost { since: at(since) },
                },
            }),
            clock_off: record
                .clock_off
                .map(|off| ClockOff { secs: off.secs, seen_at: at(off.seen_at) }),
            spent: record
                .spent
                .into_iter()
                .map(|one| SpentChallenge { atc: one.atc, expires_at: at(one.expires_at) })
                .collect(),
        })
    }
}

fn read(found: Versioned<DeviceRecord>) -> Result<Versioned<Device>, StoreError> {
    let Versioned { version, record } = found;
    Ok(Versioned { version, record: record.try_into()? })
}

/// The devices that are listed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DevicesOf {
    pub provider: Option<ProviderName>,
    /// Counts only with a provider.
    pub agents: Option<AgentsName>,
}

impl DevicesOf {
    fn prefix(&self) -> String {
        match (&self.provider, &self.agents) {
            (None, _) => String::new(),
            (Some(provider), None) => format!("{provider}/"),
            (Some(provider), Some(agents)) => format!("{provider}/{agents}/"),
        }
    }
}

/// The devices in a store. `written_by` is another text in each call, drawn at random.
#[async_trait]
pub trait DeviceStore: Records {
    /// Stores a new device. Returns [`StoreError::Conflict`] if there is another device of this id. Its
    /// token comes afterwards; a device without its token cannot check in, so a crash in between harms
    /// nobody.
    async fn create_device(&self, device: &Device, written_by: String) -> Result<(), StoreError> {
        let write = RecordWrite {
            record: raw(&DeviceRecord::of(device, written_by), BelongsTo::Nothing),
            condition: Condition::Absent,
            keep_youngest: None,
        };
        let written = self.write_records(vec![write]).await?;
        written.first().copied().flatten().ok_or(StoreError::Conflict).map(|_| ())
    }

    async fn device(&self, key: &DeviceKey) -> Result<Option<Versioned<Device>>, StoreError> {
        get::<DeviceRecord>(self, &key.to_string()).await?.map(read).transpose()
    }

    /// Writes a device over the version that was read. Returns [`StoreError::Conflict`] if it was changed
    /// or removed since.
    async fn replace_device(
        &self,
        device: &Device,
        version: u64,
        written_by: String,
    ) -> Result<u64, StoreError> {
        replace(self, &DeviceRecord::of(device, written_by), version).await
    }

    /// Removes a device and its token. Returns [`StoreError::Conflict`] if it has another version, and
    /// `false` if there is none.
    async fn remove_device(&self, key: &DeviceKey, version: u64) -> Result<bool, StoreError> {
        let name = RecordName::new(DeviceRecord::KIND, &key.to_string());
        self.delete_record(name, Some(version)).await
    }

    /// Returns a page of devices by their keys, and where the next page begins.
    async fn devices(
        &self,
        of: &DevicesOf,
        after: Option<PageToken>,
        limit: usize,
    ) -> Result<(Vec<Versioned<Device>>, Option<PageToken>), StoreError> {
        let filter = RecordFilter::All { prefix: of.prefix() };
        let (found, next) = page::<DeviceRecord>(self, filter, after, limit).await?;
        Ok((found.into_iter().map(read).collect::<Result<_, _>>()?, next))
    }
}

impl<T: Records + ?Sized> DeviceStore for T {}
