//! Makes a mapping of what a preset and a source say.

use std::{
    cell::Cell,
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use serde_json::Value;

use super::{
    Mapping, MappingError, Preset,
    decode::{DECODES_MAX, Decode},
    error::{Flaw, listed},
    index::Index,
    lint,
    names::Names,
    order,
    path::{self, Local, Path},
    rule::{Action, Rule},
    settings::{MapSettings, MappingSettings, RuleSettings, Scope, VarSettings},
    table::Table,
    value::Expr,
};
use crate::domain::event_type::EventType;

/// The most rules of one mapping, guards among them.
pub const RULES_MAX: usize = 200;
/// The most named values of one mapping.
pub const LETS_MAX: usize = 16;

/// The reason of a record that a rule takes although the source does not allow what it does.
const USER_WIDE: &str = "the event would end all sessions of a user; say `scope = \"user\"` at the \
                         source to allow that";

impl Mapping {
    /// Compiles the mapping of a source.
    ///
    /// Rules of the source come before those of the preset, and a rule replaces the preset's rule of
    /// the same name. `name` is the name of the source, which begins the ids of its events.
    /// `may_emit` lists the event types that the source may emit; an empty list allows all types of
    /// CAEP and RISC.
    pub fn compile(
        preset: Option<&Preset>,
        source: &MappingSettings,
        name: &str,
        may_emit: &[EventType],
    ) -> Result<Self, MappingError> {
        let none = MappingSettings::default();
        let base = preset.map_or(&none, |preset| &preset.mapping);
        let fail = |flaw: Flaw| flaw.of(name, None);
        let within = |place: &'static str| move |flaw: Flaw| flaw.within(place).of(name, None);

        let vars = vars(preset, source).map_err(fail)?;
        let maps = maps(base, source).map_err(within("maps"))?;
        let decode = if source.decode.is_empty() { &base.decode } else { &source.decode };
        if DECODES_MAX < decode.len() {
            let rule = format!("must have at most {DECODES_MAX} documents");
            return Err(fail(Flaw::at("decode", rule)));
        }
        let decode = decode.iter().map(Decode::compile).collect::<Result<Vec<_>, _>>();
        let decode = decode.map_err(within("decode"))?;
        let decoded: Vec<_> = decode.iter().map(|decode| decode.steps().to_vec()).collect();
        let mut names = Names {
            vars: &vars,
            lets: Vec::new(),
            maps: &maps,
            decoded: &decoded,
            captures: Vec::new(),
            each: false,
            queries: Cell::new(0),
        };
        let lets = lets(base, source, &mut names).map_err(within("let"))?;

        let records = source.records.as_ref().or(base.records.as_ref());
        let records = records.map(|path| Local::compile(path)).transpose();
        let native_type = source.native_type.as_ref().or(base.native_type.as_ref());
        let native_type = native_type.map(|path| Path::compile(path, &names)).transpose();
        let id = source.id.as_ref().or(base.id.as_ref());
        let id = id.map(|id| Expr::compile(id, &names)).transpose();
        let time = source.time.as_ref().or(base.time.as_ref()).map(|time| {
            let from = match &time.from {
                Value::String(_) => Expr::of_path(&time.from, &names),
                long => Expr::compile(long, &names),
            };
            Ok((from?, time.unit))
        });

        let written = Written::of(base, source).map_err(|(rule, flaw)| flaw.of(name, rule))?;
        let compile = |rules: &[(&RuleSettings, bool)], names: &mut Names<'_>| {
            let mut compiled = Vec::with_capacity(rules.len());
            for (settings, of_preset) in rules {
                let rule = Rule::compile(settings, *of_preset, names)
                    .and_then(|rule| check(&rule, may_emit).map(|()| rule))
                    .map_err(|flaw| flaw.of(name, Some(&settings.name)))?;
                compiled.extend(activate(rule, settings, source));
            }
            Ok::<_, MappingError>(compiled)
        };
        let guards = compile(&written.guards, &mut names)?;
        if let Some(guard) = guards.iter().find(|guard| guard.emission().is_some()) {
            let rule = "must not be in `guards`, which drop or reject; write it in `rules`";
            return Err(Flaw::at("emit", rule).of(name, Some(guard.name.as_str())));
        }
        let rules = compile(&written.rules, &mut names)?;
        order::check_order(&guards, &rules).map_err(|(rule, flaw)| flaw.of(name, Some(&rule)))?;
        for rule in &rules {
            let allowed = rule.emission().map(|emission| lint::check_allowed(emission, may_emit));
            allowed.transpose().map_err(|flaw| flaw.of(name, Some(rule.name.as_str())))?;
        }
        let native_type = native_type.map_err(within("type"))?;
        let index = Index::of(&rules, native_type.as_ref());
        Ok(Self {
            source: name.to_owned(),
            records: records.map_err(within("records"))?,
            native_type,
            id: id.map_err(within("id"))?,
            time: time.transpose().map_err(within("time"))?,
            decode,
            lets,
            guards,
            rules,
            index,
            unmatched: source.unmatched.or(base.unmatched).unwrap_or_default(),
            user_wide: source.scope == Some(Scope::User),
        })
    }
}

fn check(rule: &Rule, may_emit: &[EventType]) -> Result<(), Flaw> {
    order::check_conditions(&rule.conditions)?;
    rule.emission().map_or(Ok(()), |emission| lint::check(emission, may_emit))
}

/// Leaves out a rule that is not active. A rule that ends all sessions of a user although the source
/// does not allow that rejects its records, so that they are seen.
fn activate(mut rule: Rule, settings: &RuleSettings, source: &MappingSettings) -> Option<Rule> {
    let named = |names: &[String]| names.contains(&settings.name);
    if named(&source.disable) || (settings.opt_in && !named(&source.enable)) {
        return None;
    }
    let user_wide = rule.emission().is_some_and(|emission| emission.user_wide);
    if user_wide && source.scope != Some(Scope::User) {
        rule.action = Action::Reject(USER_WIDE.to_owned());
    }
    Some(rule)
}

/// The guards and rules in their order, each with whether it comes from the preset.
struct Written<'a> {
    guards: Vec<(&'a RuleSettings, bool)>,
    rules: Vec<(&'a RuleSettings, bool)>,
}

impl<'a> Written<'a> {
    fn of(
        base: &'a MappingSettings,
        source: &'a MappingSettings,
    ) -> Result<Self, (Option<&'a str>, Flaw)> {
        let own: HashSet<_> =
            source.guards.iter().chain(&source.rules).map(|rule| rule.name.as_str()).collect();
        let merge = |own_rules: &'a [RuleSettings], of_preset: &'a [RuleSettings]| {
            let kept = of_preset.iter().filter(|rule| !own.contains(rule.name.as_str()));
            let own_rules = own_rules.iter().map(|rule| (rule, false));
            own_rules.chain(kept.map(|rule| (rule, true))).collect::<Vec<_>>()
        };
        let written = Self {
            guards: merge(&source.guards, &base.guards),
            rules: merge(&source.rules, &base.rules),
        };
        written.check(source)?;
        Ok(written)
    }

    fn check(&self, source: &'a MappingSettings) -> Result<(), (Option<&'a str>, Flaw)> {
        let all = || self.guards.iter().chain(&self.rules).map(|(rule, _)| *rule);
        if RULES_MAX < all().count() {
            let rule = format!("must be at most {RULES_MAX}, guards among them");
            return Err((None, Flaw::at("rules", rule)));
        }
        let mut names = HashSet::new();
        if let Some(rule) = all().find(|rule| !names.insert(rule.name.as_str())) {
            let flaw = Flaw::at("name", "is the name of two rules; rename one");
            return Err((Some(&rule.name), flaw));
        }
        let unknown =
            |rules: &'a [String]| rules.iter().find(|name| !names.contains(name.as_str()));
        for (key, rules) in [("enable", &source.enable), ("disable", &source.disable)] {
            if let Some(name) = unknown(rules) {
                let known = listed(all().map(|rule| rule.name.as_str()));
                let text =
                    format!("names the rule `{name}`, which does not exist; there are {known}");
                return Err((None, Flaw::at(key, text)));
            }
        }
        let opt_in = |name: &&String| all().any(|rule| rule.name == **name && rule.opt_in);
        if let Some(name) = source.enable.iter().find(|name| !opt_in(name)) {
            let optional = listed(all().filter(|rule| rule.opt_in).map(|rule| &*rule.name));
            let text = format!(
                "names the rule `{name}`, which needs no `enable`; those that do are {optional}"
            );
            return Err((None, Flaw::at("enable", text)));
        }
        Ok(())
    }
}

/// Returns the value of each variable.
fn vars(
    preset: Option<&Preset>,
    source: &MappingSettings,
) -> Result<BTreeMap<String, Value>, Flaw> {
    for (name, value) in &source.vars {
        if value.is_array() || value.is_object() {
            let rule = "must be a string, a number or a boolean";
            return Err(Flaw::at(&format!("vars.{name}"), rule));
        }
    }
    let Some(preset) = preset else { return Ok(source.vars.clone()) };
    if let Some(name) = source.vars.keys().find(|name| !preset.vars.contains_key(*name)) {
        let known = listed(preset.vars.keys().map(String::as_str));
        let rule = format!("is no variable of the preset `{}`, which has {known}", preset.name());
        return Err(Flaw::at(&format!("vars.{name}"), rule));
    }
    let value = |(name, declared): (&String, &VarSettings)| {
        let value = source.vars.get(name).or(declared.default.as_ref());
        if declared.required && !value.is_some_and(path::is_present) {
            let preset = preset.name();
            let rule = format!("is required by the preset `{preset}`: {}", declared.description);
            return Err(Flaw::at(&format!("vars.{name}"), rule));
        }
        // A variable without a value is missing where it is used.
        Ok((name.clone(), value.cloned().unwrap_or_default()))
    };
    preset.vars.iter().map(value).collect()
}

/// Joins the maps of the preset and of the source. Entries of the source come first.
fn maps(
    base: &MappingSettings,
    source: &MappingSettings,
) -> Result<BTreeMap<String, Arc<Table>>, Flaw> {
    let mut joined: BTreeMap<&String, MapSettings> = BTreeMap::new();
    for (name, map) in base.maps.iter().chain(&source.maps) {
        let entry = joined.entry(name).or_default();
        entry.values.extend(map.values.clone());
        entry.default = map.default.clone().or(entry.default.take());
    }
    let compile = |(name, map): (&String, MapSettings)| {
        let table = Table::compile(name, &map);
        Ok((name.clone(), Arc::new(table.map_err(|flaw| flaw.within(name))?)))
    };
    joined.into_iter().map(compile).collect()
}

/// Compiles the named values in an order in which each comes after those that it uses.
fn lets(
    base: &MappingSettings,
    source: &MappingSettings,
    names: &mut Names<'_>,
) -> Result<Vec<Expr>, Flaw> {
    let mut left = base.lets.clone();
    left.extend(source.lets.clone());
    if LETS_MAX < left.len() {
        return Err(Flaw::new(format!("must have at most {LETS_MAX} values")));
    }
    let mut compiled = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let before = left.len();
        let mut waiting = None;
        for (name, written) in std::mem::take(&mut left) {
            let queries = names.queries.get();
            match Expr::compile(&written, names) {
                Ok(value) => {
                    names.lets.push(name);
                    compiled.push(value);
                }
                Err(flaw) if flaw.unknown_let.is_some() => {
                    names.queries.set(queries);
                    waiting = Some(flaw.within(&name));
                    left.insert(name, written);
                }
                Err(flaw) => return Err(flaw.within(&name)),
            }
        }
        if let Some(flaw) = waiting.filter(|_| left.len() == before) {
            return Err(flaw);
        }
    }
    Ok(compiled)
}
