//! A check-in: an answer to a challenge, with facts.
//!
//! The order of the checks decides what a stranger can cause. Until the signature is verified, nothing is
//! written and every refusal looks the same. Afterwards the device is known, and the rest is about what it
//! says: the audience, the challenge, the clock, the facts. One write then does everything that a check-in
//! changes.

use std::{net::IpAddr, sync::Arc, time::Duration};

use aws_lc_rs::digest::SHA256_OUTPUT_LEN;

use super::{
    Agents, RETRY_AFTER, TRIES,
    proof::{ShownAnswer, TokenKey},
    sha256,
};
use crate::{
    auth, clock,
    domain::{
        grant::TokenHash,
        id::{DeviceId, PostureRuleName},
        json::{self, JsonError},
        posture::{
            Admission, AnswerClaims, Challenge, ClockOff, Device, Failure, Refusal, Spending,
            SpentChallenge, Status,
        },
        secret::Secret,
        time::Timestamp,
    },
    store::{
        StoreError,
        records::{Versioned, device::DeviceStore as _, device_token::DeviceTokenStore as _},
    },
    telemetry::causes::with_causes,
};

/// The longest answer, in bytes. It contains the challenge, whose claims are short.
pub const ANSWER_BYTES_MAX: usize = 16 << 10;

/// The values of the label `outcome` of check-ins.
pub(super) const OUTCOMES: [&str; 6] =
    ["accepted", "refused", "overload", "too_many", "bad_facts", "unavailable"];

/// A check-in as it was received.
pub struct CheckIn {
    pub answer: String,
    /// The facts, byte for byte.
    pub facts: Vec<u8>,
    /// The hash of the token, if the agent says by it which token it has.
    pub token_hash: Option<TokenHash>,
    pub from: IpAddr,
}

/// The result of a check-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedIn {
    pub status: Status,
    /// The rules that the device fails, whether or not their grace is over.
    pub failing: Vec<PostureRuleName>,
}

/// Why a check-in has no result.
#[derive(Debug, thiserror::Error)]
pub enum CheckInError {
    #[error("{0}")]
    Refused(Refusal),
    /// The device has proved itself, but its facts cannot be read.
    #[error("the facts {0}")]
    Facts(#[from] JsonError),
    #[error("the device has checked in too often")]
    TooMany { wait: Duration },
    #[error("too many requests are worked on")]
    Overload { wait: Duration },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Refusal> for CheckInError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl CheckInError {
    fn outcome(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Facts(_) => "bad_facts",
            Self::TooMany { .. } => "too_many",
            Self::Overload { .. } => "overload",
            Self::Store(_) => "unavailable",
        }
    }
}

/// A device that has proved itself, and the challenge that it answered.
struct Proved {
    device: Versioned<Device>,
    challenge: Challenge,
}

impl Agents {
    /// Takes in a check-in. After `Ok` it is durable, and a change of the status is published or will be.
    pub async fn check_in(
        self: &Arc<Self>,
        request: CheckIn,
        now: Timestamp,
    ) -> Result<CheckedIn, CheckInError> {
        let result = match self.in_flight.try_acquire() {
            Ok(_permit) => self.take_in(&request, now).await,
            Err(_) => Err(CheckInError::Overload { wait: RETRY_AFTER }),
        };
        let outcome = result.as_ref().map_or_else(CheckInError::outcome, |_| "accepted");
        self.count_request("check_in", outcome, 1);
        if let Err(error) = &result {
            self.note_error(error);
        }
        result
    }

    async fn take_in(&self, request: &CheckIn, now: Timestamp) -> Result<CheckedIn, CheckInError> {
        let shown = ShownAnswer::read(&request.answer)?;
        let device = shown.claims.device.clone();
        let (from, instant) = (request.from.into(), clock::instant());
        if self.failures().is_locked(&device, from, instant) {
            return Err(Refusal::Locked.into());
        }
        let proved = match self.prove(&shown, request, now).await? {
            Ok(proved) => proved,
            Err(refusal) => {
                if refusal.may_be_a_guess() && self.failures().count(&device, from, instant) {
                    let (agents, lock) = (self.label(), self.parts.config.lock_for);
                    tracing::warn!(
                        agents, %device, lock_secs = lock.as_secs(),
                        "a device is locked for an address, because of answers with a wrong signature"
                    );
                }
                return Err(refusal.into());
            }
        };
        let facts = json::read(&request.facts)?.value;
        let platform = proved.device.record.platform.as_deref();
        let failures = self.parts.config.rules.judge(&facts, platform);
        drop(facts);
        let clock_off = shown.claims.clock_off(now);
        self.conclude(proved, &failures, clock_off, now).await
    }

    /// Finds the device and verifies that the answer is its own, to a challenge of ours.
    async fn prove(
        &self,
        shown: &ShownAnswer<'_>,
        request: &CheckIn,
        now: Timestamp,
    ) -> Result<Result<Proved, Refusal>, StoreError> {
        let found = match &request.token_hash {
            Some(hash) => self.by_token(hash, &shown.claims.device).await?,
            None => self.by_device(&shown.claims.device).await?,
        };
        let token = found.as_ref().map_or(&self.decoy, |(_, token)| token);
        let is_signed = shown.is_signed_with(token);
        let device = match found {
            Ok((device, _)) if is_signed => device,
            Ok(_) => return Ok(Err(Refusal::Signature)),
            Err(refusal) => return Ok(Err(refusal)),
        };
        let judged = self.judge(&shown.claims, &request.facts, now);
        if let Err(Refusal::Clock(off)) = judged {
            self.note_clock(&device, off).await;
        }
        Ok(judged.map(|challenge| Proved { device, challenge }))
    }

    /// Finds a device and its token by its id. An unknown device costs as many look-ups as any other.
    async fn by_device(
        &self,
        device: &DeviceId,
    ) -> Result<Result<(Versioned<Device>, TokenKey), Refusal>, StoreError> {
        let found = self.services.store.device(&self.key(device)).await?;
        let hash = found.as_ref().and_then(|found| found.record.token.clone());
        let token = self.token(&hash.unwrap_or_else(no_token)).await?;
        let Some(found) = found else { return Ok(Err(Refusal::UnknownDevice)) };
        Ok(match token {
            _ if matches!(found.record.admission, Admission::Revoked { .. }) => {
                Err(Refusal::Revoked)
            }
            Some((owner, token)) if owner == *device => Ok((found, TokenKey::of(&token))),
            _ => Err(Refusal::UnknownDevice),
        })
    }

    /// Finds a device and its token by the hash of the token.
    async fn by_token(
        &self,
        hash: &TokenHash,
        device: &DeviceId,
    ) -> Result<Result<(Versioned<Device>, TokenKey), Refusal>, StoreError> {
        let token = self.token(hash).await?;
        let found = self.services.store.device(&self.key(device)).await?;
        Ok(match (token, found) {
            (Some((owner, _)), _) if owner != *device => Err(Refusal::ForeignToken),
            (_, Some(found)) if matches!(found.record.admission, Admission::Revoked { .. }) => {
                Err(Refusal::Revoked)
            }
            (Some((_, token)), Some(found)) if found.record.token.as_ref() == Some(hash) => {
                Ok((found, TokenKey::of(&token)))
            }
            _ => Err(Refusal::UnknownDevice),
        })
    }

    async fn token(&self, hash: &TokenHash) -> Result<Option<(DeviceId, Secret)>, StoreError> {
        let (provider, agents) = (&self.parts.provider.name, &self.parts.name);
        self.services.store.device_token(provider, agents, hash).await
    }

    /// Judges what a device says whose signature is good.
    fn judge(
        &self,
        claims: &AnswerClaims,
        facts: &[u8],
        now: Timestamp,
    ) -> Result<Challenge, Refusal> {
        claims.judge_audience(&self.parts.config.audience)?;
        let challenge = self.own_challenge(&claims.challenge)?;
        let issuer = self.parts.provider.issuer.as_str();
        challenge.judge(issuer, &self.parts.name, &claims.device, now)?;
        claims.judge_clock(now, self.parts.config.clock_skew_max)?;
        claims.judge_facts(&sha256(facts))?;
        Ok(challenge)
    }

    /// Writes what a check-in changes, over the device as it was read.
    async fn conclude(
        &self,
        proved: Proved,
        failures: &[Failure],
        clock_off: Option<ClockOff>,
        now: Timestamp,
    ) -> Result<CheckedIn, CheckInError> {
        let Proved { mut device, challenge } = proved;
        let key = device.record.key.clone();
        for _ in 0..TRIES {
            // The record has room for one change.
            device = self.publish_pending(device).await?;
            let (next, changes) = self.next(&device.record, &challenge, failures, now)?;
            match self
                .services
                .store
                .replace_device(&next, device.version, Self::written_by())
                .await
            {
                Ok(version) => {
                    let result = CheckedIn {
                        status: next.standing.status,
                        failing: next.standing.failing.keys().cloned().collect(),
                    };
                    if changes {
                        self.publish_soon(Versioned { version, record: next }).await;
                    }
                    self.note_small_difference(&key.device, clock_off);
                    return Ok(result);
                }
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
            // Another request was faster, perhaps with the same challenge.
            let found = self.services.store.device(&key).await?;
            device = found.ok_or(Refusal::UnknownDevice)?;
            if matches!(device.record.admission, Admission::Revoked { .. }) {
                return Err(Refusal::Revoked.into());
            }
        }
        Err(CheckInError::TooMany { wait: RETRY_AFTER })
    }

    /// Returns the device after a check-in, and whether there is a change to be published.
    fn next(
        &self,
        device: &Device,
        challenge: &Challenge,
        failures: &[Failure],
        now: Timestamp,
    ) -> Result<(Device, bool), CheckInError> {
        let spent = SpentChallenge {
            atc: sha256(challenge.atc.as_bytes()),
            expires_at: challenge.expires_at,
        };
        let spent = match device.spend(spent, self.parts.config.challenges_max, now) {
            Ok(spent) => spent,
            Err(Spending::Replayed) => return Err(Refusal::Replayed.into()),
            Err(Spending::TooMany { until }) => {
                return Err(CheckInError::TooMany { wait: until.since(now) });
            }
        };
        let (standing, change) = device.standing.checked_in(failures, now);
        // Nothing is told of a device that an operator has not approved.
        let pending = change.filter(|_| device.admission == Admission::Registered);
        let changes = pending.is_some();
        Ok((Device { standing, pending, spent, clock_off: None, ..device.clone() }, changes))
    }

    /// Notes on the device that its clock is off, so that an operator sees it. A note is written again
    /// only if it is old, or says something else.
    async fn note_clock(&self, device: &Versioned<Device>, off: ClockOff) {
        let interval = self.parts.config.losses.interval;
        let is_noted = device.record.clock_off.is_some_and(|noted| {
            off.seen_at.since(noted.seen_at) < interval && noted.secs.abs_diff(off.secs) <= 1
        });
        if is_noted {
            return;
        }
        let noted = Device { clock_off: Some(off), ..device.record.clone() };
        let written =
            self.services.store.replace_device(&noted, device.version, Self::written_by());
        match written.await {
            // Another request has written something newer.
            Ok(_) | Err(StoreError::Conflict) => {}
            Err(error) => {
                let (agents, error) = (self.label(), with_causes(&error));
                tracing::warn!(agents, error, "the clock of a device is not noted");
            }
        }
        let device = &device.record.key.device;
        tracing::warn!(
            agents = self.label(), %device, off_secs = off.secs,
            "the clock of a device is off, so its answers are refused; set its clock, or raise \
             `clock_skew_max`"
        );
    }

    fn note_small_difference(&self, device: &DeviceId, off: Option<ClockOff>) {
        if let Some(off) = off {
            tracing::debug!(agents = self.label(), %device, off_secs = off.secs, "a device checked in");
        }
    }

    fn note_error(&self, error: &CheckInError) {
        match error {
            CheckInError::Refused(refusal) => {
                self.count_refusal(refusal.label(), 1);
                if let Some(left_out) = self.log.admit(refusal.label(), clock::instant()) {
                    let (agents, reason) = (self.label(), refusal.to_string());
                    tracing::warn!(agents, reason, left_out, "an answer of a device was refused");
                }
            }
            CheckInError::Facts(_)
            | CheckInError::TooMany { .. }
            | CheckInError::Overload { .. }
            | CheckInError::Store(_) => {}
        }
    }
}

impl CheckIn {
    /// Reads the hash of a token as it stands in a header. A text that is no hash belongs to no token, and
    /// becomes a hash that is looked up like any other.
    pub fn token_hash(header: &[u8]) -> TokenHash {
        let text = std::str::from_utf8(header).unwrap_or_default().trim();
        let is_hash = text.len() == 2 * SHA256_OUTPUT_LEN
            && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_hash { TokenHash::from_hex(text.to_ascii_lowercase()) } else { no_token() }
    }
}

/// Returns a hash that no token has, because no token is empty.
fn no_token() -> TokenHash {
    auth::hash(&Secret::new(""))
}
