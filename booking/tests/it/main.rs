//! Booking against real databases: one suite, run on SQLite and on PostgreSQL; and its gRPC face.

mod areas;
mod ask;
mod audit;
mod crowd;
mod events;
mod fences;
mod grpc;
mod holds;
mod late;
mod paying;
mod reads;
mod replays;
mod sale;
mod sweeps;
mod world;
