//! Record batches of magic 2, kept as the opaque bytes the producer sent, compressed or not.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::records::{Compression, NO_PRODUCER_ID, RecordBatchDecoder};

/// Largest batch, and so the largest record: Apache Kafka's default of `message.max.bytes`, 1 MiB and the overhead.
const BATCH_BYTES_MAX: usize = 1024 * 1024 + 12;

/// Where things stand in a batch (`RecordBatch` in the protocol guide). The checksum covers what follows it, so that base
/// offset and leader epoch may be rewritten.
const BASE_OFFSET: std::ops::Range<usize> = 0..8;
const LENGTH_AT: usize = 8;
const AFTER_LENGTH: usize = 12;
const LEADER_EPOCH: std::ops::Range<usize> = 12..16;
const LAST_OFFSET_DELTA_AT: usize = 23;

/// One checked batch, not yet at its place.
pub struct Batch {
    bytes: Bytes,
    /// How many offsets it takes; at least 1.
    pub records: i64,
}

impl Batch {
    /// Splits what a producer sent for one partition.
    ///
    /// # Errors
    /// `CorruptMessage` for anything but whole batches of magic 2 with a right checksum, `MessageTooLarge`, and refusals of
    /// what this broker does not do: transactions, producer ids, zstd (which needs a later Fetch than it speaks).
    pub fn split(mut records: Bytes) -> Result<Vec<Self>, ResponseError> {
        let mut batches = Vec::new();
        while !records.is_empty() {
            let len = read_i32(&records, LENGTH_AT)?;
            let len = usize::try_from(len).ok().and_then(|len| len.checked_add(AFTER_LENGTH));
            let len = len.filter(|len| *len <= records.len()).ok_or(ResponseError::CorruptMessage)?;
            batches.push(Self::parse(records.split_to(len))?);
        }
        if batches.is_empty() { Err(ResponseError::CorruptMessage) } else { Ok(batches) }
    }

    fn parse(bytes: Bytes) -> Result<Self, ResponseError> {
        if bytes.len() > BATCH_BYTES_MAX {
            return Err(ResponseError::MessageTooLarge);
        }
        let infos =
            RecordBatchDecoder::decode_batch_info(&mut bytes.clone()).map_err(|_| ResponseError::CorruptMessage)?;
        let [info] = infos.as_slice() else { return Err(ResponseError::CorruptMessage) };

        let records = info.record_count;
        if records < 1 || read_i32(&bytes, LAST_OFFSET_DELTA_AT)? != records - 1 || info.control {
            return Err(ResponseError::InvalidRecord);
        }
        if info.transactional || info.producer_id != NO_PRODUCER_ID {
            return Err(ResponseError::UnknownProducerId);
        }
        if info.compression == Compression::Zstd {
            return Err(ResponseError::UnsupportedCompressionType);
        }
        Ok(Self { bytes, records: i64::from(records) })
    }

    /// The bytes to store when the first record gets offset `base`.
    pub fn placed_at(&self, base: i64) -> Vec<u8> {
        let mut bytes = self.bytes.to_vec();
        bytes[BASE_OFFSET].copy_from_slice(&base.to_be_bytes());
        bytes[LEADER_EPOCH].copy_from_slice(&0_i32.to_be_bytes());
        bytes
    }
}

fn read_i32(bytes: &[u8], at: usize) -> Result<i32, ResponseError> {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
    found.map(|found| i32::from_be_bytes(*found)).ok_or(ResponseError::CorruptMessage)
}
