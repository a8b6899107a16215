//! Looks at the sources: their files, what they do, and whether their presets give what their examples say.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Findings;
use crate::{
    app,
    config::{Config, NamedSource},
    domain::{event_type::EventType, mapping::Preset},
    source::settings::{Mode, SchemeName},
};

pub(super) fn look_at(config: &Config, findings: &mut Findings) {
    if let Some(listen) = config.sources.listen {
        let tls = if config.sources.tls_certificate.is_some() { "TLS" } else { "plain HTTP" };
        findings.ok("sources.listen", format!("{listen}, {tls}"));
    }
    // The configuration would not have been loaded.
    let sources = config.sources().unwrap_or_default();
    if let Err(error) = app::load_sources(config) {
        findings.error("sources", error);
    }
    for source in &sources {
        one(source, findings);
        placeholders(config, source, findings);
    }
    let presets: BTreeSet<_> =
        sources.iter().filter_map(|source| source.config.preset.as_deref()).collect();
    for preset in presets.into_iter().filter_map(Preset::find) {
        let failed = preset.check_examples();
        for error in &failed {
            findings.error(format!("preset {}", preset.name()), error);
        }
        if failed.is_empty() {
            let detail = format!("its {} examples give what they say", preset.examples.len());
            findings.ok(format!("preset {}", preset.name()), detail);
        }
    }
}

/// Finds values that are still those of a page, such as `https://<tenant>.example`.
fn placeholders(config: &Config, source: &NamedSource, findings: &mut Findings) {
    let NamedSource { provider, name, .. } = source;
    let provider_settings = config.providers.get(provider);
    let Some(table) = provider_settings.and_then(|one| one.sources.get(name)) else { return };
    for part in ["vars", "auth"] {
        let members = table.0.get(part).and_then(Value::as_object);
        for (key, value) in members.into_iter().flatten() {
            let text = value.as_str().unwrap_or_default();
            if text.split_once('<').is_some_and(|(_, rest)| rest.contains('>')) {
                let item = format!("providers.{provider}.sources.{name}.{part}.{key}");
                findings
                    .warning(item, format!("is `{text}`; put your own value in the place of <…>"));
            }
        }
    }
}

fn one(source: &NamedSource, findings: &mut Findings) {
    let NamedSource { provider, name, config } = source;
    let item = format!("providers.{provider}.sources.{name}");
    let types: Vec<_> = config.mapping.emits().iter().map(EventType::short_name).collect();
    let sent = config.auth.as_ref().map(|_| format!("/in/{provider}/{name}"));
    let polled = config.poll.iter().flat_map(|poll| &poll.urls).map(|url| url.name.clone());
    let places = sent.into_iter().chain(config.redis_key.clone()).chain(polled);
    let place = places.collect::<Vec<_>>().join(" and ");
    findings.ok(item.as_str(), format!("{place} emits {}", types.join(", ")));
    if config.mode == Mode::Observe {
        findings.warning(format!("{item}.mode"), "is `observe`, so the source publishes nothing");
    }
    if config.auth.as_ref().is_some_and(|auth| auth.scheme == SchemeName::None) {
        findings.warning(format!("{item}.auth.scheme"), "is `none`, so anybody is believed");
    }
}
