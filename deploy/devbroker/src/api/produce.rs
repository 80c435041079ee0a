//! Produce: checks every batch, then appends all partitions of one request in one commit.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};

use crate::log::{Append, Batch};
use crate::server::Broker;

/// What offset and append time say when there is nothing to say.
const NONE: i64 = -1;

/// Appends what is valid; `None` when the client wants no answer (acks = 0).
pub async fn answer(broker: &Broker, request: ProduceRequest) -> Option<ProduceResponse> {
    let acks = request.acks;
    let mut appends = Vec::new();
    let mut topics = Vec::with_capacity(request.topic_data.len());
    for topic in request.topic_data {
        let mut partitions = Vec::with_capacity(topic.partition_data.len());
        for partition in topic.partition_data {
            let checked = match acks {
                -1..=1 => check(broker, &topic.name, partition.index, partition.records),
                _ => Err(ResponseError::InvalidRequiredAcks),
            };
            let place = checked.map(|append| {
                appends.push(append);
                appends.len() - 1
            });
            partitions.push((partition.index, place));
        }
        topics.push((topic.name, partitions));
    }

    if acks == 0 {
        broker.log.append_unanswered(appends).await;
        return None;
    }
    let appended = broker.log.append(appends).await;
    let responses = topics.into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|(index, place)| {
            let offset = place.and_then(|place| match &appended {
                Ok(offsets) => offsets.get(place).copied().ok_or(ResponseError::UnknownServerError),
                Err(_) => Err(ResponseError::KafkaStorageError),
            });
            describe(index, offset)
        });
        TopicProduceResponse::default().with_partition_responses(partitions.collect()).with_name(name)
    });
    Some(ProduceResponse::default().with_responses(responses.collect()))
}

fn check(broker: &Broker, topic: &str, partition: i32, records: Option<Bytes>) -> Result<Append, ResponseError> {
    let topic = broker.log.topic(topic).ok_or(ResponseError::UnknownTopicOrPartition)?;
    topic.end(partition).ok_or(ResponseError::UnknownTopicOrPartition)?;
    let batches = Batch::split(records.unwrap_or_default())?;
    Ok(Append { topic, partition, batches })
}

fn describe(index: i32, offset: Result<i64, ResponseError>) -> PartitionProduceResponse {
    let answer = PartitionProduceResponse::default().with_index(index).with_log_append_time_ms(NONE);
    match offset {
        Ok(offset) => answer.with_base_offset(offset).with_log_start_offset(0),
        Err(error) => answer.with_base_offset(NONE).with_log_start_offset(NONE).with_error_code(error.code()),
    }
}
