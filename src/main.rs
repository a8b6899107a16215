//! The command `ssfd`: parse arguments, run the subcommand, choose the exit code.

use std::process::ExitCode;

use clap::Parser;
use ssfd::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match actix::System::new().block_on(cli.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ssfd: {error}");
            ExitCode::FAILURE
        }
    }
}
