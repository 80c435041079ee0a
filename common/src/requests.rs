//! Remembered requests (AIP-155): same id and same request, at most one effect and its answer again; another request is
//! refused. Remembered for 24 hours, scoped by caller and operation. A refusal that changed nothing is not remembered,
//! because its transaction rolls back.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DbErr};

use crate::db::Db;
use crate::error::{ErrorKind, Refusal};

/// Longest request id, characters.
const REQUEST_ID_MAX: usize = 255;
/// Characters that no person can see and Unicode calls neither control nor white space.
const INVISIBLE: [char; 6] = ['\u{200b}', '\u{200c}', '\u{200d}', '\u{200e}', '\u{200f}', '\u{feff}'];
/// How long answers are remembered.
const REMEMBERED: chrono::Duration = chrono::Duration::hours(24);

/// What a request id turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Nobody used it: do the work, then [`answer`].
    New,
    /// The same request was answered before.
    Answered(Vec<u8>),
    /// Another request used it.
    Different,
}

/// Why a request id is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestIdError {
    /// Wrong shape.
    #[error("a request id is 1 to 255 printable characters")]
    Malformed,
    /// Used before for another request.
    #[error("this idempotency key was used for another request")]
    Conflict,
}

impl Refusal for RequestIdError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Malformed => ErrorKind::InvalidInput,
            Self::Conflict => ErrorKind::Conflict,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Malformed => "INVALID_INPUT",
            Self::Conflict => "IDEMPOTENCY_CONFLICT",
        }
    }

    fn field(&self) -> Option<String> {
        Some("request_id".into())
    }

    fn metadata(&self) -> HashMap<String, String> {
        HashMap::new()
    }
}

/// Whether a text may be a request id: 1 to 255 characters that can be seen, or spaces between them.
pub fn is_request_id(text: &str) -> bool {
    let length = text.chars().count();
    let hidden = |c: char| c.is_control() || (c.is_whitespace() && c != ' ') || INVISIBLE.contains(&c);
    (1..=REQUEST_ID_MAX).contains(&length) && !text.chars().any(hidden) && !text.trim().is_empty()
}

/// A request id of the right shape, with what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestKey {
    /// Caller and operation.
    pub scope: String,
    /// The caller's id.
    pub id: String,
    /// SHA-256 of the request without its id, hex.
    pub fingerprint: String,
}

impl RequestKey {
    /// Checks the id and takes the fingerprint of `request`, which must be encoded without its id.
    pub fn new(subject: &str, operation: &str, id: &str, request: &[u8]) -> Result<Self, RequestIdError> {
        if !is_request_id(id) {
            return Err(RequestIdError::Malformed);
        }
        let digest = ring::digest::digest(&ring::digest::SHA256, request);
        let fingerprint = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { scope: format!("{operation}/{subject}"), id: id.to_owned(), fingerprint })
    }

    /// The operation alone, for histories.
    pub fn operation(&self) -> &str {
        self.scope.split('/').next().unwrap_or_default()
    }
}

/// Claims a request id inside the transaction of its work. A twin waits here for the first one's outcome.
pub async fn claim(db: &Db, transaction: &impl ConnectionTrait, key: &RequestKey) -> Result<Claim, DbErr> {
    let sql = format!(
        "INSERT INTO requests (scope, request_id, fingerprint, created_at) VALUES ($1, $2, $3, {})
         ON CONFLICT (scope, request_id) DO NOTHING",
        db.now_sql()
    );
    let values = [key.scope.clone().into(), key.id.clone().into(), key.fingerprint.clone().into()];
    let inserted = db.execute(transaction, sql, values).await?;
    if inserted == 1 {
        return Ok(Claim::New);
    }
    match find(db, transaction, key).await? {
        Claim::New => Err(DbErr::RecordNotFound("requests row vanished".into())),
        known @ (Claim::Answered(_) | Claim::Different) => Ok(known),
    }
}

/// What a request id turned out to be, without claiming it.
pub async fn find(db: &Db, connection: &impl ConnectionTrait, key: &RequestKey) -> Result<Claim, DbErr> {
    let sql = "SELECT fingerprint, answer FROM requests WHERE scope = $1 AND request_id = $2";
    let rows = db.query(connection, sql, [key.scope.clone().into(), key.id.clone().into()]).await?;
    let Some(row) = rows.first() else { return Ok(Claim::New) };
    if row.try_get::<String>("", "fingerprint")? != key.fingerprint {
        return Ok(Claim::Different);
    }
    let answer: Option<Vec<u8>> = row.try_get("", "answer")?;
    Ok(Claim::Answered(answer.unwrap_or_default()))
}

/// Remembers the answer, in the same transaction.
pub async fn answer(
    db: &Db,
    transaction: &impl ConnectionTrait,
    key: &RequestKey,
    answer: Vec<u8>,
) -> Result<(), DbErr> {
    let sql = "UPDATE requests SET answer = $3 WHERE scope = $1 AND request_id = $2";
    db.execute(transaction, sql, [key.scope.clone().into(), key.id.clone().into(), answer.into()]).await?;
    Ok(())
}

/// Forgets what is older than 24 hours.
pub async fn forget_old(db: &Db) -> Result<u64, DbErr> {
    let before = db.now(db.reader()).await? - REMEMBERED;
    let sql = "DELETE FROM requests WHERE created_at < $1";
    db.execute(db.writer(), sql, [before.timestamp_micros().into()]).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_can_be_seen() {
        for good in ["a", "order 7", "ключ", &"x".repeat(255)] {
            assert!(is_request_id(good), "{good:?}");
        }
        for bad in ["", " ", "a\nb", "a\u{a0}b", "\u{200b}", "a\u{2028}", &"x".repeat(256)] {
            assert!(!is_request_id(bad), "{bad:?}");
        }
    }
}
