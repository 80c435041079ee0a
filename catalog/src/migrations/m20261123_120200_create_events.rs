//! Events, the offers frozen from them, and the words they are found by.

use sea_orm::{ConnectionTrait, DbBackend};
use sea_orm_migration::prelude::{DbErr, DeriveMigrationName, MigrationTrait, SchemaManager, async_trait};

/// This migration.
#[derive(DeriveMigrationName)]
pub struct Migration;

const STATEMENTS: &[&str] = &[
    // `number` ties an event to its words; `category_key` is the category in lower case, for exact search; `performers`,
    // `policy` and `prices` are JSON; `facts` is the sequence number of the last fact told.
    "CREATE TABLE events (
        number {identity},
        id uuid NOT NULL UNIQUE,
        venue_id uuid NOT NULL REFERENCES venues (id),
        plan_id uuid NOT NULL REFERENCES seating_plans (id),
        title text NOT NULL,
        description text NOT NULL,
        category text NOT NULL,
        category_key text NOT NULL,
        performers text NOT NULL,
        image_url text NOT NULL,
        starts_at bigint NOT NULL,
        ends_at bigint NOT NULL,
        doors_at bigint,
        sale_starts_at bigint,
        sale_ends_at bigint,
        per_customer_limit integer NOT NULL CHECK (per_customer_limit BETWEEN 1 AND 100),
        currency text NOT NULL,
        policy text NOT NULL,
        prices text NOT NULL,
        price_min bigint,
        price_max bigint,
        status text NOT NULL CHECK (status IN ('draft', 'published', 'cancelled')),
        version bigint NOT NULL CHECK (version > 0),
        published_at bigint,
        offer_version bigint NOT NULL,
        facts bigint NOT NULL,
        created_at bigint NOT NULL,
        updated_at bigint NOT NULL,
        CHECK (ends_at > starts_at),
        CHECK ((published_at IS NULL) = (offer_version = 0)),
        CHECK (status <> 'published' OR published_at IS NOT NULL)
    )",
    // Serves searches of one status, in their order.
    "CREATE INDEX events_by_status ON events (status, starts_at, id)",
    // Serves searches over every status, in their order.
    "CREATE INDEX events_by_start ON events (starts_at, id)",
    // What booking sells from, for ever. `terms` is an encoded OfferTerms, `prices` the price list of its seats as JSON.
    "CREATE TABLE offers (
        event_id uuid NOT NULL REFERENCES events (id),
        version bigint NOT NULL CHECK (version > 0),
        plan_id uuid NOT NULL REFERENCES seating_plans (id),
        terms bytea NOT NULL,
        prices text NOT NULL,
        created_at bigint NOT NULL,
        PRIMARY KEY (event_id, version)
    )",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        common::tables::run(manager, STATEMENTS).await?;
        common::tables::run(manager, words(manager.get_connection().get_database_backend())).await
    }
}

/// The full-text table: `rowid` is the event's number. Words come in already split and in lower case.
fn words(backend: DbBackend) -> &'static [&'static str] {
    match backend {
        DbBackend::Sqlite => &[
            "CREATE VIRTUAL TABLE event_words USING fts5(words, prefix = '2 3', tokenize = 'unicode61 remove_diacritics 0')",
        ],
        DbBackend::Postgres | DbBackend::MySql | _ => &[
            "CREATE TABLE event_words (rowid bigint PRIMARY KEY REFERENCES events (number), words tsvector NOT NULL)",
            // Serves text search.
            "CREATE INDEX event_words_found ON event_words USING gin (words)",
        ],
    }
}
