//! The mesh's inbound layers, one file each; their order stands in [`crate::grpc::Server::serve`].

pub mod access;
pub mod deadline;
pub mod observe;
pub mod panics;
pub mod shed;
