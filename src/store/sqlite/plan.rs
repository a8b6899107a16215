//! How SQLite runs a statement, for tests of what it costs.

use rusqlite::params_from_iter;
use tempfile::TempDir;

use super::{SqliteSettings, connection};

/// The steps in which SQLite runs a statement.
pub(super) fn plan(sql: &str) -> Vec<String> {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("ssfd.db");
    let settings = SqliteSettings { path, ..SqliteSettings::default() };
    let db = connection::open(&settings).expect("opens");
    let mut explain = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("valid");
    let parameters = params_from_iter(vec![0; explain.parameter_count()]);
    let steps = explain.query_map(parameters, |row| row.get(3)).expect("runs");
    steps.collect::<rusqlite::Result<_>>().expect("text")
}
