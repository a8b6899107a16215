//! The document itself.

use std::{collections::BTreeSet, fs};

use hyper::header::CONTENT_TYPE;
use serde_json::{Value, json};

use super::{Document, Stand};
use crate::harness::{
    daemon::{ISSUER, PROVIDER},
    http_client::get,
};

#[test]
fn the_document_in_the_repository_is_the_one_of_the_code() {
    let path = [env!("CARGO_MANIFEST_DIR"), "openapi.json"].join("/");
    let text = fs::read_to_string(path).expect("openapi.json is in the repository");
    let kept: Value = serde_json::from_str(&text).expect("it is JSON");
    let made = ssfd::http::openapi::document();
    assert!(kept == made, "write it anew: cargo run -- openapi > openapi.json");
}

/// OpenAPI §4.8.10.
#[test]
fn each_operation_has_a_name_of_its_own_and_says_what_it_does() {
    let document = Document::whole();
    assert_eq!(document.0["openapi"], "3.1.1");
    let mut names = BTreeSet::new();
    for operation in document.operations() {
        let name = operation.described["operationId"].as_str().expect("a name");
        assert!(names.insert(name.to_owned()), "{name} is the name of two");
        assert!(operation.described["summary"].as_str().is_some_and(|text| !text.is_empty()));
        for (status, response) in operation.described["responses"].as_object().expect("responses") {
            let response = operation.document.resolved(response);
            let said = response["description"].as_str().unwrap_or_default();
            assert!(!said.is_empty(), "{name}: {status}");
        }
    }
    assert!(names.contains("createStream") && names.contains("publishEvents"), "{names:?}");
}

/// Each reference has a target, and each shared part is referred to.
#[test]
fn nothing_is_missing_and_nothing_left_over() {
    let document = Document::whole();
    let mut used = BTreeSet::new();
    references(&document.0, &mut used);
    for reference in &used {
        document.resolved(&json!({"$ref": reference}));
    }
    for kind in ["schemas", "responses", "headers"] {
        for name in document.0["components"][kind].as_object().expect("components").keys() {
            let reference = format!("#/components/{kind}/{name}");
            assert!(used.contains(&reference), "nobody uses {reference}");
        }
    }
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                found.insert(reference.clone());
            }
            members.values().for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn each_example_is_valid() {
    let document = Document::whole();
    for operation in document.operations() {
        if let Some((_, schema, example)) = operation.body() {
            document.assert_valid(schema, example, &operation.name());
        }
    }
}

/// The schemas refuse something. The other tests rely on that.
#[test]
fn a_schema_refuses_what_it_does_not_describe() {
    let document = Document::whole();
    for (schema, value) in [
        ("Stream", json!({})),
        ("StreamStatus", json!({"stream_id": "st_1", "status": "asleep"})),
        ("StreamId", json!("a b")),
        ("PollRequest", json!({"maxEvents": -1})),
        ("NewStream", json!({"description": null})),
        ("NewStream", json!({"delivery": {"method": "urn:ietf:rfc:8935"}})),
        ("PolledSets", json!({"moreAvailable": true})),
        ("Problem", json!({"title": "x"})),
    ] {
        let reference = json!({"$ref": format!("#/components/schemas/{schema}")});
        assert!(!document.validator(&reference).is_valid(&value), "{schema}: {value}");
    }
}

#[actix_web::test]
async fn the_internal_listener_serves_all_of_it() {
    let stand = Stand::new().await;
    let served = get(&stand.daemon.internal_url("/openapi.json")).send().await.expect(200);
    assert_eq!(served.header(CONTENT_TYPE), "application/json");
    assert_eq!(served.json(), stand.document.0);
}

/// No credential is needed, because the document has no secrets.
#[actix_web::test]
async fn an_issuer_serves_what_is_for_receivers() {
    let stand = Stand::new().await;
    let url = stand.daemon.provider_url(PROVIDER, "/ssf/openapi.json");
    let served = get(&url).send().await.expect(200).json();
    assert_eq!(served["servers"], json!([{"url": ISSUER}]));
    assert!(served["components"]["securitySchemes"].get("publisher").is_none());
    for (path, item) in stand.document.paths() {
        let internal = item["servers"][0]["url"] == "http://{internal}";
        // The whole document has other servers for the host of an issuer.
        let ours = |item: &Value| -> Value { item.get("get").or(item.get("post")).cloned().into() };
        match served["paths"].get(path) {
            Some(public) => assert_eq!(ours(public), ours(item), "{path}"),
            None => assert!(internal, "{path} is missing"),
        }
        assert_eq!(internal, served["paths"].get(path).is_none(), "{path}");
    }
    let mut used = BTreeSet::new();
    references(&served, &mut used);
    let served = Document(served);
    for reference in used {
        served.resolved(&json!({"$ref": reference}));
    }
}
