//! ListOffsets: the ends of a partition. Looking offsets up by timestamp is not offered.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};

use crate::log::Topic;
use crate::server::Broker;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
/// What timestamp and offset say when there is nothing to say.
const NONE: i64 = -1;

/// The earliest or latest offset of each partition asked for.
pub fn answer(broker: &Broker, request: ListOffsetsRequest) -> ListOffsetsResponse {
    let log = broker.log.topics();
    let topics = request.topics.into_iter().map(|wanted| {
        let topic = log.get(wanted.name.as_str());
        let partitions = wanted.partitions.iter().map(|partition| {
            let answer = ListOffsetsPartitionResponse::default()
                .with_partition_index(partition.partition_index)
                .with_timestamp(NONE);
            match offset(topic.map(AsRef::as_ref), partition) {
                Ok(offset) => answer.with_offset(offset),
                Err(error) => answer.with_offset(NONE).with_error_code(error.code()),
            }
        });
        ListOffsetsTopicResponse::default().with_partitions(partitions.collect()).with_name(wanted.name)
    });
    ListOffsetsResponse::default().with_topics(topics.collect())
}

fn offset(topic: Option<&Topic>, wanted: &ListOffsetsPartition) -> Result<i64, ResponseError> {
    let end =
        topic.and_then(|topic| topic.end(wanted.partition_index)).ok_or(ResponseError::UnknownTopicOrPartition)?;
    match wanted.timestamp {
        LATEST => Ok(end),
        EARLIEST => Ok(0),
        _ => Err(ResponseError::UnsupportedForMessageFormat),
    }
}
