//! Which seats are taken, as choices see it: a snapshot, decided by nobody but the hold.

use common::db::placeholders;
use common::ids::{EventId, SeatId};
use sea_orm::{DbErr, Value};

use super::Store;
use crate::domain::offer::Offer;

/// Seats asked about in one statement.
const ASKED_MAX: usize = 1_000;

impl Store {
    /// Whether each seat of an offer is held or sold, in plan order.
    pub async fn taken(&self, offer: &Offer) -> Result<Vec<bool>, DbErr> {
        let mut taken = vec![false; offer.seats.len()];
        self.mark_taken(offer, "", vec![], &mut taken).await?;
        Ok(taken)
    }

    /// The same of some seats only, by their places in plan order; the others read free.
    pub async fn taken_among(&self, offer: &Offer, seats: &[usize]) -> Result<Vec<bool>, DbErr> {
        let mut taken = vec![false; offer.seats.len()];
        for asked in seats.chunks(ASKED_MAX) {
            let which = format!(" AND seat_id IN ({})", placeholders(asked.len(), 2));
            let ids = asked.iter().map(|at| offer.seats[*at].id.into()).collect();
            self.mark_taken(offer, &which, ids, &mut taken).await?;
        }
        Ok(taken)
    }

    async fn mark_taken(&self, offer: &Offer, which: &str, ids: Vec<Value>, taken: &mut [bool]) -> Result<(), DbErr> {
        let event: EventId = offer.terms.event_id;
        let sql = format!(
            "SELECT seat_id FROM seat_claims
             WHERE event_id = $1{which} AND (expires_at IS NULL OR expires_at > {})",
            self.db.now_sql()
        );
        let values: Vec<Value> = std::iter::once(event.into()).chain(ids).collect();
        for row in self.db.query(self.db.reader(), sql, values).await? {
            let seat: SeatId = row.try_get("", "seat_id")?;
            if let Some((at, _)) = offer.seat(seat) {
                taken[at] = true;
            }
        }
        Ok(())
    }
}
