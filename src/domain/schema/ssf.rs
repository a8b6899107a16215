//! SSF's own events, which the Transmitter alone issues.

use super::{Family, Member, Origin, Rule, Schema};

pub(super) const FAMILY: Family = Family {
    prefix: "ssf:",
    base: "https://schemas.openid.net/secevent/ssf/event-type/",
    origin: Origin::Control,
    common: &[],
    types: TYPES,
};

/// About the stream itself.
const STREAM: &[&str] = &["opaque"];

const TYPES: &[Schema] = &[
    Schema::new("verification", "SSF §8.1.4.1", &[Member::optional("state", Rule::Text)])
        .about(STREAM),
    Schema::new(
        "stream-updated",
        "SSF §8.1.5",
        &[
            Member::required("status", Rule::OneOf(&["enabled", "paused", "disabled"])),
            Member::optional("reason", Rule::Text),
        ],
    )
    .about(STREAM),
];
