//! What operators ask for, below `/admin/v1` of the internal listener: one file for each resource.

pub mod dead_letters;
pub mod events;
pub mod jobs;
pub(super) mod replay;
pub mod streams;

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, http::header};
use serde::Serialize;
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::{body, error::ApiError};

/// Where the resources stand.
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

/// The members of a query. One that is not known is refused: a filter that is misspelt would take in
/// all.
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

    /// A member as what it stands for, if it is there.
    fn get<T>(&self, name: &str) -> Result<Option<T>, ApiError>
    where
        T: std::str::FromStr<Err: std::fmt::Display>,
    {
        let raw = self.0.get(name);
        let value = raw.map(|raw| raw.parse().map_err(|rule: T::Err| format!("{rule}")));
        value.transpose().map_err(|rule| ApiError::bad(name, rule))
    }

    /// `limit`: how many entries the page may have.
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

/// The members of a body, taken one by one.
struct Members(Map<String, Value>);

impl Members {
    fn text(&mut self, name: &'static str) -> Result<Option<String>, ApiError> {
        body::text(&mut self.0, name)
    }

    /// A text as what it stands for.
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
        let whole =
            |value: Value| value.as_i64().ok_or(ApiError::bad(name, "must be a whole number"));
        value.map(whole).transpose()
    }

    /// Not set if it is not there.
    fn flag(&mut self, name: &'static str) -> Result<bool, ApiError> {
        match self.0.remove(name) {
            None => Ok(false),
            Some(Value::Bool(set)) => Ok(set),
            Some(_) => Err(ApiError::bad(name, "must be true or false")),
        }
    }

    /// `limit`: how many entries the page may have.
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

    /// Refuses what is left: a filter that is misspelt would take in all.
    fn end(self) -> Result<(), ApiError> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(unknown) => Err(ApiError::bad(unknown, "is no member of this body")),
        }
    }
}
