//! Which troubles of a database pass by themselves: those are UNAVAILABLE to callers, who may try again with the same request
//! id. All others are our own mistakes.

use std::collections::HashMap;

use sea_orm::{DbErr, RuntimeErr, sqlx};

use crate::error::{ErrorKind, Refusal};

/// Classes of SQLSTATE: connection exceptions, transactions that lost against others, no memory, connections or disk left,
/// statements cut by a limit or a shutdown, and the system below PostgreSQL.
const PASSING_CLASSES: [&str; 5] = ["08", "40", "53", "57", "58"];
/// PostgreSQL's `lock_not_available`.
const LOCKED: &str = "55P03";
/// SQLite's primary result codes `BUSY`, `LOCKED`, `IOERR`, `FULL` and `CANTOPEN`.
const PASSING_RESULTS: [u32; 5] = [5, 6, 10, 13, 14];

impl Refusal for DbErr {
    fn kind(&self) -> ErrorKind {
        if passes(self) { ErrorKind::Unavailable } else { ErrorKind::Internal }
    }

    fn reason(&self) -> &'static str {
        if passes(self) { "UNAVAILABLE" } else { "INTERNAL" }
    }

    fn field(&self) -> Option<String> {
        None
    }

    fn metadata(&self) -> HashMap<String, String> {
        HashMap::new()
    }
}

fn passes(error: &DbErr) -> bool {
    if matches!(error, DbErr::ConnectionAcquire(_) | DbErr::Conn(_)) {
        return true;
    }
    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) = error else {
        return false;
    };
    if let sqlx::Error::Database(error) = &**error {
        return error.code().is_some_and(|code| code_passes(&code));
    }
    matches!(
        **error,
        sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
    )
}

/// A SQLSTATE has five characters, an extended result code of SQLite at most four digits with the primary one in its low byte.
fn code_passes(code: &str) -> bool {
    match code.parse::<u32>() {
        Ok(result) if code.len() < 5 => PASSING_RESULTS.contains(&(result & 0xff)),
        Ok(_) | Err(_) => code == LOCKED || PASSING_CLASSES.iter().any(|class| code.starts_with(class)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_by_itself_is_told_from_our_own_mistakes() {
        // Shut down, disk full, deadlock, statement timeout, lock timeout; busy, full, I/O error at a write.
        for code in ["57P01", "53100", "40P01", "57014", "55P03", "5", "13", "778"] {
            assert!(code_passes(code), "{code}");
        }
        // Unique violation, syntax error, no such table; constraint, error.
        for code in ["23505", "42601", "42P01", "1555", "1"] {
            assert!(!code_passes(code), "{code}");
        }
    }

    #[test]
    fn a_pool_without_a_connection_is_unavailable_and_a_broken_row_is_internal() {
        assert_eq!(DbErr::ConnectionAcquire(sea_orm::ConnAcquireErr::Timeout).kind(), ErrorKind::Unavailable);
        assert_eq!(DbErr::Custom("broken row".into()).kind(), ErrorKind::Internal);
    }
}
