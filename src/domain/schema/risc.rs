//! Risk Incident Sharing and Coordination (RISC §2).

use super::{Family, FamilyOrigin, Member, Schema, ValueRule, caep::CREDENTIALS};

pub(super) const FAMILY: Family = Family {
    prefix: "risc:",
    base: "https://schemas.openid.net/secevent/risc/event-type/",
    origin: FamilyOrigin::Profile,
    common: &[],
    types: TYPES,
};

/// RISC §2.5 and §2.6 say "phone"; the registered name is `phone_number` (RFC 9493 §3.2.5).
const IDENTIFIERS: &[&str] = &["email", "phone_number"];

const TYPES: &[Schema] = &[
    Schema::new("account-credential-change-required", "RISC §2.1", &[]),
    Schema::new("account-purged", "RISC §2.2", &[]),
    Schema::new(
        "account-disabled",
        "RISC §2.3",
        &[Member::optional("reason", ValueRule::Known(&["hijacking", "bulk-account"]))],
    ),
    Schema::new("account-enabled", "RISC §2.4", &[]),
    Schema::new(
        "identifier-changed",
        "RISC §2.5",
        &[Member::optional("new-value", ValueRule::Text)],
    )
    .about(IDENTIFIERS),
    Schema::new("identifier-recycled", "RISC §2.6", &[]).about(IDENTIFIERS),
    Schema::new(
        "credential-compromise",
        "RISC §2.7",
        &[
            Member::required("credential_type", CREDENTIALS),
            Member::optional("event_timestamp", ValueRule::Seconds),
            // RISC gives no type for these two members; Receivers know the type that CAEP §2 gives.
            Member::optional("reason_admin", ValueRule::Reasons).advised(),
            Member::optional("reason_user", ValueRule::Reasons).advised(),
        ],
    ),
    Schema::new("opt-in", "RISC §2.8.1", &[]),
    Schema::new("opt-out-initiated", "RISC §2.8.2", &[]),
    Schema::new("opt-out-cancelled", "RISC §2.8.3", &[]),
    Schema::new("opt-out-effective", "RISC §2.8.4", &[]),
    Schema::new("recovery-activated", "RISC §2.9", &[]),
    Schema::new("recovery-information-changed", "RISC §2.10", &[]),
    // The type is deprecated, but Receivers still ask for it.
    Schema::new("sessions-revoked", "RISC §2.11", &[]).replaced_by("caep:session-revoked"),
];
