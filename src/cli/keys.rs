//! `ssfd keys`: generates and shows the keys that sign SETs.

use std::{
    error::Error,
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use serde_json::json;

use crate::{
    cli::{CliError, output},
    signing::{
        algorithm::Algorithm,
        generate::{GenerateError, RsaBits, generate, generate_rsa},
        keys::SigningKey,
    },
};

/// The most bytes that are read of a key file.
const KEY_FILE_BYTES_MAX: u64 = 64 * 1024;

const ALGORITHM_HELP: &str =
    "RS256, ES256, ES384, ES512 or EdDSA; most Receivers accept RS256 only";

const EXAMPLES: &str = "Examples:
  ssfd keys generate --out keys/default.pem
  ssfd keys generate --algorithm ES256 --out keys/acme.pem
  ssfd keys show keys/default.pem --json";

/// Generate and show the keys that sign SETs
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct KeysCommand {
    #[command(subcommand)]
    command: KeysAction,
}

#[derive(Debug, Subcommand)]
enum KeysAction {
    Generate(GenerateKey),
    Show(ShowKey),
}

/// Generate a private key
#[derive(Debug, Args)]
#[command(after_help = examples!(
    "ssfd keys generate --out keys/default.pem",
    "ssfd keys generate --algorithm ES256 --out keys/acme.pem",
))]
struct GenerateKey {
    #[arg(long, default_value_t = Algorithm::Rs256, help = ALGORITHM_HELP)]
    algorithm: Algorithm,
    /// The size of an RSA key: 2048, 3072 or 4096 [default: 2048]
    #[arg(long)]
    bits: Option<u32>,
    /// The file for the key, which only its owner may read [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Overwrite an existing file
    #[arg(long, requires = "out")]
    force: bool,
}

/// Show the public part of a private key: its id, its algorithm and its JWK
#[derive(Debug, Args)]
#[command(after_help = examples!("ssfd keys show keys/default.pem --json"))]
struct ShowKey {
    /// The PEM file of the private key
    file: PathBuf,
}

impl KeysCommand {
    pub fn run(self, json: bool) -> Result<(), CliError> {
        let text = match self.command {
            KeysAction::Generate(generate) => generate.run(json)?,
            KeysAction::Show(show) => show.run(json)?,
        };
        output::print(text.trim_end())
    }
}

impl GenerateKey {
    fn run(self, json: bool) -> Result<String, CliError> {
        let pem = self.generate()?;
        let key = SigningKey::from_pem(pem.as_bytes()).map_err(CliError::new)?;
        let (kid, algorithm) = (key.kid(), key.algorithm());
        match (self.out, json) {
            (None, false) => Ok(pem),
            (None, true) => {
                Ok(json!({"kid": kid, "algorithm": algorithm, "private_key": pem}).to_string())
            }
            (Some(file), _) => {
                let path = file.display().to_string();
                write(&file, &pem, self.force).map_err(|error| match error.kind() {
                    io::ErrorKind::AlreadyExists if !self.force => {
                        CliError::new(format!("{path} exists already; --force overwrites it"))
                    }
                    _ => in_file(&file, &error),
                })?;
                Ok(if json {
                    json!({"kid": kid, "algorithm": algorithm, "file": path}).to_string()
                } else {
                    format!("{path}: {algorithm} key {kid}")
                })
            }
        }
    }

    fn generate(&self) -> Result<String, CliError> {
        let made = match (self.algorithm, self.bits) {
            (algorithm, None) => generate(algorithm),
            (Algorithm::Rs256, Some(bits)) => RsaBits::try_from(bits).and_then(generate_rsa),
            (other, Some(_)) => {
                return Err(CliError::new(format!(
                    "--bits is for RS256 only, because {other} keys have a fixed size"
                )));
            }
        };
        made.map_err(|error: GenerateError| CliError::new(error))
    }
}

impl ShowKey {
    fn run(self, json: bool) -> Result<String, CliError> {
        let pem = read(&self.file).map_err(|error| in_file(&self.file, &error))?;
        let key = SigningKey::from_pem(&pem).map_err(|error| in_file(&self.file, &error))?;
        let (kid, algorithm, jwk) = (key.kid(), key.algorithm(), key.public_jwk());
        if json {
            return Ok(json!({"kid": kid, "algorithm": algorithm, "jwk": jwk}).to_string());
        }
        let jwk = serde_json::to_string_pretty(jwk).expect("a JWK is strings");
        Ok(format!("kid        {kid}\nalgorithm  {algorithm}\njwk        {jwk}"))
    }
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut pem = Vec::new();
    File::open(file)?.take(KEY_FILE_BYTES_MAX).read_to_end(&mut pem)?;
    Ok(pem)
}

/// Writes a temporary file and renames it, so that the key is never incomplete and never readable
/// by others: a temporary file has mode 0600 from the start.
fn write(file: &Path, pem: &str, force: bool) -> io::Result<()> {
    let folder = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder)?;
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(pem.as_bytes())?;
    new.as_file().sync_all()?;
    if force {
        new.persist(file)?
    } else {
        new.persist_noclobber(file)?
    };
    Ok(())
}

/// Makes an error text of the file, the error and its causes.
fn in_file(file: &Path, error: &(dyn Error + 'static)) -> CliError {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    let causes: Vec<_> = causes.map(ToString::to_string).collect();
    CliError::new(format!("{}: {}", file.display(), causes.join(": ")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use clap::Parser;
    use serde_json::Value;

    use super::*;

    #[derive(Parser)]
    struct TestCli {
        #[command(flatten)]
        keys: KeysCommand,
    }

    fn run(args: &[&str], json: bool) -> Result<String, CliError> {
        let args = ["keys"].iter().chain(args);
        match TestCli::try_parse_from(args).expect("valid arguments").keys.command {
            KeysAction::Generate(generate) => generate.run(json),
            KeysAction::Show(show) => show.run(json),
        }
    }

    #[test]
    fn a_key_goes_to_standard_output_by_default() {
        let pem = run(&["generate", "--algorithm", "es256"], false).expect("a key");
        let key = SigningKey::from_pem(pem.as_bytes()).expect("a usable key");
        assert_eq!(key.algorithm(), Algorithm::Es256);
    }

    #[test]
    fn a_key_file_is_readable_by_its_owner_only_and_is_shown_without_its_secret() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("new/acme.pem");
        let path = file.to_str().expect("UTF-8");
        let args = ["generate", "--algorithm", "EdDSA", "--out", path];
        let written = run(&args, true).expect("written");
        let written: Value = serde_json::from_str(&written).expect("JSON");
        let mode = fs::metadata(&file).expect("written").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let shown = run(&["show", path], true).expect("shown");
        let shown: Value = serde_json::from_str(&shown).expect("JSON");
        assert_eq!((&shown["kid"], &shown["algorithm"]), (&written["kid"], &"EdDSA".into()));
        assert_eq!((&shown["jwk"]["kid"], &shown["jwk"]["d"]), (&written["kid"], &Value::Null));
        let text = run(&["show", path], false).expect("shown");
        assert!(text.contains(written["kid"].as_str().expect("a string")), "{text}");
    }

    #[test]
    fn a_file_is_overwritten_with_force_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("acme.pem");
        let path = file.to_str().expect("UTF-8");
        fs::write(&file, "precious").expect("written");
        let args = ["generate", "--algorithm", "es256", "--out", path, "--force"];
        let error = run(&args[..5], false).expect_err("the file is there");
        assert!(error.to_string().contains("--force overwrites it"), "{error}");
        assert_eq!(fs::read(&file).expect("there"), b"precious");
        run(&args, false).expect("overwritten");
        assert!(SigningKey::from_pem(&fs::read(&file).expect("there")).is_ok());
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
    }

    #[test]
    fn bits_are_for_rsa_only_and_have_three_sizes() {
        let error = run(&["generate", "--bits", "1024"], false).expect_err("too few");
        assert!(error.to_string().contains("2048, 3072 or 4096"), "{error}");
        let args = ["generate", "--algorithm", "ES256", "--bits", "2048"];
        let error = run(&args, false).expect_err("not RSA");
        assert!(error.to_string().contains("--bits is for RS256 only"), "{error}");
    }

    #[test]
    fn the_error_names_the_file_of_an_unusable_key() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/keys/test-rsa-1024-pkcs8.pem");
        let error = run(&["show", file], false).expect_err("too short").to_string();
        assert!(error.starts_with(file) && error.contains("1024 bits"), "{error}");
    }
}
