//! The posture of devices: whether a device meets the rules of its agents, and how its agent proves
//! itself.
//!
//! ```text
//!  agent ─▶ Challenge ─▶ AnswerClaims, facts ─▶ PostureRules ─▶ Standing ─▶ Change ─▶ events
//! ```
//!
//! - [`Challenge`] is what we sign and an agent signs again. [`AnswerClaims`] is the agent's answer. Both
//!   are judged here by their claims; signatures are judged by `agents`. [`Refusal`] is the reason why an
//!   answer does not count.
//! - [`PostureRules`] compare facts with what they require. [`Version`] compares versions as versions.
//! - [`Standing`] is the state machine of a device: its status, and since when it fails which rule. A
//!   [`Change`] of the status becomes [`events`].
//! - [`LossPolicy`] decides which devices are lost, and holds losses back if there are too many.
//! - [`Device`] is a registered device with its standing and the challenges that it used.

mod answer;
mod challenge;
mod device;
mod events;
mod losses;
mod rule;
mod standing;
mod version;

pub use self::{
    answer::{ANSWER_ALGORITHM, AnswerClaims, ClockOff, Refusal},
    challenge::{CHALLENGE_TYPE, Challenge},
    device::{Admission, Device, DeviceKey, Spending, SpentChallenge},
    events::{COMPLIANCE_CHANGE, PostureEvent, SESSION_REVOKED, events},
    losses::{LossCounts, LossPolicy},
    rule::{FactPointer, Failure, Missing, PostureRule, PostureRules, Requirement},
    standing::{CHECK_IN, Cause, Change, Compliance, Standing, Status},
    version::{InvalidVersion, VERSION_BYTES_MAX, Version},
};
