//! Events and their offers: an older version never replaces a newer one, and no offer clears a cancelled mark.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use common::clock::from_micros;
use common::db::{placeholders, rows_of_placeholders};
use common::failpoint::{self, Step};
use common::ids::{BookingId, EventId};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, Value};

use super::Store;
use super::rows::broken;
use crate::domain::booking::EventCheck;
use crate::domain::offer::{Offer, OfferArea};
use crate::domain::policy::Policy;
use crate::infrastructure::wire;

/// Wanted versions fetched in one round.
const WANTED_MAX: u32 = 50;

/// What booking knows of an event.
#[derive(Debug, Clone, Copy)]
pub struct KnownEvent {
    /// Version of the offer it sells from; 0: none yet.
    pub offer_version: i64,
    /// Seats plus area places of that offer.
    pub places: u32,
}

impl Store {
    /// An event's row, if it was ever heard of.
    pub async fn known_event(&self, event: EventId) -> Result<Option<KnownEvent>, DbErr> {
        Ok(self.known_events(&[event]).await?.remove(&event))
    }

    /// The rows of those events that were ever heard of.
    pub async fn known_events(&self, events: &[EventId]) -> Result<HashMap<EventId, KnownEvent>, DbErr> {
        if events.is_empty() {
            return Ok(HashMap::new());
        }
        let sql = format!(
            "SELECT event_id, offer_version, places FROM events WHERE event_id IN ({})",
            placeholders(events.len(), 1)
        );
        let ids: Vec<Value> = events.iter().map(|id| (*id).into()).collect();
        let mut known = HashMap::new();
        for row in self.db.query(self.db.reader(), sql, ids).await? {
            let places: i64 = row.try_get("", "places")?;
            let places = u32::try_from(places).unwrap_or(u32::MAX);
            let event = KnownEvent { offer_version: row.try_get("", "offer_version")?, places };
            known.insert(row.try_get("", "event_id")?, event);
        }
        Ok(known)
    }

    /// What transitions need to know of the event.
    pub async fn event_check(&self, connection: &impl ConnectionTrait, event: EventId) -> Result<EventCheck, DbErr> {
        let sql = "SELECT starts_at, cancelled_at FROM events WHERE event_id = $1";
        let rows = self.db.query(connection, sql, [event.into()]).await?;
        let row = rows.first().ok_or_else(|| DbErr::RecordNotFound(format!("event {event}")))?;
        let cancelled_at: Option<i64> = row.try_get("", "cancelled_at")?;
        Ok(EventCheck {
            cancelled_at: cancelled_at.map(from_micros),
            starts_at: from_micros(row.try_get("", "starts_at")?),
        })
    }

    /// Notes that an offer is wanted; the fetcher fills it.
    pub async fn want_offer(
        &self,
        transaction: &DatabaseTransaction,
        event: EventId,
        version: i64,
    ) -> Result<(), DbErr> {
        let sql =
            "INSERT INTO events (event_id, offer_version, wanted_version, starts_at, sale_starts_at, sale_ends_at,
                per_customer_limit, places) VALUES ($1, 0, $2, 0, 0, 0, 0, 0)
            ON CONFLICT (event_id) DO UPDATE SET wanted_version = excluded.wanted_version
            WHERE events.wanted_version < excluded.wanted_version";
        self.db.execute(transaction, sql, [event.into(), version.into()]).await?;
        Ok(())
    }

    /// Marks an event cancelled since then; the sweeper ends its bookings. Whoever knows of an earlier instant moves the mark
    /// back to it: what was kept of bookings since goes back.
    pub async fn mark_cancelled(
        &self,
        transaction: &DatabaseTransaction,
        event: EventId,
        since: DateTime<Utc>,
    ) -> Result<(), DbErr> {
        self.want_offer(transaction, event, 0).await?;
        let sql =
            "UPDATE events SET cancelled_at = $2 WHERE event_id = $1 AND (cancelled_at IS NULL OR cancelled_at > $2)";
        self.db.execute(transaction, sql, [event.into(), since.timestamp_micros().into()]).await?;
        Ok(())
    }

    /// Marks an event cancelled ahead of its fact.
    pub async fn stop_selling(&self, event: EventId) -> Result<(), DbErr> {
        let transaction = self.db.begin().await?;
        let now = self.db.now(&transaction).await?;
        self.mark_cancelled(&transaction, event, now).await?;
        failpoint::around(Step::StopSelling, ["stop_selling"], transaction.commit()).await
    }

    /// Events whose wanted offer is newer than the one held.
    pub async fn wanted_offers(&self) -> Result<Vec<(EventId, i64)>, DbErr> {
        let sql = format!(
            "SELECT event_id, wanted_version FROM events WHERE wanted_version > offer_version ORDER BY event_id LIMIT {WANTED_MAX}"
        );
        let rows = self.db.query(self.db.reader(), sql, []).await?;
        rows.iter().map(|row| Ok((row.try_get("", "event_id")?, row.try_get("", "wanted_version")?))).collect()
    }

    /// Stores an offer as catalog sent it and sells from it unless a newer one is held. One held already is written again: it
    /// may be from before catalog told where seats stand.
    pub async fn keep_offer(&self, offer: Offer, data: Bytes, cancelled: bool) -> Result<(), DbErr> {
        let transaction = self.db.begin().await?;
        let sql = "INSERT INTO offers (event_id, version, data) VALUES ($1, $2, $3)
            ON CONFLICT (event_id, version) DO UPDATE SET data = excluded.data";
        let values = [offer.terms.event_id.into(), offer.terms.version.into(), data.to_vec().into()];
        self.db.execute(&transaction, sql, values).await?;
        self.insert_counters(&transaction, &offer).await?;
        self.sell_from(&transaction, &offer).await?;
        if cancelled {
            let now = self.db.now(&transaction).await?;
            self.mark_cancelled(&transaction, offer.terms.event_id, now).await?;
        }
        failpoint::around(Step::KeepOffer, ["offer"], transaction.commit()).await?;
        self.offers.insert((offer.terms.event_id, offer.terms.version), Arc::new(offer)).await;
        Ok(())
    }

    /// Counters of areas seen for the first time; the plan, and so every capacity, is the same in all versions.
    async fn insert_counters(&self, transaction: &DatabaseTransaction, offer: &Offer) -> Result<(), DbErr> {
        if offer.areas.is_empty() {
            return Ok(());
        }
        let mut areas: Vec<&OfferArea> = offer.areas.iter().collect();
        areas.sort_by_key(|area| area.id);
        let sql = format!(
            "INSERT INTO area_counters (event_id, area_id, capacity, taken) VALUES {} ON CONFLICT DO NOTHING",
            rows_of_placeholders(areas.len(), 4, 1)
        );
        let row = |area: &OfferArea| -> [Value; 4] {
            [offer.terms.event_id.into(), area.id.into(), area.capacity.cast_signed().into(), 0_i32.into()]
        };
        self.db.execute(transaction, sql, areas.into_iter().flat_map(row).collect::<Vec<_>>()).await?;
        Ok(())
    }

    /// Writes what holds check on the row; an older version than the one there changes nothing, and no version clears the
    /// cancelled mark.
    async fn sell_from(&self, transaction: &DatabaseTransaction, offer: &Offer) -> Result<(), DbErr> {
        let sql =
            "INSERT INTO events (event_id, offer_version, wanted_version, starts_at, sale_starts_at, sale_ends_at,
                per_customer_limit, places) VALUES ($1, $2, $2, $3, $4, $5, $6, $7)
            ON CONFLICT (event_id) DO UPDATE SET offer_version = excluded.offer_version, starts_at = excluded.starts_at,
                sale_starts_at = excluded.sale_starts_at, sale_ends_at = excluded.sale_ends_at,
                per_customer_limit = excluded.per_customer_limit, places = excluded.places
            WHERE events.offer_version < excluded.offer_version";
        let values = [
            offer.terms.event_id.into(),
            offer.terms.version.into(),
            offer.terms.starts_at.timestamp_micros().into(),
            offer.terms.sale_starts_at.timestamp_micros().into(),
            offer.terms.sale_ends_at.timestamp_micros().into(),
            offer.terms.per_customer_limit.cast_signed().into(),
            i64::from(offer.total()).into(),
        ];
        self.db.execute(transaction, sql, values).await?;
        Ok(())
    }

    /// The cancellation policy frozen in the offer that a booking was priced from; the default one when there is no such
    /// booking. Read before any transaction: what is frozen cannot change until then.
    pub async fn policy_of(&self, booking: BookingId) -> Result<Policy, DbErr> {
        let sql = "SELECT event_id, offer_version FROM bookings WHERE id = $1";
        let rows = self.db.query(self.db.reader(), sql, [booking.into()]).await?;
        let Some(row) = rows.first() else { return Ok(Policy::default()) };
        let (event, version) = (row.try_get("", "event_id")?, row.try_get("", "offer_version")?);
        let offer = self.offer(event, version).await?;
        let offer =
            offer.ok_or_else(|| broken("bookings.offer_version", &format!("{version} of {event} is not held")))?;
        Ok(offer.terms.policy.clone())
    }

    /// An offer held here, from memory if it is there.
    pub async fn offer(&self, event: EventId, version: i64) -> Result<Option<Arc<Offer>>, DbErr> {
        if let Some(offer) = self.offers.get(&(event, version)).await {
            return Ok(Some(offer));
        }
        let sql = "SELECT data FROM offers WHERE event_id = $1 AND version = $2";
        let rows = self.db.query(self.db.reader(), sql, [event.into(), version.into()]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let data: Vec<u8> = row.try_get("", "data")?;
        let offer =
            wire::stored_offer(&data).map_err(|e| DbErr::Custom(format!("broken row: offers.data of {event}: {e}")))?;
        let offer = Arc::new(offer);
        self.offers.insert((event, version), offer.clone()).await;
        Ok(Some(offer))
    }
}
