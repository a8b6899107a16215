//! Finds the event type that a publisher probably meant.

use crate::domain::schema::{FAMILIES, Family, FamilyOrigin, Schema};

/// Returns the family below whose URIs a type stands although the family does not define it, and the
/// type that was probably meant.
pub(super) fn undefined(
    uri: &str,
) -> Option<(&'static Family, Option<(&'static Family, &'static Schema)>)> {
    let families = || FAMILIES.into_iter().filter(|family| family.origin != FamilyOrigin::Control);
    let (family, name) =
        families().find_map(|family| Some((family, uri.strip_prefix(family.base)?)))?;
    if family.of_name(name).is_some() {
        return None;
    }
    let elsewhere = families().find_map(|other| Some((other, other.of_name(name)?)));
    let near = || {
        // Every fourth character may differ.
        let distances = family.types.iter().map(|schema| (distance(name, schema.name), schema));
        let (distance, schema) = distances.min_by_key(|(distance, _)| *distance)?;
        (distance <= name.len() / 4).then_some((family, schema))
    };
    Some((family, elsewhere.or_else(near)))
}

/// Counts the characters that must be added, removed or replaced to make one name of the other
/// (Levenshtein). A long name is not compared, because no type has one.
fn distance(one: &str, other: &str) -> usize {
    const LENGTH_MAX: usize = 64;
    if LENGTH_MAX < one.len() {
        return one.len();
    }
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, near: Option<&str>) {
        let uri = format!("https://schemas.openid.net/secevent/{name}");
        let (_, meant) = undefined(&uri).expect("it is below a family");
        let meant = meant.map(|(family, schema)| format!("{}{}", family.prefix, schema.name));
        assert_eq!(meant.as_deref(), near, "{name}");
    }

    #[test]
    fn a_near_match_is_proposed() {
        check("caep/event-type/token-claims-changed", Some("caep:token-claims-change"));
        check("caep/event-type/sesion-revoked", Some("caep:session-revoked"));
        check("caep/event-type/Session-Revoked", Some("caep:session-revoked"));
        check("caep/event-type/account-disabled", Some("risc:account-disabled"));
        check("risc/event-type/session-revoked", Some("caep:session-revoked"));
        check("risc/event-type/account-disable", Some("risc:account-disabled"));
        check("caep/event-type/badge-lost", None);
        check("caep/event-type/", None);
        check(&format!("caep/event-type/{}", "x".repeat(1000)), None);
    }

    #[test]
    fn a_type_that_is_defined_or_belongs_to_nobody_is_no_mistake() {
        assert!(undefined("urn:example:badge-lost").is_none());
        for family in FAMILIES {
            for schema in family.types {
                assert!(undefined(&format!("{}{}", family.base, schema.name)).is_none());
            }
        }
    }
}
