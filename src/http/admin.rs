//! The admin API, below `/admin/v1` of the internal listener. One file for each resource.

pub mod dead_letters;
pub mod delivery_state;
pub mod devices;
pub mod events;
pub mod explain;
pub mod jobs;
pub(super) mod new_stream;
pub(super) mod replay;
pub mod sources;
pub mod streams;

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, http::header};
use serde::Serialize;
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::{body, error::ApiError};
use crate::domain::json;

/// The path that all resources stand below.
pub const PATH: &str = "/admin/v1";

/// The largest request body, in bytes: a few short members.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// How many entries a page has unless `limit` says otherwise, and at most.
const PAGE_DEFAULT: usize = 100;
pub const PAGE_MAX: usize = 1000;

fn answer(mut response: HttpResponseBuilder, body: impl Serialize) -> HttpResponse {
    response.insert_header((header::CACHE_CONTROL, "no-store")).json(body)
}

fn no_content() -> HttpResponse {
    HttpResponse::NoContent().insert_header((header::CACHE_CONTROL, "no-store")).finish()
}

/// The members of a query. An unknown member is refused, because a filter with a misspelt name would
/// select everything.
struct Query(BTreeMap<&'static str, String>);

impl Query {
    fn parse(request: &HttpRequest, known: &[&'static str]) -> Result<Self, ApiError> {
        let mut members = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(request.query_string().as_bytes()) {
            let Some(known) = known.iter().copied().find(|known| *known == name) else {
                return Err(ApiError::bad(&name, format!("is none of {}", known.join(", "))));
            };
            if members.insert(known, value.into_owned()).is_some() {
                return Err(ApiError::bad(known, "must be given once"));
            }
        }
        Ok(Self(members))
    }

    /// Parses a member, if it is there.
    fn get<T>(&self, name: &str) -> Result<Option<T>, ApiError>
    where
        T: std::str::FromStr<Err: std::fmt::Display>,
    {
        let raw = self.0.get(name);
        let value = raw.map(|raw| raw.parse().map_err(|rule: T::Err| format!("{rule}")));
        value.transpose().map_err(|rule| ApiError::bad(name, rule))
    }

    /// Reads `limit`, the most entries of the page.
    fn limit(&self) -> Result<usize, ApiError> {
        match self.get::<usize>("limit") {
            Ok(None) => Ok(PAGE_DEFAULT),
            Ok(Some(limit)) if (1..=PAGE_MAX).contains(&limit) => Ok(limit),
            Ok(Some(_)) | Err(_) => {
                Err(ApiError::bad("limit", format!("must be a number from 1 to {PAGE_MAX}")))
            }
        }
    }
}

/// The members of a body, which a handler takes out one by one.
struct BodyMembers(Map<String, Value>);

impl BodyMembers {
    fn text(&mut self, name: &'static str) -> Result<Option<String>, ApiError> {
        body::text(&mut self.0, name)
    }

    /// Takes a member of any type. A member that is `null` is absent.
    fn value(&mut self, name: &'static str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    /// Takes a list of texts, if it is there.
    fn texts(&mut self, name: &'static str) -> Result<Option<Vec<String>>, ApiError> {
        let list = self.value(name).map(serde_json::from_value);
        list.transpose().map_err(|_| ApiError::bad(name, "must be a list of texts"))
    }

    /// Takes an object whose members are texts. An object that is absent has none.
    fn pairs(&mut self, name: &'static str) -> Result<Vec<(String, String)>, ApiError> {
        let pairs: Option<Result<BTreeMap<String, String>, _>> =
            self.value(name).map(serde_json::from_value);
        match pairs.transpose() {
            Ok(pairs) => Ok(pairs.unwrap_or_default().into_iter().collect()),
            Err(_) => Err(ApiError::bad(name, "must be an object of texts")),
        }
    }

    /// Parses a text, if it is there.
    fn parsed<T>(&mut self, name: &'static str) -> Result<Option<T>, ApiError>
    where
        T: std::str::FromStr<Err: std::fmt::Display>,
    {
        let raw = self.text(name)?;
        let value = raw.map(|raw| raw.parse().map_err(|rule: T::Err| format!("{rule}")));
        value.transpose().map_err(|rule| ApiError::bad(name, rule))
    }

    fn number(&mut self, name: &'static str) -> Result<Option<i64>, ApiError> {
        let value = self.0.remove(name);
        let whole = |value: Value| {
            let number = || json::whole(&value)?.try_into().ok();
            let number = value.as_i64().or_else(number);
            number.ok_or(ApiError::bad(name, "must be a whole number"))
        };
        value.map(whole).transpose()
    }

    /// Reads a flag. A flag that is absent is not set.
    fn flag(&mut self, name: &'static str) -> Result<bool, ApiError> {
        match self.0.remove(name) {
            None => Ok(false),
            Some(Value::Bool(set)) => Ok(set),
            Some(_) => Err(ApiError::bad(name, "must be true or false")),
        }
    }

    /// Reads `limit`, the most entries of the page.
    fn limit(&mut self) -> Result<usize, ApiError> {
        let limit = self.number("limit")?.map(usize::try_from);
        match limit.transpose() {
            Ok(None) => Ok(PAGE_DEFAULT),
            Ok(Some(limit)) if (1..=PAGE_MAX).contains(&limit) => Ok(limit),
            Ok(Some(_)) | Err(_) => {
                Err(ApiError::bad("limit", format!("must be a number from 1 to {PAGE_MAX}")))
            }
        }
    }

    /// Refuses the members that are left, because a filter with a misspelt name would select
    /// everything.
    fn end(self) -> Result<(), ApiError> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(unknown) => Err(ApiError::bad(unknown, "is no member of this body")),
        }
    }
}
