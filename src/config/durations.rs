//! Refuses spans of time of 0 where 0 has no meaning. There, 0 would be a loop without a pause, or a
//! deadline that nothing meets.

use serde_json::Value;

use super::{Config, ConfigError, invalid};

/// The keys that may be 0, by the end of their name.
const ZERO_MEANS_SOMETHING: [&str; 19] = [
    // Nothing is kept or remembered.
    "event_retention",
    "event_id_retention",
    // Nothing is waited for.
    "store.sqlite.settle_delay",
    "store.sqlite.busy_timeout",
    "store.redis.retry_wait",
    "delivery.idle_timeout",
    "delivery.fault.pause_after",
    "poll.wait",
    "poll.redelivery_interval",
    "process.lame_duck",
    "process.drain_timeout",
    // There is no limit.
    "delivery.failing_attempt_interval",
    "delivery.retry.retry_after_max",
    "min_verification_interval",
    "inactivity_timeout",
    "subject_removal_grace",
    "oauth.leeway",
    // The provider shows no record late.
    "poll.overlap",
    "oauth.introspection.cache_for",
];

pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    let values = serde_json::to_value(config).expect("a configuration is plain data");
    let mut zeros = Vec::new();
    find_zeros(&values, "", &mut zeros);
    match zeros.iter().find(|key| !may_be_zero(key)) {
        Some(key) => invalid(key.as_str(), "must be longer than 0"),
        None => Ok(()),
    }
}

fn may_be_zero(key: &str) -> bool {
    ZERO_MEANS_SOMETHING
        .iter()
        .any(|end| key.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
}

/// Finds spans of time, which serde writes like this.
fn find_zeros(value: &Value, key: &str, zeros: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                find_zeros(value, &key, zeros);
            }
        }
        Value::String(text) if text == "0s" => zeros.push(key.to_owned()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every span of time that is not 0 by default is either refused as 0 or listed above.
    #[test]
    fn every_span_of_time_is_refused_as_zero_unless_zero_means_something() {
        let mut defaults = Config::default();
        defaults.providers = defaults.named_providers();
        let values = serde_json::to_value(&defaults).expect("plain data");
        let (mut spans, mut refused) = (0, 0);
        every_span(&values, String::new(), &mut |key| {
            spans += 1;
            let mut changed = values.clone();
            *changed.pointer_mut(&format!("/{}", key.replace('.', "/"))).expect("a key") =
                "0s".into();
            let config: Config = serde_json::from_value(changed).expect("well-formed");
            let checked = config.validate();
            assert_eq!(checked.is_ok(), may_be_zero(key), "{key}: {checked:?}");
            refused += usize::from(checked.is_err());
        });
        assert!(20 < refused && refused < spans, "{refused} of {spans}");
    }

    fn every_span(value: &Value, key: String, see: &mut impl FnMut(&str)) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                    every_span(value, key, see);
                }
            }
            Value::String(text) if is_span(text) => see(&key),
            _ => {}
        }
    }

    fn is_span(text: &str) -> bool {
        let first = text.split(' ').next().unwrap_or_default();
        let digits = first.trim_end_matches(|c: char| c.is_ascii_lowercase());
        let unit = &first[digits.len()..];
        !digits.is_empty()
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && ["ms", "s", "m", "h", "day", "days"].contains(&unit)
    }
}
