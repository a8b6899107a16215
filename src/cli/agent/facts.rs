//! The facts of a device, from a file or from a command.

use std::{
    fs::File,
    io::Read,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::{
    task::spawn_blocking,
    time::{sleep, timeout},
};

use crate::{agents::settings::FACTS_BYTES_MAX, cli::CliError};

/// The longest time that a command may take to print the facts.
const COMMAND_TIMEOUT: Duration = Duration::from_mins(1);

/// How often a program that has printed everything is asked whether it has ended.
const EXIT_POLL: Duration = Duration::from_millis(10);

/// Where the facts come from.
#[derive(Debug)]
pub(super) enum FactsFrom {
    File(PathBuf),
    /// A command for the shell.
    Command(String),
}

impl FactsFrom {
    /// Reads the facts, at most as many bytes as any daemon takes.
    pub(super) async fn read(&self) -> Result<String, CliError> {
        let (bytes, place) = match self {
            Self::File(file) => {
                let place = file.display().to_string();
                let failed = |error| CliError::new(format!("{place}: {error}"));
                let read = File::open(file).map_err(failed)?;
                (bounded(read).map_err(failed)?, place.clone())
            }
            Self::Command(command) => (run(command).await?, format!("`{command}`")),
        };
        if FACTS_BYTES_MAX < bytes.len() {
            return Err(CliError::new(format!(
                "{place}: the facts are larger than {FACTS_BYTES_MAX} bytes"
            )));
        }
        let text = String::from_utf8(bytes);
        let text = text.map_err(|_| CliError::new(format!("{place}: the facts are not UTF-8")))?;
        let text = text.trim();
        if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
            return Err(CliError::new(format!("{place}: the facts are no JSON: {error}")));
        }
        Ok(text.to_owned())
    }
}

/// Reads at most one byte more than the bound.
fn bounded(reader: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(FACTS_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Runs a command and returns its output. One that takes too long, or prints too much, is ended.
async fn run(command: &str) -> Result<Vec<u8>, CliError> {
    let failed = |error: std::io::Error| CliError::new(format!("`{command}`: {error}"));
    let mut shell = Command::new("/bin/sh");
    let child = shell.args(["-c", command]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = Running(child.map_err(failed)?);
    let output = child.0.stdout.take().expect("it is piped");
    let reading = async {
        let read = spawn_blocking(move || bounded(output)).await;
        let bytes = read.expect("reading does not panic")?;
        if FACTS_BYTES_MAX < bytes.len() {
            return Ok((bytes, None));
        }
        loop {
            if let Some(status) = child.0.try_wait()? {
                return Ok((bytes, Some(status)));
            }
            sleep(EXIT_POLL).await;
        }
    };
    match timeout(COMMAND_TIMEOUT, reading).await {
        Err(_) => Err(CliError::new(format!(
            "`{command}` took longer than {} s",
            COMMAND_TIMEOUT.as_secs()
        ))),
        Ok(Err(error)) => Err(failed(error)),
        Ok(Ok((_, Some(status)))) if !status.success() => {
            Err(CliError::new(format!("`{command}` ended with {status}")))
        }
        Ok(Ok((bytes, _))) => Ok(bytes),
    }
}

/// A program that is ended with this value, if it has not ended itself.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    async fn read(from: FactsFrom) -> Result<String, String> {
        from.read().await.map_err(|error| error.to_string())
    }

    fn shell(command: &str) -> FactsFrom {
        FactsFrom::Command(command.to_owned())
    }

    #[tokio::test]
    async fn facts_come_from_a_file_or_a_command_and_are_json() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("facts.json");
        fs::write(&file, " {\"a\": 1}\n").expect("writable");
        assert_eq!(read(FactsFrom::File(file)).await.as_deref(), Ok("{\"a\": 1}"));
        assert_eq!(read(shell("echo '{\"b\":2}'")).await.as_deref(), Ok("{\"b\":2}"));
        for (from, error) in [
            (shell("echo nonsense"), "no JSON"),
            (shell("echo '{}'; exit 3"), "exit status: 3"),
            (shell("printf '\\377'"), "not UTF-8"),
            (shell("exec head -c 5000000 /dev/zero"), "larger than"),
            (shell("no-such-program-anywhere"), "exit status: 127"),
            (FactsFrom::File(folder.path().join("none")), "No such file"),
        ] {
            let found = read(from).await.expect_err(error);
            assert!(found.contains(error), "{found}");
        }
    }
}
