//! Accounts that opted out of RISC.

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::domain::{opt_out::OptOut, subject::keys::SubjectKey};

const FIND: &str = "SELECT account FROM opted_out WHERE filed = ?1";

const FILE: &str = "INSERT INTO opted_out (filed, account) VALUES (?1, ?2)
    ON CONFLICT (filed) DO UPDATE SET account = excluded.account";

const MERGE: &str = "UPDATE opted_out INDEXED BY opted_out_account SET account = ?2
    WHERE account = ?1";

const REMOVE: &str = "DELETE FROM opted_out INDEXED BY opted_out_account WHERE account = ?1";

/// Applies an event's effect on opting out. Returns whether the event is withheld from every stream.
pub(super) fn judge(db: &Connection, event: &OptOut) -> rusqlite::Result<bool> {
    match event {
        OptOut::Begins(account) => begin(db, account).map(|()| false),
        OptOut::Ends(account) => end(db, account).map(|()| false),
        OptOut::Respected(accounts) => is_any(db, accounts),
    }
}

/// Opts an account out. An account that is known by some of these identifiers is known by all of them from
/// now on.
fn begin(db: &Connection, identifiers: &[SubjectKey]) -> rusqlite::Result<()> {
    let Some(account) = identifiers.first() else { return Ok(()) };
    for known in identifiers {
        if let Some(known) = find(db, known)? {
            db.prepare_cached(MERGE)?.execute(params![known, account.0])?;
        }
    }
    let mut file = db.prepare_cached(FILE)?;
    for identifier in identifiers {
        file.execute(params![identifier.0, account.0])?;
    }
    Ok(())
}

/// Opts an account in: removes all of its identifiers, also those that are not named here.
fn end(db: &Connection, identifiers: &[SubjectKey]) -> rusqlite::Result<()> {
    for identifier in identifiers {
        if let Some(account) = find(db, identifier)? {
            db.prepare_cached(REMOVE)?.execute([account])?;
        }
    }
    Ok(())
}

pub(super) fn is_any(db: &Connection, accounts: &[SubjectKey]) -> rusqlite::Result<bool> {
    for account in accounts {
        if find(db, account)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn find(db: &Connection, identifier: &SubjectKey) -> rusqlite::Result<Option<[u8; 16]>> {
    db.prepare_cached(FIND)?.query_row([identifier.0], |row| row.get(0)).optional()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::plan::plan;

    #[test]
    fn an_account_is_found_at_once() {
        for sql in [FIND, MERGE, REMOVE] {
            let steps = plan(sql);
            assert!(!steps.iter().any(|step| step.contains("SCAN opted_out")), "{steps:?}");
        }
    }
}
