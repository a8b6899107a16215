//! The answers of the daemon are those of the document.

use serde_json::{Value, json};

use super::{Document, Operation, Stand};

impl Operation<'_> {
    /// Returns the members of the body with their schemas, and the names of those that are required.
    fn members(&self) -> (Vec<(&str, &Value)>, Vec<&str>) {
        let Some((_, schema, _)) = self.body() else { return (Vec::new(), Vec::new()) };
        let mut schema = self.document.resolved(schema);
        // If the body has several forms, the first one is an object.
        if let Some(first) = schema["anyOf"].get(0) {
            schema = self.document.resolved(first);
        }
        let properties = schema["properties"].as_object().into_iter().flatten();
        let required = schema["required"].as_array().into_iter().flatten();
        (
            properties.map(|(name, schema)| (&**name, schema)).collect(),
            required.filter_map(Value::as_str).collect(),
        )
    }
}

/// Returns a value of a type that the schema does not allow, or `None` if it allows all.
fn of_another_type(document: &Document, schema: &Value) -> Option<Value> {
    let candidates = [json!(-7), json!("x"), json!([{}])];
    let validator = document.validator(schema);
    candidates.into_iter().find(|value| !validator.is_valid(value))
}

#[actix_web::test]
async fn a_valid_request_is_answered_as_documented() {
    let stand = Stand::new().await;
    for operation in stand.document.operations() {
        let stream = stand.stream().await;
        let mut call = operation.call_with(&stand.daemon, &stand.tokens, &stream);
        if let Some(example) = operation.example(&stream) {
            call = operation.with_body(call, &example);
        }
        let answer = call.send().await;
        assert!(answer.status.is_success(), "{}: {}", operation.name(), answer.text());
        operation.assert_documented(&answer);
    }
}

/// RFC 9110 §13.1.2.
#[actix_web::test]
async fn a_document_that_has_not_changed_is_answered_as_documented() {
    let stand = Stand::new().await;
    let documents = stand.document.operations().filter(|operation| operation.documents(304));
    let mut seen = 0;
    for operation in documents {
        let known = operation.call(&stand.daemon, "").header("if-none-match", "*");
        operation.assert_documented(&known.send().await.expect(304));
        seen += 1;
    }
    assert!(0 < seen);
}

/// The operations with a credential require it, and its scope.
#[actix_web::test]
async fn without_its_credential_an_operation_is_refused_as_documented() {
    let stand = Stand::new().await;
    for operation in stand.document.operations() {
        let Some((scheme, scopes)) = operation.security() else { continue };
        // A form is read first, because it may have the credential.
        let form = operation.example("").filter(|_| operation.is_form());
        let call = || {
            let call = operation.call(&stand.daemon, "st_unknown");
            form.iter().fold(call, |call, form| operation.with_body(call, form))
        };
        operation.assert_documented(&call().send().await.expect(401));
        operation.assert_documented(&call().bearer("ssfd_unknown").send().await.expect(401));
        let own = stand.tokens.for_scheme(scheme);
        let twice = call().header("authorization", &own).header("authorization", &own);
        operation.assert_documented(&twice.send().await.expect(400));
        // The credential of another kind.
        let other = match scheme {
            "receiver" => &stand.tokens.publisher,
            _ => &stand.tokens.manager,
        };
        operation.assert_documented(&call().bearer(other).send().await.expect(401));
        let read = call().bearer(&stand.tokens.reader);
        if *scopes == json!(["ssf.manage"]) {
            operation.assert_documented(&read.send().await.expect(403));
        } else if *scopes == json!(["ssf.read"]) {
            assert_ne!(read.send().await.status, 403, "{}", operation.name());
        }
    }
}

/// A member must have its type, and a required member must not be absent.
#[actix_web::test]
async fn a_member_of_another_type_is_refused_as_documented() {
    let stand = Stand::new().await;
    let mut refused = 0;
    for operation in stand.document.operations() {
        let stream = stand.stream().await;
        let Some(example) = operation.example(&stream) else { continue };
        let (mut members, required) = operation.members();
        if operation.is_form() {
            // All members of a form are texts.
            members.clear();
        }
        let wrong = members.iter().filter_map(|(name, schema)| {
            let mut body = example.clone();
            body[*name] = of_another_type(&stand.document, schema)?;
            Some((*name, body))
        });
        let null = required.iter().map(|name| {
            let mut body = example.clone();
            body[*name] = Value::Null;
            (*name, body)
        });
        let missing = required.iter().map(|name| {
            let mut body = example.clone();
            body.as_object_mut().expect("an object").remove(*name);
            (*name, body)
        });
        for (name, body) in wrong.chain(null).chain(missing) {
            let call = operation.call_with(&stand.daemon, &stand.tokens, &stream);
            let answer = operation.with_body(call, &body).send().await;
            assert_eq!(answer.status, 400, "{}: {body}: {}", operation.name(), answer.text());
            operation.assert_documented(&answer);
            assert!(answer.text().contains(name), "{name}: {}", answer.text());
            refused += 1;
        }
    }
    assert!(20 < refused, "{refused}");
}

#[actix_web::test]
async fn an_optional_member_that_is_null_is_absent() {
    let stand = Stand::new().await;
    let mut compared = 0;
    for operation in stand.document.operations().filter(|operation| !operation.is_form()) {
        let stream = stand.stream().await;
        let Some(example) = operation.example(&stream) else { continue };
        let (members, required) = operation.members();
        for (name, _) in members.iter().filter(|(name, _)| !required.contains(name)) {
            let mut absent = example.clone();
            absent.as_object_mut().expect("an object").remove(*name);
            let mut null = absent.clone();
            null[*name] = Value::Null;
            let mut statuses = Vec::new();
            for body in [absent, null] {
                let call = operation.call_with(&stand.daemon, &stand.tokens, &stream);
                let answer = operation.with_body(call, &body).send().await;
                operation.assert_documented(&answer);
                statuses.push(answer.status);
            }
            assert_eq!(statuses[0], statuses[1], "{}: {name}", operation.name());
            compared += 1;
        }
    }
    assert!(20 < compared, "{compared}");
}

/// A member that occurs twice makes a body ambiguous. The same holds for members of objects in it.
#[actix_web::test]
async fn a_member_that_occurs_twice_is_refused_as_documented() {
    let stand = Stand::new().await;
    let mut refused = 0;
    for operation in stand.document.operations().filter(|operation| !operation.is_form()) {
        let stream = stand.stream().await;
        let Some(example) = operation.example(&stream) else { continue };
        for (name, body) in with_a_member_twice(&example) {
            let call = operation.call_with(&stand.daemon, &stand.tokens, &stream);
            let answer = call.body(body.clone()).send().await;
            assert_eq!(answer.status, 400, "{}: {body}: {}", operation.name(), answer.text());
            operation.assert_documented(&answer);
            let refusal = format!("must not have the member `{name}` twice");
            assert!(answer.text().contains(&refusal), "{refusal}: {}", answer.text());
            refused += 1;
        }
    }
    assert!(20 < refused, "{refused}");
}

/// Returns the text of an object once for each of its members, with that member twice, and so for the
/// objects in it.
fn with_a_member_twice(object: &Value) -> Vec<(String, String)> {
    let mut texts = Vec::new();
    for (name, value) in object.as_object().into_iter().flatten() {
        let first = format!("{{{}:{value},", json!(name));
        texts.push((name.clone(), object.to_string().replacen('{', &first, 1)));
        for (inner, text) in with_a_member_twice(value) {
            texts.push((inner, object.to_string().replace(&value.to_string(), &text)));
        }
    }
    texts
}

/// A whole number is an integer however it is written (JSON Schema, Core §4.2.3).
#[actix_web::test]
async fn an_integer_may_have_a_fraction_of_zero() {
    let stand = Stand::new().await;
    let mut compared = 0;
    for operation in stand.document.operations().filter(|operation| !operation.is_form()) {
        let stream = stand.stream().await;
        let Some(example) = operation.example(&stream) else { continue };
        for (name, schema) in operation.members().0 {
            let validator = stand.document.validator(schema);
            if !validator.is_valid(&json!(2)) || validator.is_valid(&json!(2.5)) {
                continue;
            }
            let mut marked = example.clone();
            marked[name] = "number".into();
            let mut statuses = Vec::new();
            for number in ["2", "2.0", "20e-1", "2.5"] {
                let body = marked.to_string().replace("\"number\"", number);
                let call = operation.call_with(&stand.daemon, &stand.tokens, &stream);
                let answer = call.body(body).send().await;
                operation.assert_documented(&answer);
                statuses.push(answer.status.as_u16());
            }
            let plain = statuses[0];
            assert_eq!(statuses, [plain, plain, plain, 400], "{}: {name}", operation.name());
            compared += 1;
        }
    }
    assert!(2 < compared, "{compared}");
}

/// RFC 9110 §15.5.16.
#[actix_web::test]
async fn a_body_with_a_content_coding_is_refused_as_documented() {
    let stand = Stand::new().await;
    for operation in stand.document.operations().filter(|operation| operation.body().is_some()) {
        let stream = stand.stream().await;
        let example = operation.example(&stream).expect("it has a body");
        let coded = |coding| {
            let call = operation.call_with(&stand.daemon, &stand.tokens, &stream);
            operation.with_body(call, &example).header("content-encoding", coding)
        };
        for coding in ["gzip", "br", "deflate, gzip", "identity, gzip"] {
            let answer = coded(coding).send().await.expect(415);
            assert_eq!(answer.header(hyper::header::ACCEPT_ENCODING), "identity");
            operation.assert_documented(&answer);
        }
        let plain = coded("identity").send().await;
        assert!(plain.status.is_success(), "{}: {}", operation.name(), plain.text());
    }
}

#[actix_web::test]
async fn a_stream_that_is_not_there_is_answered_as_documented() {
    let stand = Stand::new().await;
    let mut seen = 0;
    for operation in stand.document.operations().filter(Operation::names_a_stream) {
        let mut call = operation.call_with(&stand.daemon, &stand.tokens, "st_unknown");
        if let Some(example) = operation.example("st_unknown") {
            call = operation.with_body(call, &example);
        }
        operation.assert_documented(&call.send().await.expect(404));
        seen += 1;
    }
    assert!(5 < seen, "{seen}");
}

#[actix_web::test]
async fn a_body_too_large_is_refused_as_documented() {
    let stand = Stand::new().await;
    for operation in stand.document.operations().filter(|operation| operation.body().is_some()) {
        let call = operation.call_with(&stand.daemon, &stand.tokens, "st_unknown");
        let body = json!({"x": "x".repeat(2000)});
        operation.assert_documented(&call.json(&body).send().await.expect(413));
    }
}
