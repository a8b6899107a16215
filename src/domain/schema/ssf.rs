//! The events of SSF itself, which only the Transmitter issues.

use super::{Family, FamilyOrigin, Member, Schema, ValueRule};

pub(super) const FAMILY: Family = Family {
    prefix: "ssf:",
    base: "https://schemas.openid.net/secevent/ssf/event-type/",
    origin: FamilyOrigin::Control,
    common: &[],
    types: TYPES,
};

/// The subject of these events is the stream.
const STREAM: &[&str] = &["opaque"];

const TYPES: &[Schema] = &[
    Schema::new("verification", "SSF §8.1.4.1", &[Member::optional("state", ValueRule::Text)])
        .about(STREAM),
    Schema::new(
        "stream-updated",
        "SSF §8.1.5",
        &[
            Member::required("status", ValueRule::OneOf(&["enabled", "paused", "disabled"])),
            Member::optional("reason", ValueRule::Text),
        ],
    )
    .about(STREAM),
];
