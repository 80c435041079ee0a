//! The tables every service has: messages out and in, leases, history, remembered requests.
//! Columns that end in `_at` are microseconds since 1970, UTC.

use async_trait::async_trait;
use sea_orm::{ConnectionTrait, DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

/// Partitions of every topic, and so of every outbox.
pub const PARTITIONS: i32 = 12;

const SHARED: &[&str] = &[
    // Facts to tell; kept at least as long as the topic keeps records. `carrier` is the trace context as JSON.
    "CREATE TABLE outbox (
        position {identity},
        id uuid NOT NULL UNIQUE,
        aggregate_id uuid NOT NULL,
        sequence bigint NOT NULL,
        log_partition integer NOT NULL,
        kind text NOT NULL,
        value bytea NOT NULL,
        carrier text NOT NULL,
        occurred_at bigint NOT NULL,
        published_at bigint,
        UNIQUE (aggregate_id, sequence)
    )",
    // Serves the relay: what is still to be published.
    "CREATE INDEX outbox_unpublished ON outbox (log_partition, position) WHERE published_at IS NULL",
    // Serves cleaning up.
    "CREATE INDEX outbox_published ON outbox (published_at)",
    // One row per fact that took effect.
    "CREATE TABLE inbox (
        consumer text NOT NULL,
        fact_id uuid NOT NULL,
        producer text NOT NULL,
        aggregate_id uuid NOT NULL,
        sequence bigint NOT NULL,
        processed_at bigint NOT NULL,
        PRIMARY KEY (consumer, fact_id)
    )",
    // Serves cleaning up.
    "CREATE INDEX inbox_processed ON inbox (processed_at)",
    // The last sequence taken per producer and aggregate.
    "CREATE TABLE watermarks (
        consumer text NOT NULL,
        producer text NOT NULL,
        aggregate_id uuid NOT NULL,
        sequence bigint NOT NULL,
        PRIMARY KEY (consumer, producer, aggregate_id)
    )",
    // Facts that wait for an earlier one: after a gap, or behind a dead letter.
    "CREATE TABLE parked (
        consumer text NOT NULL,
        producer text NOT NULL,
        aggregate_id uuid NOT NULL,
        sequence bigint NOT NULL,
        fact_id uuid NOT NULL,
        value bytea NOT NULL,
        headers text NOT NULL,
        parked_at bigint NOT NULL,
        PRIMARY KEY (consumer, producer, aggregate_id, sequence)
    )",
    // Records that cannot be handled without a person. `status`: open, requeued or discarded; `settled_at` when the decision
    // has taken effect.
    "CREATE TABLE dead_letters (
        id uuid PRIMARY KEY,
        consumer text NOT NULL,
        producer text NOT NULL,
        aggregate_id uuid,
        sequence bigint,
        log_partition integer NOT NULL,
        log_offset bigint NOT NULL,
        record_key bytea,
        value bytea,
        headers text NOT NULL,
        error text NOT NULL,
        status text NOT NULL CHECK (status IN ('open', 'requeued', 'discarded')),
        created_at bigint NOT NULL,
        decided_at bigint,
        decided_by text,
        settled_at bigint
    )",
    // Serves the intake: whether a fact stands behind a dead letter.
    "CREATE INDEX dead_letters_unsettled ON dead_letters (consumer, producer, aggregate_id) WHERE settled_at IS NULL",
    // Who works on what, until when by the database's clock.
    "CREATE TABLE leases (
        name text PRIMARY KEY,
        owner text NOT NULL,
        epoch bigint NOT NULL,
        expires_at bigint NOT NULL
    )",
    // Where each consumer stands; `last_fact_id` stood at `next_offset - 1`
    // (for a record that is no fact, an id made of its hash). `incarnation` grows when the log is found to be
    // another one; `recovering` until the producer was then asked for everything.
    "CREATE TABLE consumer_offsets (
        consumer text NOT NULL,
        topic text NOT NULL,
        log_partition integer NOT NULL,
        next_offset bigint NOT NULL,
        last_fact_id uuid,
        incarnation bigint NOT NULL,
        recovering boolean NOT NULL,
        PRIMARY KEY (consumer, topic, log_partition)
    )",
    // Every transition of every entity, append-only.
    "CREATE TABLE history (
        position {identity},
        entity text NOT NULL,
        entity_id uuid NOT NULL,
        from_state text NOT NULL,
        to_state text NOT NULL,
        cause text NOT NULL,
        actor text NOT NULL,
        trace_id text NOT NULL,
        at bigint NOT NULL
    )",
    // Serves the history of one entity.
    "CREATE INDEX history_entity ON history (entity_id, position)",
    // Answers to remember, by caller and operation (AIP-155).
    "CREATE TABLE requests (
        scope text NOT NULL,
        request_id text NOT NULL,
        fingerprint text NOT NULL,
        answer bytea,
        created_at bigint NOT NULL,
        PRIMARY KEY (scope, request_id)
    )",
    // Serves forgetting.
    "CREATE INDEX requests_age ON requests (created_at)",
];

/// Creates the shared tables; part of each service's first migration.
pub async fn create_shared(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    run(manager, SHARED).await
}

/// A later migration of the shared tables, for every service's list.
#[derive(Clone, Copy)]
pub struct SharedMigration {
    name: &'static str,
    statements: &'static [&'static str],
}

/// Who wants a share of the leases. Processes of the version before know nothing of it and keep what they hold until they
/// stop.
pub const ADD_LEASE_OWNERS: SharedMigration = SharedMigration {
    name: "m20261125_120000_add_lease_owners",
    statements: &[
        // Who wants a share of each kind of lease, and is there until when by the database's clock.
        "CREATE TABLE lease_owners (
            kind text NOT NULL,
            owner text NOT NULL,
            expires_at bigint NOT NULL,
            PRIMARY KEY (kind, owner)
        )",
    ],
};

/// The relay reads what is unpublished in the order of an index; sorting a backlog once per batch is quadratic.
pub const ORDER_UNPUBLISHED: SharedMigration = SharedMigration {
    name: "m20261126_160000_order_unpublished",
    statements: &[
        "DROP INDEX outbox_unpublished",
        "DROP INDEX outbox_published",
        "CREATE INDEX outbox_unpublished ON outbox (position) WHERE published_at IS NULL",
        "CREATE INDEX outbox_published ON outbox (published_at) WHERE published_at IS NOT NULL",
    ],
};

/// Makes rows of tables unchangeable for every role but the tables' owner: PostgreSQL alone has others.
#[derive(Clone, Copy)]
pub struct AppendOnly {
    tables: &'static [&'static str],
}

impl AppendOnly {
    /// Of these tables.
    pub const fn of(tables: &'static [&'static str]) -> Self {
        Self { tables }
    }
}

impl MigrationName for AppendOnly {
    fn name(&self) -> &str {
        "m20261127_000000_append_only"
    }
}

#[async_trait]
impl MigrationTrait for AppendOnly {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() == DbBackend::Sqlite {
            return Ok(());
        }
        let take_back = |table| {
            // What roles they are is the deployment's affair; PUBLIC is granted nothing.
            format!(
                "DO $$ DECLARE of name; BEGIN
                    FOR of IN SELECT DISTINCT grantee FROM information_schema.role_table_grants
                        WHERE table_schema = current_schema() AND table_name = '{table}' AND grantee <> current_user
                    LOOP
                        EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM %I', of);
                    END LOOP;
                END $$"
            )
        };
        let statements: Vec<String> = self.tables.iter().map(take_back).collect();
        run(manager, &statements.iter().map(String::as_str).collect::<Vec<_>>()).await
    }
}

impl MigrationName for SharedMigration {
    fn name(&self) -> &str {
        self.name
    }
}

#[async_trait]
impl MigrationTrait for SharedMigration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, self.statements).await
    }
}

/// Runs statements that both databases understand; `{identity}` is their auto-increment primary key.
pub async fn run(manager: &SchemaManager<'_>, statements: &[&str]) -> Result<(), DbErr> {
    let connection = manager.get_connection();
    let identity = match connection.get_database_backend() {
        DbBackend::Sqlite => "INTEGER PRIMARY KEY AUTOINCREMENT",
        DbBackend::Postgres | DbBackend::MySql | _ => "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    };
    for statement in statements {
        connection.execute_unprepared(&statement.replace("{identity}", identity)).await?;
    }
    Ok(())
}
