//! A fact on its way: the protobuf envelope, CloudEvents headers, and its place among its aggregate's facts.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use prost::{Message, Name};
use uuid::Uuid;

use crate::clock::{from_wire, to_wire};
use crate::ids::FactId;
use crate::proto::common::v1 as wire;
use crate::telemetry::Carrier;

/// Largest record, bytes.
pub const RECORD_BYTES_MAX: usize = 64 * 1024;
/// Version of every payload's meaning so far.
const PAYLOAD_VERSION: u32 = 1;

/// A fact to be told: written with the state change that makes it true.
#[derive(Debug, Clone)]
pub struct NewFact {
    /// What it is about.
    pub aggregate_id: Uuid,
    /// 1, 2, 3 and so on within the aggregate, given under its row lock.
    pub sequence: i64,
    /// Full protobuf name of the payload.
    pub kind: String,
    /// The encoded payload.
    pub data: Bytes,
}

impl NewFact {
    /// A fact from its payload.
    pub fn of<M: Message + Name>(aggregate_id: Uuid, sequence: i64, payload: &M) -> Self {
        Self { aggregate_id, sequence, kind: M::full_name(), data: payload.encode_to_vec().into() }
    }

    /// The envelope, as it will stand in the record.
    pub fn envelope(&self, id: FactId, occurred_at: DateTime<Utc>) -> Vec<u8> {
        wire::Fact {
            id: id.to_string(),
            r#type: self.kind.clone(),
            version: PAYLOAD_VERSION,
            aggregate_id: self.aggregate_id.to_string(),
            aggregate_sequence: self.sequence.cast_unsigned(),
            occurred_at: Some(to_wire(occurred_at)),
            data: self.data.clone(),
        }
        .encode_to_vec()
    }
}

/// A fact received.
#[derive(Debug, Clone)]
pub struct Fact {
    /// The same in every redelivery.
    pub id: FactId,
    /// Full protobuf name of the payload.
    pub kind: String,
    /// What it is about.
    pub aggregate_id: Uuid,
    /// Its place among the aggregate's facts, from 1.
    pub sequence: i64,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// The encoded payload.
    pub data: Bytes,
    /// The producer's trace context.
    pub carrier: Carrier,
}

/// Why a record is no fact.
#[derive(Debug, thiserror::Error)]
pub enum FactError {
    /// The envelope does not decode.
    #[error("the record is not a fact envelope")]
    Envelope(#[source] prost::DecodeError),
    /// A field of the envelope is missing or wrong.
    #[error("the envelope's {0} is missing or wrong")]
    Field(&'static str),
    /// The payload does not decode.
    #[error("the payload is not a {kind}")]
    Payload {
        /// Expected type.
        kind: String,
        /// What prost says.
        #[source]
        source: prost::DecodeError,
    },
}

impl Fact {
    /// Reads a record's value.
    pub fn decode(value: &[u8], carrier: Carrier) -> Result<Self, FactError> {
        let envelope = wire::Fact::decode(value).map_err(FactError::Envelope)?;
        let sequence = i64::try_from(envelope.aggregate_sequence).ok().filter(|s| *s > 0);
        Ok(Self {
            id: FactId::parse(&envelope.id).ok_or(FactError::Field("id"))?,
            kind: Some(envelope.r#type).filter(|t| !t.is_empty()).ok_or(FactError::Field("type"))?,
            aggregate_id: Uuid::try_parse(&envelope.aggregate_id).map_err(|_| FactError::Field("aggregate_id"))?,
            sequence: sequence.ok_or(FactError::Field("aggregate_sequence"))?,
            occurred_at: envelope.occurred_at.as_ref().and_then(from_wire).ok_or(FactError::Field("occurred_at"))?,
            data: envelope.data,
            carrier,
        })
    }

    /// Whether the payload is an `M`.
    pub fn is<M: Name>(&self) -> bool {
        self.kind == M::full_name()
    }

    /// Reads the payload.
    pub fn payload<M: Message + Name + Default>(&self) -> Result<M, FactError> {
        M::decode(self.data.clone()).map_err(|source| FactError::Payload { kind: self.kind.clone(), source })
    }
}
