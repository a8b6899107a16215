//! The checks of one rule that emits, before any record is there: its event types, its members by the
//! definitions of [`crate::domain::schema`], and its subject.

use serde_json::Value;

use super::{
    error::Flaw,
    rule::{Emission, EmittedType},
    value::Expr,
};
use crate::domain::{
    event_type::EventType,
    lint::alike,
    schema::{Conformity, FAMILIES, Family, FamilyOrigin, Member, Presence, Schema},
};

/// Checks what a rule emits. Types that no specification defines, and deprecated ones, must be
/// listed in `may_emit`, so that nobody emits them by mistake.
pub(super) fn check(emission: &Emission, may_emit: &[EventType]) -> Result<(), Flaw> {
    for emitted in &emission.types {
        let listed = may_emit.contains(&emitted.event_type);
        match emitted.event_type.definition() {
            Some((family, schema)) => check_defined(emission, emitted, family, schema, listed)?,
            None if listed => {}
            None => {
                let rule = format!(
                    "`{}` is no event type of CAEP or RISC; list it in `may_emit` if Receivers \
                     know it",
                    emitted.short_name
                );
                return Err(Flaw::at("emit", rule));
            }
        }
    }
    Ok(())
}

/// Checks that a source is allowed to emit the types of a rule. An empty list allows all.
pub(super) fn check_allowed(emission: &Emission, may_emit: &[EventType]) -> Result<(), Flaw> {
    let mut types = emission.types.iter();
    let stray = types.find(|emitted| !may_emit.contains(&emitted.event_type));
    match stray.filter(|_| !may_emit.is_empty()) {
        None => Ok(()),
        Some(stray) => {
            let rule = format!(
                "emits `{}`, which `may_emit` does not list; list it there, or name the rule in \
                 `disable`",
                stray.short_name
            );
            Err(Flaw::at("emit", rule))
        }
    }
}

fn check_defined(
    emission: &Emission,
    emitted: &EmittedType,
    family: &Family,
    schema: &Schema,
    listed: bool,
) -> Result<(), Flaw> {
    let (name, section) = (&emitted.short_name, schema.section);
    if let Some(successor) = schema.replaced_by.filter(|_| !listed) {
        let rule = format!(
            "`{name}` is deprecated ({section}); emit `{successor}`, or list the type in `may_emit`"
        );
        return Err(Flaw::at("emit", rule));
    }
    let format = emission.subject.format();
    let fits = |format: &str| schema.subjects.is_empty() || schema.subjects.contains(&format);
    if !format.is_none_or(fits) {
        let formats = schema.subjects.join("` or `");
        let rule = format!("must have the format `{formats}` for `{name}` ({section})");
        return Err(Flaw::at("subject", rule));
    }
    check_scope(emission, emitted)?;
    for (member, value) in &emission.event {
        match members(family, schema).find(|known| known.name == member) {
            Some(known) => check_member(known, value, name, section)?,
            None => check_stray(member, emitted, family, schema)?,
        }
    }
    // The members that are copied are judged when the event is published.
    if emission.copy.is_some() {
        return Ok(());
    }
    let given = |name: &str| emission.event.iter().any(|(member, _)| member == name);
    let mut required =
        members(family, schema).filter(|member| member.presence == Presence::Required);
    match required.find(|member| !given(member.name)) {
        None => Ok(()),
        Some(member) => {
            let rule = format!("is required by `{name}` ({section}); add it to `event`");
            Err(Flaw::at(member.name, rule))
        }
    }
}

/// Checks that an event for all sessions of a user is meant.
fn check_scope(emission: &Emission, emitted: &EmittedType) -> Result<(), Flaw> {
    let name = &emitted.short_name;
    let one_session = emission.subject.may_name_a_session() && name != "risc:sessions-revoked";
    if emitted.revokes && !one_session && !emission.user_wide {
        let rule = format!(
            "names no session, so `{name}` would end all sessions of the user; add a `session`, or \
             say `scope = \"user\"` in the rule if that is meant"
        );
        return Err(Flaw::at("subject", rule));
    }
    if emission.user_wide && !emitted.revokes {
        let rule = format!("is for events that end sessions, and `{name}` ends none; leave it out");
        return Err(Flaw::at("scope", rule));
    }
    Ok(())
}

fn members(family: &Family, schema: &Schema) -> impl Iterator<Item = &'static Member> {
    family.common.iter().chain(schema.members)
}

fn check_member(
    member: &Member,
    value: &Expr,
    emitted: &str,
    section: &'static str,
) -> Result<(), Flaw> {
    let section = member.section.unwrap_or(section);
    if member.presence == Presence::Required && value.is_optional() {
        let rule = format!(
            "is required by `{emitted}` ({section}), so it must not be `optional`; give a `default`, \
             or reject the record"
        );
        return Err(Flaw::at(member.name, rule));
    }
    let sample = value.sample();
    let known = value.possible().unwrap_or_else(|| sample.iter().collect());
    let broken = |value: &&Value| member.rule.judge(value) == Conformity::Broken;
    match known.into_iter().find(broken).filter(|_| !member.advised) {
        None => Ok(()),
        Some(value) => {
            let demand = member.rule.demand();
            Err(Flaw::at(member.name, format!("must {demand} ({section}), and can be `{value}`")))
        }
    }
}

/// Checks a member that the type does not define. Receivers may have agreed on it, unless it is
/// likely a mistake.
fn check_stray(
    member: &str,
    emitted: &EmittedType,
    family: &Family,
    schema: &Schema,
) -> Result<(), Flaw> {
    let (name, section) = (&emitted.short_name, schema.section);
    let refuse = |rule: String| Err(Flaw::at(member, rule));
    if member == "subject" {
        return refuse("must not be in `event`; the rule's `subject` names it (SSF §3.1.1)".into());
    }
    if FAMILIES.iter().any(|family| member.starts_with(family.base)) {
        return refuse("must not be in `event`; write the members of the event directly".into());
    }
    if let Some(meant) = members(family, schema).find(|known| alike(member, known.name)) {
        return refuse(format!("is spelled `{}` in `{name}` ({section})", meant.name));
    }
    let elsewhere = |family: &&Family| {
        let profile = family.origin == FamilyOrigin::Profile;
        profile && family.types.iter().any(|s| members(family, s).any(|m| m.name == member))
    };
    if FAMILIES.into_iter().any(|family| elsewhere(&family)) {
        let known = members(family, schema).map(|known| known.name);
        let known = super::error::listed(known);
        return refuse(format!("is not a member of `{name}` ({section}), which has {known}"));
    }
    Ok(())
}
