//! `ssfd openapi`: prints the HTTP interface as an OpenAPI document.

use clap::Args;

use crate::{
    cli::{CliError, output},
    http::openapi,
};

const EXAMPLES: &str = "Examples:
  ssfd openapi > openapi.json";

/// Print the HTTP interface as an OpenAPI 3.1 document
///
/// The daemon serves the whole document at /openapi.json of its internal listener, and the part for
/// Receivers at /ssf/openapi.json below each issuer.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct OpenApiCommand {}

impl OpenApiCommand {
    pub fn run(self) -> Result<(), CliError> {
        output::print(format_args!("{:#}", openapi::document()))
    }
}
