//! The Continuous Access Evaluation Profile (CAEP §3).

use super::{Family, FamilyOrigin, Member, Schema, ValueRule};

pub(super) const FAMILY: Family = Family {
    prefix: "caep:",
    base: "https://schemas.openid.net/secevent/caep/event-type/",
    origin: FamilyOrigin::Profile,
    common: COMMON,
    types: TYPES,
};

const COMMON: &[Member] = &[
    Member::optional("event_timestamp", ValueRule::Seconds).defined_in("CAEP §2"),
    Member::optional("initiating_entity", ValueRule::OneOf(&["admin", "user", "policy", "system"]))
        .defined_in("CAEP §2"),
    Member::optional("reason_admin", ValueRule::Reasons).defined_in("CAEP §2"),
    Member::optional("reason_user", ValueRule::Reasons).defined_in("CAEP §2"),
];

/// The values of `credential_type` in CAEP and in RISC (RISC §2.7).
pub(super) const CREDENTIALS: ValueRule = ValueRule::Known(&[
    "password",
    "pin",
    "x509",
    "fido2-platform",
    "fido2-roaming",
    "fido-u2f",
    "verifiable-credential",
    "phone-voice",
    "phone-sms",
    "app",
]);
const NAMESPACES: ValueRule =
    ValueRule::Known(&["RFC8176", "RFC6711", "ISO-IEC-29115", "NIST-IAL", "NIST-AAL", "NIST-FAL"]);
const COMPLIANCE: ValueRule = ValueRule::OneOf(&["compliant", "not-compliant"]);
const RISK: ValueRule = ValueRule::OneOf(&["LOW", "MEDIUM", "HIGH"]);
/// CAEP lists these values. `APPLICATION` comes from the entities of SSF §3.3, which CAEP refers
/// to.
const PRINCIPALS: ValueRule =
    ValueRule::Known(&["USER", "DEVICE", "SESSION", "TENANT", "ORG_UNIT", "GROUP", "APPLICATION"]);

const TYPES: &[Schema] = &[
    Schema::new("session-revoked", "CAEP §3.1", &[]).interop("CAEP Interop §3.1"),
    Schema::new(
        "token-claims-change",
        "CAEP §3.2",
        &[Member::required("claims", ValueRule::NonEmptyObject)],
    ),
    Schema::new(
        "credential-change",
        "CAEP §3.3",
        &[
            Member::required("credential_type", CREDENTIALS),
            Member::required(
                "change_type",
                ValueRule::OneOf(&["create", "revoke", "update", "delete"]),
            ),
            Member::optional("friendly_name", ValueRule::Text),
            Member::optional("x509_issuer", ValueRule::Text),
            Member::optional("x509_serial", ValueRule::Text),
            Member::optional("fido2_aaguid", ValueRule::Text),
        ],
    )
    .interop("CAEP Interop §3.2"),
    Schema::new(
        "assurance-level-change",
        "CAEP §3.4",
        &[
            Member::required("namespace", NAMESPACES),
            Member::required("current_level", ValueRule::Text),
            Member::optional("previous_level", ValueRule::Text),
            Member::optional("change_direction", ValueRule::OneOf(&["increase", "decrease"]))
                .recommended_with("previous_level"),
        ],
    ),
    // Only the later text of the profile has this use case, and it numbers its sections
    // differently.
    Schema::new(
        "device-compliance-change",
        "CAEP §3.5",
        &[
            Member::required("previous_status", COMPLIANCE),
            Member::required("current_status", COMPLIANCE),
        ],
    )
    .interop("CAEP Interop §3"),
    Schema::new(
        "session-established",
        "CAEP §3.6",
        &[
            Member::optional("fp_ua", ValueRule::Text),
            Member::optional("acr", ValueRule::Text),
            Member::optional("amr", ValueRule::ArrayOfStrings),
            Member::optional("ext_id", ValueRule::Text),
        ],
    ),
    Schema::new(
        "session-presented",
        "CAEP §3.7",
        &[Member::optional("fp_ua", ValueRule::Text), Member::optional("ext_id", ValueRule::Text)],
    ),
    Schema::new(
        "risk-level-change",
        "CAEP §3.8",
        &[
            Member::required("principal", PRINCIPALS),
            Member::required("current_level", RISK),
            Member::optional("previous_level", RISK),
            Member::recommended("risk_reason", ValueRule::Text),
        ],
    ),
];
