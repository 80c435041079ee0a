//! Bookings beside their payments, which share an id, read in step from the two databases.

use std::collections::BTreeMap;

use sea_orm::{DbErr, QueryResult};
use uuid::Uuid;

use super::Databases;
use super::check::{Offender, filled_in};

/// Bookings read at once.
const PAGE: usize = 500;

/// One id on both sides.
pub(super) struct Pair {
    pub id: Uuid,
    pub booking: Option<BookingSide>,
    pub payment: Option<PaymentSide>,
}

/// What booking knows.
pub(super) struct BookingSide {
    pub state: String,
    pub total_minor: i64,
    pub currency: String,
    pub sold_attempt: Option<i64>,
    pub captured: bool,
    /// Facts told.
    pub sequence: i64,
    /// Payment's facts taken.
    pub taken: i64,
    /// Item prices less what was given back of them.
    pub kept_minor: i64,
    /// Whether it ever was confirmed.
    pub issued: bool,
    /// Made more than a minute ago.
    pub settled_in: bool,
    /// Paying, and its grace over long ago.
    pub grace_long_over: bool,
    /// In its state for long.
    pub long_unchanged: bool,
    /// Whether it asked long ago for a refund that is not answered.
    pub refund_long_open: bool,
}

/// What payment knows.
pub(super) struct PaymentSide {
    pub state: String,
    pub amount_minor: i64,
    pub currency: String,
    pub captured_minor: i64,
    /// Refunds done or still to be done.
    pub going_back_minor: i64,
    pub captured_attempt: Option<i64>,
    /// Facts told.
    pub sequence: i64,
    /// Booking's facts taken.
    pub taken: i64,
    /// Steps the provider still has to answer.
    pub unfinished: i64,
    /// Steps that wait for a person.
    pub stuck: i64,
}

impl Pair {
    /// Both sides, once each has taken everything the other told and the provider owes no answer: then they must agree.
    pub(super) fn at_rest(&self) -> Option<(&BookingSide, &PaymentSide)> {
        let (booking, payment) = (self.booking.as_ref()?, self.payment.as_ref()?);
        let quiet = payment.taken == booking.sequence && booking.taken == payment.sequence && payment.unfinished == 0;
        quiet.then_some((booking, payment))
    }
}

const BOOKINGS: &str = "
    SELECT b.id AS id, b.state AS state, b.total_minor AS total_minor, b.currency AS currency, b.captured AS captured,
        b.sequence AS sequence, CAST(b.sold_attempt AS bigint) AS sold_attempt,
        CAST(coalesce((SELECT w.sequence FROM watermarks w WHERE w.consumer = 'booking' AND w.producer = 'payment'
            AND w.aggregate_id = b.id), 0) AS bigint) AS taken,
        CAST(coalesce((SELECT sum(i.price_minor - i.refunded_minor) FROM booking_items i WHERE i.booking_id = b.id), 0)
            AS bigint) AS kept_minor,
        EXISTS (SELECT 1 FROM tickets t WHERE t.booking_id = b.id) AS issued,
        b.created_at < {now} - {minute} AS settled_in,
        coalesce(b.grace_until < {now} - {waiting}, FALSE) AS grace_long_over,
        b.updated_at < {now} - {waiting} AS long_unchanged,
        EXISTS (SELECT 1 FROM booking_refunds r WHERE r.booking_id = b.id AND r.state = 'requested'
            AND r.created_at < {now} - {waiting}) AS refund_long_open
    FROM bookings b WHERE b.id > $1 ORDER BY b.id LIMIT $2";

const PAYMENTS: &str = "
    SELECT p.id AS id, p.state AS state, p.amount_minor AS amount_minor, p.currency AS currency,
        p.captured_minor AS captured_minor, p.sequence AS sequence,
        CAST(coalesce((SELECT sum(r.amount_minor) FROM refunds r WHERE r.payment_id = p.id
            AND r.state IN ('waiting', 'pending', 'done', 'stuck')), 0) AS bigint) AS going_back_minor,
        (SELECT CAST(max(s.attempt) AS bigint) FROM provider_steps s WHERE s.payment_id = p.id AND s.kind = 'capture'
            AND s.state = 'done') AS captured_attempt,
        (SELECT CAST(count(*) AS bigint) FROM provider_steps s WHERE s.payment_id = p.id
            AND s.state IN ('pending', 'unknown')) AS unfinished,
        (SELECT CAST(count(*) AS bigint) FROM provider_steps s WHERE s.payment_id = p.id AND s.state = 'stuck') AS stuck,
        CAST(coalesce((SELECT w.sequence FROM watermarks w WHERE w.consumer = 'payment' AND w.producer = 'booking'
            AND w.aggregate_id = p.id), 0) AS bigint) AS taken
    FROM payments p WHERE p.id > $1 AND p.id <= $2 ORDER BY p.id";

/// Looks at every pair and collects what `judge` has against it.
pub(super) async fn judge_all(
    databases: &Databases,
    judge: impl Fn(&Pair) -> Option<Offender>,
) -> Result<Vec<Offender>, DbErr> {
    let mut found = Vec::new();
    let mut after = Uuid::nil();
    loop {
        let (pairs, last) = page(databases, after).await?;
        found.extend(pairs.iter().filter_map(&judge));
        let Some(last) = last else { return Ok(found) };
        after = last;
    }
}

/// The pairs after an id, and the last one's id while more follow.
async fn page(databases: &Databases, after: Uuid) -> Result<(Vec<Pair>, Option<Uuid>), DbErr> {
    let mut pairs = BTreeMap::new();
    let db = &databases.booking;
    let limit = i64::try_from(PAGE).unwrap_or(i64::MAX);
    for row in db.query(db.reader(), filled_in(db, BOOKINGS), [after.into(), limit.into()]).await? {
        let id: Uuid = row.try_get("", "id")?;
        pairs.insert(id, Pair { id, booking: Some(booking(&row)?), payment: None });
    }
    let last = pairs.keys().last().copied().filter(|_| pairs.len() == PAGE);
    let db = &databases.payment;
    let to = last.unwrap_or(Uuid::max());
    for row in db.query(db.reader(), PAYMENTS, [after.into(), to.into()]).await? {
        let id: Uuid = row.try_get("", "id")?;
        let payment = Some(payment(&row)?);
        pairs.entry(id).or_insert(Pair { id, booking: None, payment: None }).payment = payment;
    }
    Ok((pairs.into_values().collect(), last))
}

fn booking(row: &QueryResult) -> Result<BookingSide, DbErr> {
    Ok(BookingSide {
        state: row.try_get("", "state")?,
        total_minor: row.try_get("", "total_minor")?,
        currency: row.try_get("", "currency")?,
        sold_attempt: row.try_get("", "sold_attempt")?,
        captured: row.try_get("", "captured")?,
        sequence: row.try_get("", "sequence")?,
        taken: row.try_get("", "taken")?,
        kept_minor: row.try_get("", "kept_minor")?,
        issued: row.try_get("", "issued")?,
        settled_in: row.try_get("", "settled_in")?,
        grace_long_over: row.try_get("", "grace_long_over")?,
        long_unchanged: row.try_get("", "long_unchanged")?,
        refund_long_open: row.try_get("", "refund_long_open")?,
    })
}

fn payment(row: &QueryResult) -> Result<PaymentSide, DbErr> {
    Ok(PaymentSide {
        state: row.try_get("", "state")?,
        amount_minor: row.try_get("", "amount_minor")?,
        currency: row.try_get("", "currency")?,
        captured_minor: row.try_get("", "captured_minor")?,
        going_back_minor: row.try_get("", "going_back_minor")?,
        captured_attempt: row.try_get("", "captured_attempt")?,
        sequence: row.try_get("", "sequence")?,
        taken: row.try_get("", "taken")?,
        unfinished: row.try_get("", "unfinished")?,
        stuck: row.try_get("", "stuck")?,
    })
}
