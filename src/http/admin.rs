//! What operators ask for, below `/admin/v1` of the internal listener: one file for each resource.

pub mod streams;

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, http::header};
use serde::Serialize;
use url::form_urlencoded;

use super::error::ApiError;

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
