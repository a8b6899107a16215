//! The OAuth Event Types, a draft of 2018 that was never finished, so its rules are only advice.
//! Its subject formats are in `domain::subject`. A `sub_id` may have such a format (SSF §3.1.2),
//! like a registered one.

use super::{Family, FamilyOrigin, Member, Schema, ValueRule};

pub(super) const FAMILY: Family = Family {
    prefix: "oauth:",
    base: "https://schemas.openid.net/secevent/oauth/event-type/",
    origin: FamilyOrigin::Elsewhere,
    common: &[],
    types: TYPES,
};

const TOKEN_SUBJECT: Member = Member::optional("token_subject", ValueRule::Subject).advised();

const TYPES: &[Schema] = &[
    Schema::new("token-issued", "OET §3.1", &[TOKEN_SUBJECT]),
    Schema::new(
        "token-revoked",
        "OET §3.2",
        &[
            TOKEN_SUBJECT,
            Member::optional(
                "reason",
                ValueRule::OneOf(&["inactive", "too_many", "api", "user", "issuer"]),
            )
            .advised(),
        ],
    ),
    Schema::new(
        "tokens-revoked",
        "OET §3.3",
        &[Member::optional("reason", ValueRule::OneOf(&["user", "issuer"])).advised()],
    ),
    Schema::new("client-disabled", "OET §3.4", &[]),
    Schema::new("client-enabled", "OET §3.5", &[]),
    Schema::new("client-credential-changed", "OET §3.6", &[]),
];
