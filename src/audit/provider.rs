//! The provider's ledger beside payment's steps, reference by reference.

use std::collections::{BTreeMap, BTreeSet};

use common::db::{Db, placeholders};
use sea_orm::{DbErr, Value};
use uuid::Uuid;

use super::Databases;
use super::check::{Found, Offender, Service};

/// Payments or charges read at once.
const PAGE: usize = 200;
/// References asked for in one statement.
const REFERENCES: usize = 500;

/// Where an attempt's money is.
#[derive(Debug, Default, PartialEq, Eq)]
struct Standing {
    held_minor: i64,
    captured_minor: i64,
    refunded_minor: i64,
}

impl Standing {
    fn text(&self) -> String {
        format!("{} held, {} captured, {} refunded", self.held_minor, self.captured_minor, self.refunded_minor)
    }
}

/// What payment's steps say about one reference.
#[derive(Default)]
struct Ours {
    standing: Standing,
    unfinished: bool,
}

/// References about which payment and provider say different things; those with a step under way may.
pub(super) fn disagrees(databases: &Databases) -> Found<'_> {
    Box::pin(async move {
        let mut found = Vec::new();
        let Some(ledger) = &databases.provider else { return Ok(found) };
        let mut after = Uuid::nil();
        while let Some(last) = last_payment(databases, after).await? {
            let ours = ours(databases, after, last).await?;
            let references: Vec<&str> = ours.keys().map(String::as_str).collect();
            let mut theirs = BTreeMap::new();
            for some in references.chunks(REFERENCES) {
                theirs.extend(charges(ledger, some).await?);
            }
            for (reference, ours) in ours.into_iter().filter(|(_, ours)| !ours.unfinished) {
                let theirs = theirs.remove(&reference).unwrap_or_default();
                if ours.standing != theirs {
                    let what = format!("payment says {}; the provider {}", ours.standing.text(), theirs.text());
                    found.push(Offender::new(Service::Provider, "provider_charges", reference, what));
                }
            }
            after = last;
        }
        Ok(found)
    })
}

/// Charges that payment never asked for.
pub(super) fn unknown_to_payment(databases: &Databases) -> Found<'_> {
    Box::pin(async move {
        let mut found = Vec::new();
        let Some(ledger) = &databases.provider else { return Ok(found) };
        let mut after = String::new();
        loop {
            let references = charges_after(ledger, &after).await?;
            let Some(last) = references.last().cloned() else { return Ok(found) };
            let known = known_to_payment(databases, &references).await?;
            for reference in references.into_iter().filter(|reference| !known.contains(reference)) {
                let what = "the provider knows this reference, payment does not";
                found.push(Offender::new(Service::Provider, "provider_charges", reference, what));
            }
            after = last;
        }
    })
}

async fn last_payment(databases: &Databases, after: Uuid) -> Result<Option<Uuid>, DbErr> {
    let db = &databases.payment;
    let sql = format!("SELECT id FROM payments WHERE id > $1 ORDER BY id LIMIT {PAGE}");
    let rows = db.query(db.reader(), sql, [after.into()]).await?;
    rows.last().map(|row| row.try_get("", "id")).transpose()
}

async fn ours(databases: &Databases, after: Uuid, to: Uuid) -> Result<BTreeMap<String, Ours>, DbErr> {
    let db = &databases.payment;
    let sql = "SELECT reference, kind, state, amount_minor FROM provider_steps
        WHERE payment_id > $1 AND payment_id <= $2 ORDER BY payment_id, ordinal";
    let mut found: BTreeMap<String, Ours> = BTreeMap::new();
    for row in db.query(db.reader(), sql, [after.into(), to.into()]).await? {
        let ours = found.entry(row.try_get("", "reference")?).or_default();
        let (kind, state): (String, String) = (row.try_get("", "kind")?, row.try_get("", "state")?);
        let amount_minor: i64 = row.try_get("", "amount_minor")?;
        let standing = &mut ours.standing;
        match (kind.as_str(), state.as_str()) {
            (_, "pending" | "unknown") => ours.unfinished = true,
            ("authorise", "done") => standing.held_minor = amount_minor,
            ("capture", "done") => *standing = Standing { captured_minor: amount_minor, ..Standing::default() },
            // A refused capture ends the reservation.
            ("capture", "failed") | ("void", "done") => standing.held_minor = 0,
            ("refund", "done") => standing.refunded_minor += amount_minor,
            _ => {}
        }
    }
    Ok(found)
}

async fn charges(db: &Db, references: &[&str]) -> Result<BTreeMap<String, Standing>, DbErr> {
    let sql = format!(
        "SELECT reference, CASE WHEN state = 'approved' THEN amount_minor ELSE 0 END AS held_minor, captured_minor,
            refunded_minor FROM provider_charges WHERE reference IN ({})",
        placeholders(references.len(), 1)
    );
    let values = references.iter().map(|reference| Value::from(*reference));
    let rows = db.query(db.reader(), sql, values.collect::<Vec<_>>()).await?;
    let read = |row: &sea_orm::QueryResult| {
        let standing = Standing {
            held_minor: row.try_get("", "held_minor")?,
            captured_minor: row.try_get("", "captured_minor")?,
            refunded_minor: row.try_get("", "refunded_minor")?,
        };
        Ok((row.try_get("", "reference")?, standing))
    };
    rows.iter().map(read).collect()
}

async fn charges_after(db: &Db, after: &str) -> Result<Vec<String>, DbErr> {
    let sql = format!("SELECT reference FROM provider_charges WHERE reference > $1 ORDER BY reference LIMIT {PAGE}");
    let rows = db.query(db.reader(), sql, [after.into()]).await?;
    rows.iter().map(|row| row.try_get("", "reference")).collect()
}

/// Which of the references payment has a step for.
async fn known_to_payment(databases: &Databases, references: &[String]) -> Result<BTreeSet<String>, DbErr> {
    let payment = |reference: &String| reference.rsplit_once('-').and_then(|(id, _)| Uuid::try_parse(id).ok());
    let payments: BTreeSet<Uuid> = references.iter().filter_map(payment).collect();
    if payments.is_empty() {
        return Ok(BTreeSet::new());
    }
    let db = &databases.payment;
    let list = placeholders(payments.len(), 1);
    let sql = format!("SELECT DISTINCT reference FROM provider_steps WHERE payment_id IN ({list})");
    let rows = db.query(db.reader(), sql, payments.into_iter().map(Value::from).collect::<Vec<_>>()).await?;
    rows.iter().map(|row| row.try_get("", "reference")).collect()
}
