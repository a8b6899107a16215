//! `ssfd openapi`: the HTTP interface as a document.

use clap::Args;

use crate::http::openapi;

const EXAMPLES: &str = "Examples:
  ssfd openapi > openapi.json";

/// Print the HTTP interface as an OpenAPI 3.1 document.
///
/// The daemon serves it too: all of it at /openapi.json of its internal listener, and what is for
/// Receivers at /ssf/openapi.json below each issuer.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct OpenApi {}

impl OpenApi {
    pub fn run(self) {
        println!("{:#}", openapi::document());
    }
}
