//! Shows how SQLite runs a statement, for tests of its cost.

use rusqlite::params_from_iter;
use tempfile::TempDir;

use super::{SqliteSettings, connection};

/// Tells whether an update finds its rows in this index alone. SQLite explains only queries, so the query
/// with the same condition is explained.
pub(super) fn finds_in(index: &str, update: &str) -> bool {
    let condition = update.find("WHERE").map(|at| &update[at..]).expect("it has a condition");
    let steps = plan(&format!("SELECT seq FROM outbox INDEXED BY {index} {condition}"));
    steps.iter().all(|step| step.contains(&format!("COVERING INDEX {index}")))
}

/// Returns the steps in which SQLite runs a statement.
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
