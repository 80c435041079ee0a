//! The contracts under `proto/`, compiled at build time, and the descriptors that reflection serves.

#![expect(missing_docs, clippy::all, reason = "generated code")]
#![allow(rustdoc::all, reason = "comments come from the proto files")]

/// `eventix.common.v1`
pub mod common {
    pub mod v1 {
        tonic::include_proto!("eventix.common.v1");
    }
}
/// `eventix.catalog.v1`
pub mod catalog {
    pub mod v1 {
        tonic::include_proto!("eventix.catalog.v1");
    }
}
/// `eventix.booking.v1`
pub mod booking {
    pub mod v1 {
        tonic::include_proto!("eventix.booking.v1");
    }
}
/// `eventix.payment.v1`
pub mod payment {
    pub mod v1 {
        tonic::include_proto!("eventix.payment.v1");
    }
}

/// Every contract as an encoded `FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/eventix.bin"));
