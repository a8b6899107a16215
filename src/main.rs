//! The command `ssfd`: parses the arguments, runs the subcommand and chooses the exit code.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser;
use ssfd::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match actix::System::new().block_on(cli.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A standard error that takes nothing is no reason to panic.
            writeln!(io::stderr(), "ssfd: {error}").ok();
            ExitCode::FAILURE
        }
    }
}
