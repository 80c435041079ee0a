//! Events on offer, bookings with their items, claims on seats and area places, tickets.

use common::tables;
use sea_orm::{ConnectionTrait, DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m20261123_120000_create_booking"
    }
}

const TABLES: &[&str] = &[
    // One row per event ever heard of. `cancelled_at` is never cleared; `offer_version` only grows; 0: no offer yet. `places`: seats
    // and area places of the offer.
    "CREATE TABLE events (
        event_id uuid PRIMARY KEY,
        offer_version bigint NOT NULL,
        wanted_version bigint NOT NULL,
        starts_at bigint NOT NULL,
        sale_starts_at bigint NOT NULL,
        sale_ends_at bigint NOT NULL,
        per_customer_limit integer NOT NULL,
        places bigint NOT NULL,
        cancelled_at bigint
    )",
    // Serves the fetcher.
    "CREATE INDEX events_wanted ON events (event_id) WHERE wanted_version > offer_version",
    // Offers as catalog froze them, protobuf; for ever the same.
    "CREATE TABLE offers (
        event_id uuid NOT NULL,
        version bigint NOT NULL,
        data bytea NOT NULL,
        PRIMARY KEY (event_id, version)
    )",
    // Locked by every hold of one customer for one event, so that limits are counted one after the other.
    "CREATE TABLE event_customers (
        event_id uuid NOT NULL,
        customer_id text NOT NULL,
        PRIMARY KEY (event_id, customer_id)
    )",
    "CREATE TABLE bookings (
        id uuid PRIMARY KEY,
        event_id uuid NOT NULL,
        customer_id text NOT NULL,
        offer_version bigint NOT NULL,
        state text NOT NULL CHECK (state IN ('HELD', 'PAYING', 'CONFIRMED', 'CANCELLED', 'EXPIRED', 'RELEASED')),
        places integer NOT NULL CHECK (places > 0),
        total_minor bigint NOT NULL CHECK (total_minor >= 0),
        currency text NOT NULL,
        attempts integer NOT NULL,
        sold_attempt integer,
        decline_code text,
        cancel_cause text,
        expires_at bigint,
        grace_until bigint,
        claims_held boolean NOT NULL,
        captured boolean NOT NULL,
        sequence bigint NOT NULL,
        fence bigint NOT NULL,
        created_at bigint NOT NULL,
        updated_at bigint NOT NULL,
        asked_at bigint NOT NULL,
        CHECK ((state IN ('HELD', 'PAYING')) = (expires_at IS NOT NULL)),
        CHECK ((state = 'PAYING') = (grace_until IS NOT NULL)),
        CHECK (state <> 'CONFIRMED' OR sold_attempt IS NOT NULL)
    )",
    // Serves the per-customer limit and a customer's list.
    "CREATE INDEX bookings_customer ON bookings (customer_id, event_id, state)",
    "CREATE INDEX bookings_customer_list ON bookings (customer_id, id)",
    // Serves an event's list and the end of a cancelled event.
    "CREATE INDEX bookings_event ON bookings (event_id, state, id)",
    // Serves the sweeper: lapsed holds.
    "CREATE INDEX bookings_held ON bookings (expires_at) WHERE state = 'HELD'",
    // Serves the sweeper: graces that are over, and outcomes awaited too long.
    "CREATE INDEX bookings_paying ON bookings (grace_until) WHERE state = 'PAYING'",
    // Serves the sweeper: captures awaited too long.
    "CREATE INDEX bookings_uncaptured ON bookings (asked_at)
        WHERE state = 'CONFIRMED' AND captured = FALSE AND total_minor > 0",
    "CREATE TABLE booking_items (
        id uuid PRIMARY KEY,
        booking_id uuid NOT NULL REFERENCES bookings (id),
        ordinal integer NOT NULL,
        seat_id uuid,
        area_id uuid,
        label text NOT NULL,
        price_minor bigint NOT NULL CHECK (price_minor >= 0),
        refunded_minor bigint NOT NULL CHECK (refunded_minor >= 0 AND refunded_minor <= price_minor),
        CHECK ((seat_id IS NULL) <> (area_id IS NULL)),
        UNIQUE (booking_id, ordinal)
    )",
    // One row per claimed seat: the last wall against selling a seat twice. `expires_at` is null once sold.
    "CREATE TABLE seat_claims (
        event_id uuid NOT NULL,
        seat_id uuid NOT NULL,
        booking_id uuid NOT NULL,
        fence bigint NOT NULL,
        state text NOT NULL CHECK (state IN ('held', 'sold')),
        expires_at bigint,
        PRIMARY KEY (event_id, seat_id),
        CHECK ((state = 'sold') = (expires_at IS NULL))
    )",
    // Serves every later write to a booking's claims.
    "CREATE INDEX seat_claims_booking ON seat_claims (booking_id)",
    // `taken` equals the places of the area's claim rows, lapsed ones included.
    "CREATE TABLE area_counters (
        event_id uuid NOT NULL,
        area_id uuid NOT NULL,
        capacity integer NOT NULL,
        taken integer NOT NULL,
        PRIMARY KEY (event_id, area_id),
        CHECK (taken >= 0 AND taken <= capacity)
    )",
    "CREATE TABLE area_claims (
        event_id uuid NOT NULL,
        area_id uuid NOT NULL,
        booking_id uuid NOT NULL,
        quantity integer NOT NULL CHECK (quantity > 0),
        fence bigint NOT NULL,
        state text NOT NULL CHECK (state IN ('held', 'sold')),
        expires_at bigint,
        PRIMARY KEY (event_id, area_id, booking_id),
        CHECK ((state = 'sold') = (expires_at IS NULL))
    )",
    // Serves every later write to a booking's claims.
    "CREATE INDEX area_claims_booking ON area_claims (booking_id)",
    // Serves taking lapsed places back when a counter refuses.
    "CREATE INDEX area_claims_lapsed ON area_claims (event_id, area_id, expires_at)",
    "CREATE TABLE tickets (
        id uuid PRIMARY KEY,
        booking_id uuid NOT NULL REFERENCES bookings (id),
        item_id uuid NOT NULL UNIQUE REFERENCES booking_items (id),
        event_id uuid NOT NULL,
        version integer NOT NULL,
        state text NOT NULL CHECK (state IN ('valid', 'void')),
        token text NOT NULL,
        created_at bigint NOT NULL
    )",
    // Serves a booking's tickets.
    "CREATE INDEX tickets_booking ON tickets (booking_id)",
    // What was asked back, decided here alone.
    "CREATE TABLE booking_refunds (
        id uuid PRIMARY KEY,
        booking_id uuid NOT NULL REFERENCES bookings (id),
        amount_minor bigint NOT NULL CHECK (amount_minor > 0),
        reason text NOT NULL,
        state text NOT NULL CHECK (state IN ('requested', 'done', 'nothing', 'stuck')),
        created_at bigint NOT NULL
    )",
    // Serves the sweeper: refunds awaited too long.
    "CREATE INDEX booking_refunds_open ON booking_refunds (booking_id) WHERE state = 'requested'",
    // The Ed25519 seed that signs tickets, 32 bytes.
    "CREATE TABLE ticket_keys (
        key_id integer PRIMARY KEY,
        seed bytea NOT NULL,
        created_at bigint NOT NULL
    )",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        tables::create_shared(manager).await?;
        tables::run(manager, TABLES).await?;
        tables::run(manager, fences(manager.get_connection().get_database_backend())).await
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration("migrations run forward only".into()))
    }
}

/// Where fences come from: numbers that never repeat, also after a row is gone. A row would serialise all holds on
/// PostgreSQL, a sequence does not exist on SQLite.
fn fences(backend: DbBackend) -> &'static [&'static str] {
    match backend {
        DbBackend::Sqlite => &["CREATE TABLE fences (last bigint NOT NULL)", "INSERT INTO fences (last) VALUES (0)"],
        DbBackend::Postgres | DbBackend::MySql | _ => &["CREATE SEQUENCE fences"],
    }
}
