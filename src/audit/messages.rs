//! I4 and I5: every fact goes out in time and takes effect once per consumer.

use std::collections::HashSet;

use common::db::{Db, placeholders};
use sea_orm::{DbErr, Value};
use uuid::Uuid;

use super::Databases;
use super::check::{Check, Found, Invariant, Offender, Service, filled_in};
use super::pairs;

/// Facts read at once.
const PAGE: usize = 500;

/// Facts in.
pub(super) const I4: Invariant = Invariant {
    id: "I4",
    meaning: "each fact takes effect once per consumer, in order and without holes",
    checks: &[
        Check::rows(Service::Booking, "inbox", TAKEN_TWICE),
        Check::rows(Service::Payment, "inbox", TAKEN_TWICE),
        Check::young_rows(Service::Booking, "watermarks", HOLES),
        Check::young_rows(Service::Payment, "watermarks", HOLES),
        Check::rows(Service::Booking, "inbox", BEYOND_WATERMARK),
        Check::rows(Service::Payment, "inbox", BEYOND_WATERMARK),
        Check::across(Service::Booking, "outbox", |databases| {
            Box::pin(not_taken(databases, Service::Booking, Service::Payment))
        }),
        Check::across(Service::Payment, "outbox", |databases| {
            Box::pin(not_taken(databases, Service::Payment, Service::Booking))
        }),
        Check::across(Service::Catalog, "outbox", |databases| {
            Box::pin(not_taken(databases, Service::Catalog, Service::Booking))
        }),
        Check::across(Service::Booking, "watermarks", taken_but_never_told),
    ],
};

/// Facts out, and how far consumers are.
pub(super) const I5: Invariant = Invariant {
    id: "I5",
    meaning: "no fact waits longer than a minute to be published or behind a missing one, and consumers stand where a log can be",
    checks: &[
        Check::rows(Service::Catalog, "outbox", UNPUBLISHED),
        Check::rows(Service::Booking, "outbox", UNPUBLISHED),
        Check::rows(Service::Payment, "outbox", UNPUBLISHED),
        Check::rows(Service::Booking, "parked", PARKED),
        Check::rows(Service::Payment, "parked", PARKED),
        Check::rows(Service::Booking, "consumer_offsets", OFFSETS),
        Check::rows(Service::Payment, "consumer_offsets", OFFSETS),
    ],
};

const TAKEN_TWICE: &str = "
    SELECT aggregate_id AS id, 'fact ' || sequence || ' of ' || producer || ' took effect ' || count(*) || ' times' AS what
    FROM inbox GROUP BY consumer, producer, aggregate_id, sequence HAVING count(*) > 1";

/// Discarded dead letters explain what is missing.
const HOLES: &str = "
    SELECT w.aggregate_id AS id, 'up to fact ' || w.sequence || ' of ' || w.producer || ' everything counts as taken, but '
        || coalesce(i.taken, 0) || ' facts took effect and ' || coalesce(d.discarded, 0) || ' were discarded' AS what
    FROM watermarks w
    LEFT JOIN (SELECT consumer, producer, aggregate_id, count(DISTINCT sequence) AS taken FROM inbox
        GROUP BY consumer, producer, aggregate_id) i
        ON i.consumer = w.consumer AND i.producer = w.producer AND i.aggregate_id = w.aggregate_id
    LEFT JOIN (SELECT l.consumer, l.producer, l.aggregate_id, count(DISTINCT l.sequence) AS discarded FROM dead_letters l
        WHERE l.status = 'discarded' AND l.settled_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM inbox t
            WHERE t.consumer = l.consumer AND t.producer = l.producer AND t.aggregate_id = l.aggregate_id
            AND t.sequence = l.sequence)
        GROUP BY l.consumer, l.producer, l.aggregate_id) d
        ON d.consumer = w.consumer AND d.producer = w.producer AND d.aggregate_id = w.aggregate_id
    WHERE coalesce(i.taken, 0) + coalesce(d.discarded, 0) <> w.sequence";

const BEYOND_WATERMARK: &str = "
    SELECT i.fact_id AS id, i.aggregate_id AS other,
        'fact ' || i.sequence || ' of {other} took effect, but the watermark of ' || i.producer || ' is below it' AS what
    FROM inbox i WHERE NOT EXISTS (SELECT 1 FROM watermarks w WHERE w.consumer = i.consumer AND w.producer = i.producer
        AND w.aggregate_id = i.aggregate_id AND w.sequence >= i.sequence)";

const UNPUBLISHED: &str = "
    SELECT id, aggregate_id AS other, kind || ' ' || sequence || ' of {other} waits for '
        || (({now} - occurred_at) / 1000000) || ' s to be published' AS what
    FROM outbox WHERE published_at IS NULL AND occurred_at < {now} - {minute}";

const PARKED: &str = "
    SELECT p.fact_id AS id, p.aggregate_id AS other, 'fact ' || p.sequence || ' of {other} waits for '
        || (({now} - p.parked_at) / 1000000) || ' s behind ' || CASE WHEN EXISTS (SELECT 1 FROM dead_letters d
            WHERE d.consumer = p.consumer AND d.producer = p.producer AND d.aggregate_id = p.aggregate_id
            AND d.settled_at IS NULL) THEN 'a dead letter' ELSE 'a missing fact' END AS what
    FROM parked p WHERE p.parked_at < {now} - {minute}";

const OFFSETS: &str = "
    SELECT topic || '/' || log_partition AS name, CASE
        WHEN next_offset < 0 THEN 'stands at offset ' || next_offset
        WHEN incarnation < 1 THEN 'reads incarnation ' || incarnation
        ELSE 'is still asking the producer for everything' END AS what
    FROM consumer_offsets WHERE next_offset < 0 OR incarnation < 1 OR recovering = TRUE";

/// Published more than a minute ago; older than six days, the inbox may have forgotten them.
const PUBLISHED: &str = "
    SELECT position, id, aggregate_id, sequence, kind FROM outbox
    WHERE position > $1 AND published_at IS NOT NULL AND occurred_at < {now} - {minute}
        AND occurred_at > {now} - 518400000000
    ORDER BY position LIMIT $2";

struct Told {
    id: Uuid,
    aggregate_id: Uuid,
    sequence: i64,
    kind: String,
}

/// Facts of `producer` that were published but took no effect in `consumer`, and are neither parked nor dead letters.
async fn not_taken(databases: &Databases, producer: Service, consumer: Service) -> Result<Vec<Offender>, DbErr> {
    let mut found = Vec::new();
    let mut after = 0;
    let (Some(outbox), Some(inbox)) = (databases.of(producer), databases.of(consumer)) else { return Ok(found) };
    loop {
        let (told, last) = told_after(outbox, after).await?;
        if told.is_empty() {
            return Ok(found);
        }
        let taken = taken(inbox, consumer, &told).await?;
        for fact in told.into_iter().filter(|fact| !taken.contains(&fact.id)) {
            if !is_put_aside(inbox, &fact).await? {
                let Told { id, aggregate_id, sequence, kind } = fact;
                let what =
                    format!("{kind} {sequence} of {aggregate_id} was published but not taken by {}", consumer.name());
                found.push(Offender::new(producer, "outbox", id, what));
            }
        }
        after = last;
    }
}

async fn told_after(db: &Db, after: i64) -> Result<(Vec<Told>, i64), DbErr> {
    let limit = i64::try_from(PAGE).unwrap_or(i64::MAX);
    let mut told = Vec::new();
    let mut last = after;
    for row in db.query(db.reader(), filled_in(db, PUBLISHED), [after.into(), limit.into()]).await? {
        last = row.try_get("", "position")?;
        told.push(Told {
            id: row.try_get("", "id")?,
            aggregate_id: row.try_get("", "aggregate_id")?,
            sequence: row.try_get("", "sequence")?,
            kind: row.try_get("", "kind")?,
        });
    }
    Ok((told, last))
}

async fn taken(db: &Db, consumer: Service, told: &[Told]) -> Result<HashSet<Uuid>, DbErr> {
    let list = placeholders(told.len(), 2);
    let sql = format!("SELECT fact_id FROM inbox WHERE consumer = $1 AND fact_id IN ({list})");
    let mut values: Vec<Value> = vec![consumer.name().into()];
    values.extend(told.iter().map(|fact| Value::from(fact.id)));
    db.query(db.reader(), sql, values).await?.iter().map(|row| row.try_get("", "fact_id")).collect()
}

async fn is_put_aside(db: &Db, fact: &Told) -> Result<bool, DbErr> {
    let sql = "SELECT aggregate_id FROM parked WHERE aggregate_id = $1 AND sequence = $2
        UNION ALL SELECT aggregate_id FROM dead_letters WHERE aggregate_id = $1 AND sequence = $2";
    Ok(!db.query(db.reader(), sql, [fact.aggregate_id.into(), fact.sequence.into()]).await?.is_empty())
}

fn taken_but_never_told(databases: &Databases) -> Found<'_> {
    Box::pin(pairs::judge_all(databases, |pair| {
        let (booking, payment) = (pair.booking.as_ref()?, pair.payment.as_ref()?);
        let what = if payment.taken > booking.sequence {
            format!("payment took fact {}, but booking told only {}", payment.taken, booking.sequence)
        } else if booking.taken > payment.sequence {
            format!("booking took fact {}, but payment told only {}", booking.taken, payment.sequence)
        } else {
            return None;
        };
        Some(Offender::new(Service::Booking, "watermarks", pair.id, what))
    }))
}
