//! Booking against real databases: one suite, run on SQLite and on PostgreSQL; and its gRPC face.

#![expect(clippy::unwrap_used, reason = "all of it is test code, helpers too")]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test names the outcomes it wants; any other fails it")]

mod areas;
mod ask;
mod audit;
mod best_available;
mod check_in;
mod crowd;
mod events;
mod fences;
mod grpc;
mod history;
mod holds;
mod indexes;
mod late;
mod lives;
mod migrations;
mod orphans;
mod paying;
mod reads;
mod refunds;
mod replays;
mod reports;
mod sale;
mod sweeps;
mod world;
