//! What rskafka never sends: garbage, wrong versions, corrupt batches, silence for an answer.

use std::net::SocketAddr;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, CreateTopicsRequest, FindCoordinatorRequest, ProduceRequest,
    RequestHeader, ResponseHeader, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, Record, RecordBatchEncoder,
    RecordEncodeOptions, TimestampType,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Broker, client, create, fetch_all, partition, patiently, values};

#[tokio::test]
async fn garbage_closes_only_its_own_connection() {
    let dir = TempDir::new().unwrap();
    let broker = Broker::start(&dir.path().join("log")).await;
    let forged_count = [0, 3, 0, 4, 0, 0, 0, 1, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff];
    let garbage: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        &[0xff; 64],
        &[0, 0, 0, 0],
        &[0, 0, 0, 3, 1, 2, 3],
        &[0, 0, 0, 12, 0, 0, 0, 7, 0, 0, 0, 1, 0x7f, 0xff, 0, 0],
        &[&[0, 0, 0, 14], forged_count.as_slice()].concat(),
    ];

    for bytes in garbage {
        let mut wire = Wire::connect(broker.addr).await;
        wire.0.write_all(bytes).await.unwrap();
        assert!(wire.is_closed().await, "{bytes:?} was not answered by closing");
    }

    create(&client(broker.addr).await, "facts", 1).await;
    broker.stop().await;
}

#[tokio::test]
async fn an_unknown_version_of_api_versions_is_answered_with_the_oldest() {
    let dir = TempDir::new().unwrap();
    let broker = Broker::start(&dir.path().join("log")).await;
    let mut wire = Wire::connect(broker.addr).await;

    let mut body = BytesMut::new();
    body.put_slice(&[0, 18, 0, 99, 0, 0, 0, 42, 0xff, 0xff]);
    wire.send_frame(&body).await;
    let mut answer = wire.receive().await.unwrap();
    let header = ResponseHeader::decode(&mut answer, 0).unwrap();
    let answer = ApiVersionsResponse::decode(&mut answer, 0).unwrap();

    assert_eq!(header.correlation_id, 42);
    assert_eq!(answer.error_code, ResponseError::UnsupportedVersion.code());
    let retry: ApiVersionsResponse = wire.call(3, &ApiVersionsRequest::default()).await.unwrap();
    assert_eq!(retry.error_code, 0);
    assert_eq!(retry.api_keys.len(), 6);
    broker.stop().await;
}

#[tokio::test]
async fn an_api_not_offered_closes_the_connection() {
    let dir = TempDir::new().unwrap();
    let broker = Broker::start(&dir.path().join("log")).await;
    let mut wire = Wire::connect(broker.addr).await;

    assert!(wire.call(0, &FindCoordinatorRequest::default()).await.is_none());
    broker.stop().await;
}

#[tokio::test]
async fn requests_sent_at_once_are_answered_in_order() {
    let dir = TempDir::new().unwrap();
    let broker = Broker::start(&dir.path().join("log")).await;
    let mut wire = Wire::connect(broker.addr).await;

    for correlation in 0..20 {
        wire.send(correlation, 0, &ApiVersionsRequest::default()).await;
    }
    for correlation in 0..20 {
        assert_eq!(wire.receive().await.unwrap().get_i32(), correlation);
    }
    broker.stop().await;
}

#[tokio::test]
async fn validating_a_topic_does_not_create_it() {
    let dir = TempDir::new().unwrap();
    let broker = Broker::start(&dir.path().join("log")).await;
    let mut wire = Wire::connect(broker.addr).await;
    let topic = |name, replicas| {
        CreatableTopic::default().with_name(topic_name(name)).with_num_partitions(1).with_replication_factor(replicas)
    };
    let request = CreateTopicsRequest::default()
        .with_topics(vec![topic("fine", 1), topic("wide", 3), topic("same", 1), topic("same", 1)])
        .with_validate_only(true);

    let answer = wire.call(4, &request).await.unwrap();

    let codes: Vec<i16> = answer.topics.iter().map(|topic| topic.error_code).collect();
    let twice = ResponseError::InvalidRequest.code();
    assert_eq!(codes, [0, ResponseError::InvalidReplicationFactor.code(), twice, twice]);
    assert!(patiently(client(broker.addr).await.list_topics()).await.unwrap().is_empty());
    broker.stop().await;
}

#[tokio::test]
async fn a_corrupt_batch_is_refused_and_a_sound_one_beside_it_kept() {
    let dir = TempDir::new().unwrap();
    let broker = Broker::start(&dir.path().join("log")).await;
    let client = client(broker.addr).await;
    create(&client, "facts", 2).await;
    let mut wire = Wire::connect(broker.addr).await;
    let mut corrupt = batch("corrupt").to_vec();
    *corrupt.last_mut().unwrap() ^= 1;

    let answer = wire.call(7, &produce(-1, [(0, corrupt.into()), (1, batch("sound"))])).await.unwrap();

    let codes = answer.responses[0].partition_responses.iter().map(|partition| partition.error_code);
    assert!(codes.eq([ResponseError::CorruptMessage.code(), 0]));
    assert_eq!(fetch_all(&partition(&client, "facts", 0).await).await.len(), 0);
    assert_eq!(values(&fetch_all(&partition(&client, "facts", 1).await).await), ["sound"]);
    broker.stop().await;
}

#[tokio::test]
async fn a_produce_without_acks_gets_no_answer_and_is_kept() {
    let dir = TempDir::new().unwrap();
    let broker = Broker::start(&dir.path().join("log")).await;
    let client = client(broker.addr).await;
    create(&client, "facts", 1).await;
    let mut wire = Wire::connect(broker.addr).await;

    wire.send(1, 7, &produce(0, [(0, batch("silent"))])).await;
    wire.send(2, 7, &produce(1, [(0, batch("loud"))])).await;

    assert_eq!(wire.receive().await.unwrap().get_i32(), 2);
    assert_eq!(values(&fetch_all(&partition(&client, "facts", 0).await).await), ["silent", "loud"]);
    broker.stop().await;
}

/// One raw connection.
struct Wire(TcpStream);

impl Wire {
    async fn connect(addr: SocketAddr) -> Self {
        Self(TcpStream::connect(addr).await.unwrap())
    }

    /// `None` when the broker closed instead of answering.
    async fn call<R: Request>(&mut self, version: i16, request: &R) -> Option<R::Response> {
        self.send(7, version, request).await;
        let mut answer = self.receive().await?;
        ResponseHeader::decode(&mut answer, R::Response::header_version(version)).unwrap();
        Some(R::Response::decode(&mut answer, version).unwrap())
    }

    async fn send<R: Request>(&mut self, correlation: i32, version: i16, request: &R) {
        let mut frame = BytesMut::new();
        RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(correlation)
            .encode(&mut frame, R::header_version(version))
            .unwrap();
        request.encode(&mut frame, version).unwrap();
        self.send_frame(&frame).await;
    }

    async fn send_frame(&mut self, frame: &[u8]) {
        self.0.write_i32(i32::try_from(frame.len()).unwrap()).await.unwrap();
        self.0.write_all(frame).await.unwrap();
    }

    async fn receive(&mut self) -> Option<Bytes> {
        let len = patiently(self.0.read_i32()).await.ok()?;
        let mut frame = vec![0; usize::try_from(len).unwrap()];
        patiently(self.0.read_exact(&mut frame)).await.unwrap();
        Some(frame.into())
    }

    async fn is_closed(&mut self) -> bool {
        !matches!(patiently(self.0.read(&mut [0])).await, Ok(1..))
    }
}

fn topic_name(name: &'static str) -> TopicName {
    TopicName(StrBytes::from_static_str(name))
}

fn produce<const N: usize>(acks: i16, partitions: [(i32, Bytes); N]) -> ProduceRequest {
    let partitions = partitions
        .map(|(index, records)| PartitionProduceData::default().with_index(index).with_records(Some(records)));
    let topic = TopicProduceData::default().with_name(topic_name("facts")).with_partition_data(partitions.into());
    ProduceRequest::default().with_acks(acks).with_timeout_ms(5_000).with_topic_data(vec![topic])
}

fn batch(value: &'static str) -> Bytes {
    let record = Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
        producer_id: NO_PRODUCER_ID,
        producer_epoch: NO_PRODUCER_EPOCH,
        timestamp_type: TimestampType::Creation,
        offset: 0,
        sequence: NO_SEQUENCE,
        timestamp: 0,
        key: None,
        value: Some(Bytes::from_static(value.as_bytes())),
        headers: Default::default(),
    };
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    let mut bytes = BytesMut::new();
    RecordBatchEncoder::encode(&mut bytes, [&record], &options).unwrap();
    bytes.freeze()
}
