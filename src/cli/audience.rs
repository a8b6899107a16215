//! The arguments with the audience of a Receiver.

use clap::Args;

use super::CliError;
use crate::domain::audience::Audience;

#[derive(Debug, Args)]
pub(super) struct AudienceArgs {
    /// The `aud` of those streams; may be given several times, and then `aud` is an array
    #[arg(long, required = true)]
    audience: Vec<String>,
    /// Make `aud` an array even if it has one value, for a Receiver that reads no other form
    #[arg(long)]
    audience_array: bool,
}

impl AudienceArgs {
    pub(super) fn read(self) -> Result<Audience, CliError> {
        let Self { audience, audience_array } = self;
        let read = if audience_array { Audience::list } else { Audience::from_values };
        read(audience).map_err(CliError::new)
    }
}
