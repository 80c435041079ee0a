//! I7: remembered requests. An answer stands for the one effect that its request had.

use std::collections::{BTreeSet, HashMap, HashSet};

use common::db::placeholders;
use common::proto::booking::v1::Booking;
use prost::Message;
use sea_orm::{DbErr, Value};
use uuid::Uuid;

use super::Databases;
use super::check::{Check, Found, Invariant, Offender, Service, filled_in};

/// Requests read at once.
const PAGE: usize = 500;

/// Requests.
pub(super) const I7: Invariant = Invariant {
    id: "I7",
    meaning: "each request id had at most one effect, and its remembered answer is that effect",
    checks: &[
        Check::rows(Service::Catalog, "requests", UNANSWERED),
        Check::rows(Service::Booking, "requests", UNANSWERED),
        Check::rows(Service::Payment, "requests", UNANSWERED),
        Check::across(Service::Booking, "requests", wrong_answers),
        Check::across(Service::Booking, "bookings", held_without_request),
    ],
};

const UNANSWERED: &str = "
    SELECT scope || ' ' || request_id AS name, 'has no answer since ' || (({now} - created_at) / 1000000) || ' s' AS what
    FROM requests WHERE answer IS NULL AND created_at < {now} - {minute}";

/// Check-ins are answered with tickets, everything else with bookings.
const ANSWERED: &str = "
    SELECT scope, request_id, answer FROM requests
    WHERE answer IS NOT NULL AND scope NOT LIKE 'check_in/%' AND (scope > $1 OR (scope = $1 AND request_id > $2))
    ORDER BY scope, request_id LIMIT $3";

/// Operations that make a booking.
const HOLDS: [&str; 2] = ["hold", "hold-best"];

/// Holds younger than what is remembered.
const HELD_TODAY: &str = "SELECT id FROM bookings WHERE created_at > {now} - 82800000000 ORDER BY id";

/// One remembered request.
struct Answered {
    scope: String,
    request_id: String,
    answer: Vec<u8>,
}

impl Answered {
    fn booking(&self) -> Option<(Uuid, Booking)> {
        let booking = Booking::decode(self.answer.as_slice()).ok()?;
        Some((Uuid::try_parse(&booking.id).ok()?, booking))
    }

    fn offends(&self, what: impl Into<String>) -> Offender {
        Offender::new(Service::Booking, "requests", format!("{} {}", self.scope, self.request_id), what)
    }

    /// Who held with it; `None` for other operations.
    fn holder(&self) -> Option<&str> {
        let (operation, subject) = self.scope.split_once('/')?;
        HOLDS.contains(&operation).then_some(subject)
    }
}

fn wrong_answers(databases: &Databases) -> Found<'_> {
    Box::pin(async move {
        let mut found = Vec::new();
        let mut held = HashSet::new();
        let mut after = (String::new(), String::new());
        loop {
            let page = answered_after(databases, &after).await?;
            let Some(last) = page.last() else { return Ok(found) };
            after = (last.scope.clone(), last.request_id.clone());
            let owners = owners(databases, &page).await?;
            found.extend(page.iter().filter_map(|request| fault(request, &owners, &mut held)));
        }
    })
}

/// Customers of the bookings that requests were answered with.
async fn owners(databases: &Databases, page: &[Answered]) -> Result<HashMap<Uuid, String>, DbErr> {
    let ids: HashSet<Uuid> = page.iter().filter_map(Answered::booking).map(|(id, _)| id).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let db = &databases.booking;
    let sql = format!("SELECT id, customer_id FROM bookings WHERE id IN ({})", placeholders(ids.len(), 1));
    let rows = db.query(db.reader(), sql, ids.into_iter().map(Value::from).collect::<Vec<_>>()).await?;
    rows.iter().map(|row| Ok((row.try_get("", "id")?, row.try_get("", "customer_id")?))).collect()
}

fn fault(request: &Answered, owners: &HashMap<Uuid, String>, held: &mut HashSet<Uuid>) -> Option<Offender> {
    let Some((id, booking)) = request.booking() else {
        return Some(request.offends("its answer is no booking"));
    };
    let Some(owner) = owners.get(&id) else {
        return Some(request.offends(format!("its answer is booking {id}, which does not exist")));
    };
    if *owner != booking.customer_id || request.holder().is_some_and(|holder| holder != owner) {
        return Some(request.offends(format!("its answer is booking {id}, which is another customer's")));
    }
    let twice = request.holder().is_some() && !held.insert(id);
    twice.then(|| request.offends(format!("its answer is booking {id}, like another request's")))
}

/// A hold that no remembered request explains was made twice for one of them.
fn held_without_request(databases: &Databases) -> Found<'_> {
    Box::pin(async move {
        // Bookings first: what is held meanwhile is then among the requests.
        let db = &databases.booking;
        let rows = db.query(db.reader(), filled_in(db, HELD_TODAY), []).await?;
        let mut unexplained: BTreeSet<Uuid> =
            rows.iter().map(|row| row.try_get("", "id")).collect::<Result<_, DbErr>>()?;
        let mut after = ("hold".to_owned(), String::new());
        while !unexplained.is_empty() {
            let page = answered_after(databases, &after).await?;
            let Some(last) = page.last() else { break };
            after = (last.scope.clone(), last.request_id.clone());
            for (id, _) in page.iter().filter(|request| request.holder().is_some()).filter_map(Answered::booking) {
                unexplained.remove(&id);
            }
        }
        let offender = |id| Offender::new(Service::Booking, "bookings", id, "no remembered request made it");
        Ok(unexplained.into_iter().map(offender).collect())
    })
}

async fn answered_after(databases: &Databases, after: &(String, String)) -> Result<Vec<Answered>, DbErr> {
    let db = &databases.booking;
    let limit = i64::try_from(PAGE).unwrap_or(i64::MAX);
    let values = [after.0.clone().into(), after.1.clone().into(), limit.into()];
    let rows = db.query(db.reader(), ANSWERED, values).await?;
    let read = |row: &sea_orm::QueryResult| {
        Ok(Answered {
            scope: row.try_get("", "scope")?,
            request_id: row.try_get("", "request_id")?,
            answer: row.try_get("", "answer")?,
        })
    };
    rows.iter().map(read).collect()
}
