//! What must hold of booking's database at any quiet moment.

use std::collections::HashMap;

use common::ids::BookingId;
use sea_orm::QueryResult;

use crate::world::World;

/// Every transition there is.
const LEGAL: &[(&str, &str)] = &[
    ("", "HELD"),
    ("HELD", "PAYING"),
    ("HELD", "CONFIRMED"),
    ("HELD", "EXPIRED"),
    ("HELD", "RELEASED"),
    ("HELD", "CANCELLED"),
    ("PAYING", "HELD"),
    ("PAYING", "CONFIRMED"),
    ("PAYING", "EXPIRED"),
    ("PAYING", "CANCELLED"),
    ("CONFIRMED", "CANCELLED"),
    // Check-ins and refunds.
    ("CONFIRMED", "CONFIRMED"),
    ("CANCELLED", "CANCELLED"),
];

impl World {
    /// Fails with the first rule that is broken.
    pub async fn audit(&self) {
        self.counters_equal_their_claims().await;
        self.claims_belong_to_live_bookings().await;
        self.live_bookings_own_their_claims().await;
        self.tickets_are_valid_exactly_while_confirmed().await;
        self.money_back_comes_off_items().await;
        self.facts_are_counted_without_gaps().await;
        self.histories_are_legal_and_complete().await;
    }

    async fn none(&self, rule: &str, sql: &str) {
        let broken = self.count(&format!("SELECT count(*) FROM ({sql}) broken"), []).await;
        assert_eq!(broken, 0, "{rule}");
    }

    async fn counters_equal_their_claims(&self) {
        let sql = "SELECT c.area_id FROM area_counters c WHERE c.taken > c.capacity OR c.taken <> (
            SELECT coalesce(sum(quantity), 0) FROM area_claims a WHERE a.event_id = c.event_id AND a.area_id = c.area_id)";
        self.none("area counters equal their claim rows and stay within capacity", sql).await;
    }

    async fn claims_belong_to_live_bookings(&self) {
        for (table, item) in [("seat_claims", "i.seat_id = c.seat_id"), ("area_claims", "i.area_id = c.area_id")] {
            // A used seat stays taken although its booking was called off.
            let used = format!(
                "SELECT 1 FROM booking_items i JOIN tickets t ON t.item_id = i.id
                 WHERE i.booking_id = b.id AND {item} AND t.used_at IS NOT NULL"
            );
            let sql = format!(
                "SELECT c.booking_id FROM {table} c LEFT JOIN bookings b ON b.id = c.booking_id AND b.fence = c.fence
                 WHERE b.id IS NULL OR CASE WHEN b.state = 'CANCELLED' THEN c.state <> 'sold' OR NOT EXISTS ({used})
                    ELSE NOT b.claims_held OR (c.state = 'sold') <> (b.state = 'CONFIRMED') END"
            );
            self.none(&format!("rows of {table} belong to bookings that hold them"), &sql).await;
        }
    }

    async fn live_bookings_own_their_claims(&self) {
        let sql = format!(
            "SELECT b.id FROM bookings b WHERE b.claims_held
                AND (b.state = 'CONFIRMED' OR coalesce(b.grace_until, b.expires_at) > {})
                AND b.places <> (SELECT count(*) FROM seat_claims s WHERE s.booking_id = b.id AND s.fence = b.fence)
                  + (SELECT coalesce(sum(a.quantity), 0) FROM area_claims a WHERE a.booking_id = b.id AND a.fence = b.fence)",
            self.db.now_sql()
        );
        self.none("live bookings own all they booked", &sql).await;
    }

    async fn tickets_are_valid_exactly_while_confirmed(&self) {
        let sql = "SELECT b.id FROM bookings b WHERE (SELECT count(*) FROM tickets t WHERE t.booking_id = b.id
            AND t.state = 'valid') <> CASE WHEN b.state = 'CONFIRMED' THEN b.places ELSE 0 END";
        self.none("a booking has valid tickets exactly while it is confirmed", sql).await;
        let sql = "SELECT i.id FROM booking_items i JOIN tickets t ON t.item_id = i.id
            WHERE i.cancelled_at IS NOT NULL AND t.state = 'valid'";
        self.none("a cancelled item has no valid ticket", sql).await;
    }

    async fn money_back_comes_off_items(&self) {
        let sql = "SELECT b.id FROM bookings b WHERE
            (SELECT coalesce(sum(r.amount_minor), 0) FROM booking_refunds r WHERE r.booking_id = b.id)
            <> (SELECT sum(i.refunded_minor) FROM booking_items i WHERE i.booking_id = b.id)";
        self.none("refunds asked for are what went off the items", sql).await;
        let sql = "SELECT b.id FROM bookings b WHERE b.state IN ('HELD', 'PAYING', 'CONFIRMED') AND b.places <>
            (SELECT count(*) FROM booking_items i WHERE i.booking_id = b.id AND i.cancelled_at IS NULL)";
        self.none("a live booking counts its live items", sql).await;
        let sql = "SELECT b.id FROM bookings b WHERE (b.kept_at IS NOT NULL) <> (b.cancel_cause IS DISTINCT FROM 'CAPTURE_FAILED'
            AND EXISTS (SELECT 1 FROM booking_items i WHERE i.booking_id = b.id AND i.cancelled_at IS NOT NULL
                AND i.refunded_minor < i.price_minor))";
        self.none("a fee is kept exactly of cancelled items that were not paid back", sql).await;
    }

    async fn facts_are_counted_without_gaps(&self) {
        let sql = "SELECT b.id FROM bookings b WHERE b.sequence <> (SELECT count(*) FROM outbox o WHERE o.aggregate_id = b.id)
            OR b.sequence <> (SELECT max(o.sequence) FROM outbox o WHERE o.aggregate_id = b.id)";
        self.none("facts are counted 1, 2, 3 per booking", sql).await;
    }

    async fn histories_are_legal_and_complete(&self) {
        let sql = "SELECT entity_id, from_state, to_state FROM history ORDER BY position";
        let rows = self.db.query(self.db.reader(), sql, []).await.unwrap();
        let text = |row: &QueryResult, column: &str| -> String { row.try_get("", column).unwrap() };
        let mut states: HashMap<BookingId, String> = HashMap::new();
        for row in &rows {
            let booking: BookingId = row.try_get("", "entity_id").unwrap();
            let (from, to) = (text(row, "from_state"), text(row, "to_state"));
            assert!(LEGAL.contains(&(&from, &to)), "booking {booking}: {from} → {to}");
            assert_eq!(
                states.insert(booking, to).unwrap_or_default(),
                from,
                "booking {booking}: a transition is missing"
            );
        }
        let rows = self.db.query(self.db.reader(), "SELECT id, state FROM bookings", []).await.unwrap();
        for row in &rows {
            let booking: BookingId = row.try_get("", "id").unwrap();
            assert_eq!(
                states.remove(&booking),
                Some(text(row, "state")),
                "booking {booking}: history and state differ"
            );
        }
        assert!(states.is_empty(), "histories without bookings: {states:?}");
    }
}
