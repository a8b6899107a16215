//! The names of SCIM's events (RFC 9967 §2). Their members depend on the resource.

use super::{Family, FamilyOrigin, Schema};

pub(super) const FAMILY: Family = Family {
    prefix: "scim:",
    base: "urn:ietf:params:scim:event:",
    origin: FamilyOrigin::Elsewhere,
    common: &[],
    types: TYPES,
};

const TYPES: &[Schema] = &[
    Schema::new("feed:add", "RFC 9967 §2.3", &[]),
    Schema::new("feed:remove", "RFC 9967 §2.3", &[]),
    Schema::new("prov:create:notice", "RFC 9967 §2.4", &[]),
    Schema::new("prov:create:full", "RFC 9967 §2.4", &[]),
    Schema::new("prov:patch:notice", "RFC 9967 §2.4", &[]),
    Schema::new("prov:patch:full", "RFC 9967 §2.4", &[]),
    Schema::new("prov:put:notice", "RFC 9967 §2.4", &[]),
    Schema::new("prov:put:full", "RFC 9967 §2.4", &[]),
    Schema::new("prov:delete", "RFC 9967 §2.4", &[]),
    Schema::new("prov:activate", "RFC 9967 §2.4", &[]),
    Schema::new("prov:deactivate", "RFC 9967 §2.4", &[]),
    Schema::new("misc:asyncresp", "RFC 9967 §2.5", &[]),
];
