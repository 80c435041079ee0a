//! Venues, and seating plans with their files, rows, seats and areas. Plans never change.

use sea_orm::{ConnectionTrait, DbBackend};
use sea_orm_migration::prelude::{DbErr, DeriveMigrationName, MigrationTrait, SchemaManager, async_trait};

/// This migration.
#[derive(DeriveMigrationName)]
pub struct Migration;

const STATEMENTS: &[&str] = &[
    // `city_key` is the city in lower case, for exact search.
    "CREATE TABLE venues (
        id uuid PRIMARY KEY,
        name text {bytewise} NOT NULL UNIQUE,
        address text NOT NULL,
        city text NOT NULL,
        city_key text NOT NULL,
        country text NOT NULL,
        time_zone text NOT NULL,
        latitude double precision,
        longitude double precision,
        created_at bigint NOT NULL
    )",
    // Serves the list of venues.
    "CREATE INDEX venues_listed ON venues (name, id)",
    "CREATE TABLE seating_plans (
        id uuid PRIMARY KEY,
        venue_id uuid NOT NULL REFERENCES venues (id),
        name text NOT NULL,
        version integer NOT NULL,
        seat_count integer NOT NULL CHECK (seat_count >= 0),
        place_count bigint NOT NULL CHECK (place_count >= 0),
        created_at bigint NOT NULL,
        UNIQUE (venue_id, name, version)
    )",
    // Serves the list of a venue's plans: ids grow with time.
    "CREATE INDEX seating_plans_listed ON seating_plans (venue_id, id)",
    // The file as it came in, in pieces that are read one at a time.
    "CREATE TABLE plan_files (
        plan_id uuid NOT NULL REFERENCES seating_plans (id),
        part integer NOT NULL,
        bytes bytea NOT NULL,
        PRIMARY KEY (plan_id, part)
    )",
    "CREATE TABLE plan_categories (
        plan_id uuid NOT NULL REFERENCES seating_plans (id),
        ordinal integer NOT NULL,
        name text NOT NULL,
        seat_count integer NOT NULL CHECK (seat_count >= 0),
        PRIMARY KEY (plan_id, ordinal),
        UNIQUE (plan_id, name)
    )",
    "CREATE TABLE plan_rows (
        plan_id uuid NOT NULL REFERENCES seating_plans (id),
        ordinal integer NOT NULL,
        zone_index integer NOT NULL,
        zone text NOT NULL,
        name text NOT NULL,
        seat_count integer NOT NULL CHECK (seat_count >= 0),
        PRIMARY KEY (plan_id, ordinal)
    )",
    // `ordinal` is the seat's place in the whole plan, from 0; `category` points into plan_categories.
    "CREATE TABLE seats (
        plan_id uuid NOT NULL REFERENCES seating_plans (id),
        ordinal integer NOT NULL,
        id uuid NOT NULL UNIQUE,
        number text NOT NULL,
        label text NOT NULL,
        x double precision NOT NULL,
        y double precision NOT NULL,
        category integer NOT NULL,
        accessible boolean NOT NULL,
        companion boolean NOT NULL,
        PRIMARY KEY (plan_id, ordinal)
    )",
    "CREATE TABLE areas (
        plan_id uuid NOT NULL REFERENCES seating_plans (id),
        ordinal integer NOT NULL,
        id uuid NOT NULL UNIQUE,
        name text NOT NULL,
        capacity integer NOT NULL CHECK (capacity > 0),
        PRIMARY KEY (plan_id, ordinal),
        UNIQUE (plan_id, name)
    )",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let bytewise = bytewise(manager.get_connection().get_database_backend());
        let statements: Vec<String> = STATEMENTS.iter().map(|sql| sql.replace("{bytewise}", bytewise)).collect();
        let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
        common::tables::run(manager, &statements).await
    }
}

/// The collation that sorts by bytes, so that both databases list names in one order.
fn bytewise(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Sqlite => "COLLATE BINARY",
        DbBackend::Postgres | DbBackend::MySql | _ => "COLLATE \"C\"",
    }
}
