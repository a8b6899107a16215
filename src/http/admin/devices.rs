//! Devices that report their posture, and the tables of agents that they belong to.

use actix_web::{HttpRequest, HttpResponse, web};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{BODY_BYTES_MAX, BodyMembers, Query, answer, no_content};
use crate::{
    agents::{AgentsOverview, AgentsSet, DeviceFilter, Registration},
    clock,
    domain::{
        id::{AgentsName, DeviceId, ProviderName},
        posture::{Admission, Device, Status},
        secret::Secret,
        subject::{InvalidSubject, SubjectId},
        time::Timestamp,
    },
    http::{
        agents::{find, short_text},
        auth::Operator,
        body::Body,
        error::ApiError,
    },
};

/// A rule that a device fails.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "FailingRule")]
pub struct FailingRuleView {
    pub rule: String,
    /// Since when, in seconds since 1970.
    pub since: i64,
}

/// A clock that was found to be wrong.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ClockOff")]
pub struct ClockOffView {
    /// By how many seconds the clock of the device is ahead; less than 0 if it is behind.
    pub secs: i64,
    /// In seconds since 1970.
    pub seen_at: i64,
}

/// A device.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Device")]
pub struct DeviceView {
    #[schemars(with = "String")]
    pub provider: ProviderName,
    #[schemars(with = "String")]
    pub agents: AgentsName,
    #[schemars(with = "String")]
    pub device: DeviceId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// The subject identifier of its user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<Value>,
    /// `registered`, `quarantined` or `revoked`.
    pub admission: String,
    /// `unknown`, `compliant` or `not-compliant`.
    pub status: String,
    /// When the status became what it is, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_since: Option<i64>,
    /// The rules that the device failed at its last check-in, whether or not their grace is over.
    pub failing: Vec<FailingRuleView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_check_in: Option<i64>,
    /// The device has not checked in for too long.
    pub overdue: bool,
    /// When the device was judged lost, until it checks in again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost_at: Option<i64>,
    /// The clock of the device was wrong at its last try to check in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_off: Option<ClockOffView>,
    pub registered_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<i64>,
}

/// A page of devices. There are more as long as it has a `next`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Devices")]
pub struct DevicesView {
    pub devices: Vec<DeviceView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A device that was registered, with its token, which is never shown again.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "RegisteredDevice")]
pub struct RegisteredDeviceView {
    pub token: String,
    /// The `aud` that the answers of the device must have.
    pub audience: String,
    /// The path of the agents at the listener of sources.
    pub path: String,
    pub device: DeviceView,
}

/// Losses of devices that wait for an operator, because they are too many at a time.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "HeldLosses")]
pub struct HeldLossesView {
    /// How many devices were overdue when that began.
    pub devices: usize,
    /// In seconds since 1970.
    pub held_at: i64,
}

/// A table of agents.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Agents")]
pub struct AgentsView {
    #[schemars(with = "String")]
    pub provider: ProviderName,
    #[schemars(with = "String")]
    pub agents: AgentsName,
    pub path: String,
    pub audience: String,
    /// The names of the rules.
    pub rules: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_losses: Option<HeldLossesView>,
}

/// The tables of agents of all providers.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "AllAgents")]
pub struct AllAgentsView {
    pub agents: Vec<AgentsView>,
}

/// How many losses were released.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ReleasedLosses")]
pub struct ReleasedLossesView {
    /// How many devices were overdue when their losses began to be held.
    pub devices: usize,
}

type Tables = web::Data<AgentsSet>;
type Place = web::Path<(String, String, String)>;

fn path(provider: &ProviderName, agents: &AgentsName) -> String {
    format!("/in/{provider}/{agents}")
}

fn view(tables: &AgentsSet, device: &Device, now: Timestamp) -> DeviceView {
    let Device { key, standing, .. } = device;
    let agents = tables.get(&key.provider, &key.agents);
    DeviceView {
        provider: key.provider.clone(),
        agents: key.agents.clone(),
        device: key.device.clone(),
        name: device.name.clone(),
        platform: device.platform.clone(),
        user: device.user.as_ref().map(|user| json!(user)),
        admission: device.admission.as_str().to_owned(),
        status: standing.status.as_str().to_owned(),
        status_since: standing.changed_at.map(Timestamp::as_secs),
        failing: standing
            .failing
            .iter()
            .map(|(rule, since)| FailingRuleView { rule: rule.to_string(), since: since.as_secs() })
            .collect(),
        last_check_in: standing.last_check_in.map(Timestamp::as_secs),
        overdue: agents.is_some_and(|agents| agents.is_overdue(device, now)),
        lost_at: standing.lost_at.map(Timestamp::as_secs),
        clock_off: device
            .clock_off
            .map(|off| ClockOffView { secs: off.secs, seen_at: off.seen_at.as_secs() }),
        registered_at: device.registered_at.as_secs(),
        revoked_at: match device.admission {
            Admission::Revoked { at } => Some(at.as_secs()),
            Admission::Registered | Admission::Quarantined => None,
        },
    }
}

pub(in crate::http) async fn list(
    _: Operator,
    tables: Tables,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let known = ["provider", "agents", "status", "admission", "overdue", "after", "limit"];
    let query = Query::parse(&request, &known)?;
    let (provider, agents) = (query.get("provider")?, query.get("agents")?);
    if provider.is_none() && agents.is_some() {
        return Err(ApiError::bad("agents", "needs `provider`"));
    }
    let mut filter = DeviceFilter::of(provider, agents);
    filter.status = query.get::<String>("status")?.map(|raw| status(&raw)).transpose()?;
    filter.admission = query.get::<String>("admission")?;
    if let Some(admission) = &filter.admission
        && !["registered", "quarantined", "revoked"].contains(&admission.as_str())
    {
        return Err(ApiError::bad("admission", "must be registered, quarantined or revoked"));
    }
    filter.overdue = query.get("overdue")?.unwrap_or(false);
    let (after, limit, now) = (query.get("after")?, query.limit()?, clock::now());
    let page = tables.devices(&filter, after, limit, now).await?;
    let devices = page.devices.iter().map(|device| view(&tables, device, now)).collect();
    Ok(answer(HttpResponse::Ok(), DevicesView { devices, next: page.next }))
}

fn status(raw: &str) -> Result<Status, ApiError> {
    let found = Status::ALL.into_iter().find(|status| status.as_str() == raw);
    found.ok_or_else(|| ApiError::bad("status", "must be unknown, compliant or not-compliant"))
}

pub(in crate::http) async fn add(
    _: Operator,
    tables: Tables,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let mut object: Map<String, Value> = body.at_most(BODY_BYTES_MAX).object().await?;
    let (name, platform) = (short_text(&mut object, "name")?, short_text(&mut object, "platform")?);
    let mut members = BodyMembers(object);
    let required = |name: &'static str| ApiError::bad(name, "is required");
    let provider = members.text("provider")?.ok_or_else(|| required("provider"))?;
    let agents = members.text("agents")?.ok_or_else(|| required("agents"))?;
    let user = members.value("user").map(SubjectId::try_from).transpose();
    let user = user.map_err(|error: InvalidSubject| ApiError::bad("user", error.to_string()))?;
    if user.as_ref().is_some_and(|user| user.format() == "complex") {
        return Err(ApiError::bad("user", "must be a simple subject identifier"));
    }
    let registration = Registration {
        device: members.parsed("device")?,
        name,
        platform,
        user,
        token: members.text("token")?.map(Secret::new),
    };
    members.end()?;
    let agents = find(&tables, &provider, &agents)?;
    let now = clock::now();
    let (device, token) = agents.register(registration, now).await?;
    let registered = RegisteredDeviceView {
        token: token.expose().to_owned(),
        audience: agents.parts().config.audience.clone(),
        path: path(&device.key.provider, &device.key.agents),
        device: view(&tables, &device, now),
    };
    Ok(answer(HttpResponse::Created(), registered))
}

/// Looks up the agents of a path, and reads the id of the device. An id that no device can have is
/// answered like an unknown one.
fn place<'a>(
    tables: &'a AgentsSet,
    place: &Place,
) -> Result<(&'a crate::agents::Agents, DeviceId), ApiError> {
    let agents = find(tables, &place.0, &place.1)?;
    Ok((agents, place.2.parse().map_err(|_| ApiError::NoDevice)?))
}

pub(in crate::http) async fn show(
    _: Operator,
    tables: Tables,
    at: Place,
) -> Result<HttpResponse, ApiError> {
    let (agents, device) = place(&tables, &at)?;
    let device = agents.device(&device).await?;
    Ok(answer(HttpResponse::Ok(), view(&tables, &device, clock::now())))
}

pub(in crate::http) async fn revoke(
    _: Operator,
    tables: Tables,
    at: Place,
) -> Result<HttpResponse, ApiError> {
    let ((agents, device), now) = (place(&tables, &at)?, clock::now());
    let device = agents.revoke(&device, now).await?;
    Ok(answer(HttpResponse::Ok(), view(&tables, &device, now)))
}

pub(in crate::http) async fn approve(
    _: Operator,
    tables: Tables,
    at: Place,
) -> Result<HttpResponse, ApiError> {
    let (agents, device) = place(&tables, &at)?;
    let device = agents.approve(&device).await?;
    Ok(answer(HttpResponse::Ok(), view(&tables, &device, clock::now())))
}

pub(in crate::http) async fn remove(
    _: Operator,
    tables: Tables,
    at: Place,
) -> Result<HttpResponse, ApiError> {
    let (agents, device) = place(&tables, &at)?;
    agents.remove(&device).await?;
    Ok(no_content())
}

pub(in crate::http) async fn list_agents(
    _: Operator,
    tables: Tables,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    Query::parse(&request, &[])?;
    let all = tables.overview().await?.into_iter();
    let view = |AgentsOverview { agents, held }: AgentsOverview| {
        let parts = agents.parts();
        AgentsView {
            provider: parts.provider.name.clone(),
            agents: parts.name.clone(),
            path: path(&parts.provider.name, &parts.name),
            audience: parts.config.audience.clone(),
            rules: parts.config.rules.rules.iter().map(|rule| rule.name.to_string()).collect(),
            held_losses: held.map(|held| HeldLossesView {
                devices: held.devices,
                held_at: Timestamp::from_millis(held.held_at).as_secs(),
            }),
        }
    };
    Ok(answer(HttpResponse::Ok(), AllAgentsView { agents: all.map(view).collect() }))
}

pub(in crate::http) async fn release_losses(
    _: Operator,
    tables: Tables,
    at: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let agents = find(&tables, &at.0, &at.1)?;
    let devices = agents.release_losses(clock::now()).await?;
    Ok(answer(HttpResponse::Ok(), ReleasedLossesView { devices }))
}
