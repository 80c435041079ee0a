//! What a broker says about its cluster, asked without our own log client: that one does not tell who leads.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{ApiKey, MetadataRequest, MetadataResponse, RequestHeader, ResponseHeader, TopicName};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const VERSION: i16 = 4;
/// A frozen node does not answer at all.
const PATIENCE: Duration = Duration::from_secs(1);

/// Who leads a partition, and how many copies are complete.
pub struct Partition {
    pub leader: i32,
    pub in_sync: usize,
}

/// One partition as a broker sees it; nothing when it does not answer or does not know it.
pub async fn partition(address: &str, topic: &str, partition: i32) -> Option<Partition> {
    let answer = ask(address, Some(topic)).await?;
    let partitions = answer.topics.into_iter().flat_map(|t| t.partitions);
    let found = partitions.into_iter().find(|p| p.partition_index == partition)?;
    Some(Partition { leader: found.leader_id.0, in_sync: found.isr_nodes.len() })
}

/// A broker's answer about one topic or none.
pub async fn ask(address: &str, topic: Option<&str>) -> Option<MetadataResponse> {
    tokio::time::timeout(PATIENCE, exchange(address, topic)).await.ok()?
}

async fn exchange(address: &str, topic: Option<&str>) -> Option<MetadataResponse> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(&request(topic)).await.ok()?;
    let length = usize::try_from(stream.read_i32().await.ok()?).ok()?;
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).await.ok()?;
    let mut answer = Bytes::from(answer);
    ResponseHeader::decode(&mut answer, ApiKey::Metadata.response_header_version(VERSION)).ok()?;
    MetadataResponse::decode(&mut answer, VERSION).ok()
}

fn request(topic: Option<&str>) -> BytesMut {
    let named = |name: &str| {
        let name = TopicName(StrBytes::from_string(name.to_owned()));
        MetadataRequestTopic::default().with_name(Some(name))
    };
    let header = RequestHeader::default()
        .with_request_api_key(ApiKey::Metadata as i16)
        .with_request_api_version(VERSION)
        .with_client_id(Some(StrBytes::from_static_str("eventix-tests")));
    let body = MetadataRequest::default()
        .with_topics(Some(topic.map(named).into_iter().collect()))
        .with_allow_auto_topic_creation(false);
    let mut message = BytesMut::new();
    header.encode(&mut message, ApiKey::Metadata.request_header_version(VERSION)).unwrap();
    body.encode(&mut message, VERSION).unwrap();
    let mut framed = BytesMut::new();
    framed.put_i32(i32::try_from(message.len()).unwrap());
    framed.extend_from_slice(&message);
    framed
}
