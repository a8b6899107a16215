//! Paths that name a systemd credential.
//!
//! systemd puts the credentials of a service into a folder and names the folder in a variable. Every value
//! `credential:NAME` stands for the file of that name there, whichever key it belongs to.

use std::path::Path;

use config::{Value, ValueKind};

/// The beginning of a value that names a credential.
const CREDENTIAL: &str = "credential:";
/// The variable with the folder of the credentials.
pub const FOLDER: &str = "CREDENTIALS_DIRECTORY";

/// Replaces every name of a credential below `key` by its path. Returns the key of the first one that cannot
/// be replaced, and the reason.
pub(super) fn resolve(
    value: &mut Value,
    key: &str,
    folder: Option<&str>,
) -> Result<(), (String, String)> {
    match &mut value.kind {
        ValueKind::String(text) => {
            let Some(name) = text.strip_prefix(CREDENTIAL) else { return Ok(()) };
            match path(name, folder) {
                Ok(path) => *text = path,
                Err(rule) => return Err((key.to_owned(), rule)),
            }
        }
        ValueKind::Table(table) => {
            for (name, value) in table {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                resolve(value, &key, folder)?;
            }
        }
        ValueKind::Array(values) => {
            values.iter_mut().try_for_each(|value| resolve(value, key, folder))?;
        }
        _ => {}
    }
    Ok(())
}

fn path(name: &str, folder: Option<&str>) -> Result<String, String> {
    if name.is_empty() || name.contains('/') || name == ".." {
        return Err(format!("`{CREDENTIAL}{name}` must name a credential, without a slash"));
    }
    let Some(folder) = folder.filter(|folder| !folder.is_empty()) else {
        return Err(format!(
            "names the systemd credential `{name}`, and systemd gave this process no credentials: add \
             `LoadCredential={name}:PATH` to the service, or give a path here to run `ssfd` outside of it"
        ));
    };
    Ok(Path::new(folder).join(name).to_string_lossy().into_owned())
}
