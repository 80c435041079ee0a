//! `eventix audit`: what must always be true, read from the databases and the provider's ledger. It only reads, and may
//! run beside the product.
//!
//! - `check`: invariants, checks, and how rows that break one are found
//! - `seats`, `tickets`, `money`, `provider`, `endings`, `messages`, `requests`, `history`, `told`, `ledgers`: the checks
//! - `pairs`: bookings beside their payments
//! - `report`: what was found, for people and machines
//!
//! Several databases are no snapshot, so rows that look wrong are read again for a while: only what stays is reported.

mod check;
mod endings;
mod history;
mod ledgers;
mod messages;
mod money;
mod pairs;
mod provider;
mod report;
mod requests;
mod seats;
mod tickets;
mod told;

use std::time::Duration;

use common::db::Db;
use sea_orm::DbErr;
use tokio::time::Instant;

use check::{Check, Invariant};
pub use check::{Offender, Service};
pub use report::{Finding, Report};

/// How long suspicious rows are read again unless told otherwise.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// Between two readings.
const PAUSE: Duration = Duration::from_millis(500);

/// Everything an audit reads.
pub struct Databases {
    /// Events and offers.
    pub catalog: Db,
    /// Bookings, claims, tickets.
    pub booking: Db,
    /// Payments and their ledger.
    pub payment: Db,
    /// The simulated provider's own ledger, where there is one.
    pub provider: Option<Db>,
}

impl Databases {
    fn of(&self, service: Service) -> Option<&Db> {
        match service {
            Service::Catalog => Some(&self.catalog),
            Service::Booking => Some(&self.booking),
            Service::Payment => Some(&self.payment),
            Service::Provider => self.provider.as_ref(),
        }
    }
}

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
#[error("cannot check {invariant} in the database of {}", service.name())]
pub struct AuditError {
    invariant: &'static str,
    service: Service,
    #[source]
    source: DbErr,
}

/// In order.
const INVARIANTS: [&Invariant; 10] = [
    &seats::I1,
    &money::I2,
    &endings::I3,
    &messages::I4,
    &messages::I5,
    &tickets::I6,
    &requests::I7,
    &history::I8,
    &told::I9,
    &ledgers::I10,
];

/// A check whose rows have looked wrong in every reading so far.
struct Suspicion {
    invariant: &'static Invariant,
    check: &'static Check,
    rows: Vec<Offender>,
}

/// Checks every invariant. Rows that look wrong are read again until they are right or `patience` is over.
///
/// # Errors
/// A database cannot be read: nothing is said about any invariant.
pub async fn audit(databases: &Databases, patience: Duration) -> Result<Report, AuditError> {
    let until = Instant::now() + patience;
    let mut suspicions = Vec::new();
    for invariant in INVARIANTS {
        for check in invariant.checks {
            let rows = find(databases, invariant, check).await?;
            suspicions.push(Suspicion { invariant, check, rows });
        }
    }
    suspicions.retain(|suspicion| !suspicion.rows.is_empty());
    while !suspicions.is_empty() && Instant::now() < until {
        tokio::time::sleep_until(until.min(Instant::now() + PAUSE)).await;
        for suspicion in &mut suspicions {
            suspicion.read_again(databases).await?;
        }
        suspicions.retain(|suspicion| !suspicion.rows.is_empty());
    }
    conclude(databases, suspicions).await
}

impl Suspicion {
    /// Keeps what is still wrong, as it is now.
    async fn read_again(&mut self, databases: &Databases) -> Result<(), AuditError> {
        let mut now = find(databases, self.invariant, self.check).await?;
        now.retain(|row| self.rows.iter().any(|before| before.is_same(row)));
        self.rows = now;
        Ok(())
    }
}

async fn find(
    databases: &Databases,
    invariant: &Invariant,
    check: &'static Check,
) -> Result<Vec<Offender>, AuditError> {
    let found = check.find(databases).await;
    found.map_err(|source| AuditError { invariant: invariant.id, service: check.service, source })
}

async fn conclude(databases: &Databases, suspicions: Vec<Suspicion>) -> Result<Report, AuditError> {
    let mut findings = Vec::new();
    for invariant in INVARIANTS {
        let mut checked = 0;
        for (service, table) in invariant.tables() {
            let Some(db) = databases.of(service) else { continue };
            let counted = check::count(db, table).await;
            checked += counted.map_err(|source| AuditError { invariant: invariant.id, service, source })?;
        }
        findings.push(Finding::new(invariant.id, invariant.meaning, checked));
    }
    for Suspicion { invariant, rows, .. } in suspicions {
        if let Some(finding) = findings.iter_mut().find(|finding| finding.id == invariant.id) {
            finding.add(rows);
        }
    }
    Ok(Report::new(findings, databases.provider.is_some()))
}
