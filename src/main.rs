//! The command `ssfd`: parses the arguments, runs the subcommand and chooses the exit code.

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
