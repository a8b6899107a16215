//! Finds the Receiver that owns each imported stream.

use std::{collections::BTreeMap, str::FromStr};

use super::export::{Export, Stream};
use crate::domain::id::{ReceiverId, StreamId};

/// A Receiver, and the streams that it owns.
#[derive(Debug, Clone)]
pub(super) struct Owner {
    /// A stream's id, or the name or `pk` of an SSF provider. `None` for all other streams.
    key: Option<String>,
    receiver: ReceiverId,
}

impl FromStr for Owner {
    type Err = String;

    /// Parses `NAME` or `KEY=NAME`. A key may have any characters, and a Receiver has no `=`.
    fn from_str(raw: &str) -> Result<Self, String> {
        let (key, name) = match raw.rsplit_once('=') {
            Some((key, name)) => (Some(key.to_owned()), name),
            None => (None, raw),
        };
        let receiver =
            name.parse().map_err(|error: crate::domain::id::InvalidId| error.to_string());
        Ok(Self { key, receiver: receiver? })
    }
}

/// Returns the owner of each stream. A key of one stream goes before a key of its SSF provider.
pub(super) fn find(
    export: &Export,
    owners: &[Owner],
) -> Result<BTreeMap<StreamId, ReceiverId>, Vec<String>> {
    let mut flaws = Vec::new();
    for (n, owner) in owners.iter().enumerate() {
        if owners[..n].iter().any(|before| before.key == owner.key) {
            let key = owner
                .key
                .as_deref()
                .map_or("streams in general".to_owned(), |key| format!("`{key}`"));
            flaws.push(format!("--receiver is given twice for {key}"));
        }
        let known =
            |key: &String| export.streams.iter().any(|stream| keys(export, stream).contains(key));
        if let Some(key) = owner.key.as_ref().filter(|key| !known(key)) {
            flaws.push(format!(
                "--receiver: `{key}` is no id of a stream in the export, and no name or `pk` of an SSF \
                 provider that has one"
            ));
        }
    }
    let mut found = BTreeMap::new();
    for stream in &export.streams {
        let keys = keys(export, stream).map(Some);
        let mut keys = keys.iter().chain([&None]);
        match keys.find_map(|key| owners.iter().find(|owner| owner.key == *key)) {
            Some(owner) => _ = found.insert(stream.id.clone(), owner.receiver.clone()),
            None => flaws.push(format!(
                "stream {}: no --receiver says who owns it; give `--receiver NAME`, or `--receiver \
                 {}=NAME` for this stream",
                stream.id, stream.id
            )),
        }
    }
    if flaws.is_empty() { Ok(found) } else { Err(flaws) }
}

/// The keys that name a stream, the narrowest first.
fn keys(export: &Export, stream: &Stream) -> [String; 3] {
    let provider = export.providers.get(&stream.provider);
    let name = provider.map(|provider| provider.name.clone()).unwrap_or_default();
    [stream.id.to_string(), stream.provider.to_string(), name]
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn export() -> Export {
        let stream = |pk: &str, provider: i64, name: &str, status: &str| {
            json!({
                "pk": pk, "status": status, "provider": provider,
                "provider_obj": {"pk": provider, "name": name},
                "delivery_method": "urn:ietf:rfc:8936", "aud": ["x"], "iss": "https://auth.example",
            })
        };
        let streams = [
            stream("s1", 1, "Apple = Business", "enabled"),
            stream("s2", 1, "Apple = Business", "paused"),
            stream("s3", 2, "Wiki", "enabled"),
            stream("s4", 2, "Wiki", "disabled_deleted"),
        ];
        let text = json!({"results": streams}).to_string();
        Export::read(text.as_bytes()).expect("valid")
    }

    fn find(given: &[&str]) -> Result<Value, Vec<String>> {
        let given: Vec<Owner> = given.iter().map(|raw| raw.parse().expect("valid")).collect();
        super::find(&export(), &given).map(|found| json!(found))
    }

    #[test]
    fn a_stream_goes_before_its_provider_and_that_before_all() {
        let all = json!({"s1": "rx", "s2": "rx", "s3": "rx"});
        assert_eq!(find(&["rx"]), Ok(all));
        let by_name = json!({"s1": "apple", "s2": "apple", "s3": "rx"});
        assert_eq!(find(&["rx", "Apple = Business=apple"]), Ok(by_name.clone()));
        assert_eq!(find(&["1=apple", "2=rx"]), Ok(by_name));
        let each = json!({"s1": "one", "s2": "apple", "s3": "rx"});
        assert_eq!(find(&["1=apple", "s1=one", "rx"]), Ok(each));
    }

    #[test]
    fn a_stream_without_an_owner_and_a_key_without_a_stream_are_told() {
        let flaws = find(&["Wiki=rx", "Wikis=rx", "Wiki=other"]).expect_err("four flaws");
        let expected = [
            "`Wikis` is no id of a stream",
            "given twice for `Wiki`",
            "stream s1: no --receiver",
            "stream s2: no --receiver",
        ];
        assert_eq!(flaws.len(), expected.len(), "{flaws:#?}");
        for flaw in expected {
            assert!(flaws.iter().any(|found| found.contains(flaw)), "no `{flaw}` in {flaws:#?}");
        }
        assert!("a b".parse::<Owner>().is_err());
    }
}
