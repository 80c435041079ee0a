//! Fetch: reads whole batches, and waits for more by watching the ends of the partitions asked for.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::select_all;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::fetch_request::FetchPartition;
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::{FetchRequest, FetchResponse};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::error;

use crate::log::Topic;
use crate::server::Broker;

/// A longer wait is cut to this, so that a peer which vanished is noticed; an empty answer is always allowed.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Bytes of one answer, whatever is asked for; one batch more is possible.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What offsets say beside an error.
const NONE: i64 = -1;

/// Answers at once when `min_bytes` are there or any partition has an error, else when they come, `max_wait_ms` is over or
/// the broker stops. The first batch found is returned whole, however small the limits, so that a reader always gets on.
pub async fn answer(broker: &Broker, request: FetchRequest) -> FetchResponse {
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    let deadline = Instant::now() + wait.min(WAIT_MAX);
    let enough = usize::try_from(request.min_bytes.min(request.max_bytes)).unwrap_or(0);
    loop {
        let mut ends = watch_ends(broker, &request); // before reading: what comes in between then counts as moved
        let found = Found::read(broker, &request).await;
        if found.bytes >= enough || found.failed || ends.is_empty() {
            return found.response();
        }
        let moved = select_all(ends.iter_mut().map(|end| Box::pin(end.changed())));
        let mut stopping = broker.stopping.clone();
        tokio::select! {
            _ = moved => {}
            () = sleep_until(deadline) => return found.response(),
            _ = stopping.wait_for(|stopping| *stopping) => return found.response(),
        }
    }
}

fn watch_ends(broker: &Broker, request: &FetchRequest) -> Vec<watch::Receiver<i64>> {
    let topics = broker.log.topics();
    let watched = request.topics.iter().filter_map(|wanted| Some((wanted, topics.get(wanted.topic.as_str())?)));
    watched
        .flat_map(|(wanted, topic)| wanted.partitions.iter().filter_map(|partition| topic.watch(partition.partition)))
        .collect()
}

/// What one pass over the partitions brought.
#[derive(Default)]
struct Found {
    topics: Vec<FetchableTopicResponse>,
    bytes: usize,
    failed: bool,
}

impl Found {
    async fn read(broker: &Broker, request: &FetchRequest) -> Self {
        let mut found = Self::default();
        let bytes_max = usize::try_from(request.max_bytes).unwrap_or(0).min(ANSWER_BYTES_MAX);
        for wanted in &request.topics {
            let topic = broker.log.topic(&wanted.topic);
            let mut partitions = Vec::with_capacity(wanted.partitions.len());
            for partition in &wanted.partitions {
                let left = bytes_max.saturating_sub(found.bytes);
                let data = read_partition(broker, topic.as_deref(), partition, left, found.bytes == 0).await;
                found.bytes += data.records.as_ref().map_or(0, Bytes::len);
                found.failed |= data.error_code != 0;
                partitions.push(data);
            }
            let answer = FetchableTopicResponse::default().with_topic(wanted.topic.clone()).with_partitions(partitions);
            found.topics.push(answer);
        }
        found
    }

    fn response(self) -> FetchResponse {
        FetchResponse::default().with_responses(self.topics)
    }
}

/// Reads at most `left` bytes; if `first`, at least one batch when there is any.
async fn read_partition(
    broker: &Broker,
    topic: Option<&Topic>,
    wanted: &FetchPartition,
    left: usize,
    first: bool,
) -> PartitionData {
    let answer = PartitionData::default().with_partition_index(wanted.partition).with_records(Some(Bytes::new()));
    let Some((topic, end)) = topic.and_then(|topic| Some((topic, topic.end(wanted.partition)?))) else {
        return answer
            .with_high_watermark(NONE)
            .with_last_stable_offset(NONE)
            .with_error_code(ResponseError::UnknownTopicOrPartition.code());
    };
    let answer = answer.with_high_watermark(end).with_last_stable_offset(end).with_log_start_offset(0);
    if !(0..=end).contains(&wanted.fetch_offset) {
        return answer.with_error_code(ResponseError::OffsetOutOfRange.code());
    }

    let bytes_max = usize::try_from(wanted.partition_max_bytes).unwrap_or(0).min(left);
    match broker.log.read(topic, wanted.partition, wanted.fetch_offset..end, bytes_max, first).await {
        Ok(records) => answer.with_records(Some(records)),
        Err(error) => {
            error!(%error, "cannot read {}/{}: {error}", topic.name, wanted.partition);
            answer.with_error_code(ResponseError::KafkaStorageError.code())
        }
    }
}
