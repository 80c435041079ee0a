//! CreateTopics: validated like a real broker of one node. Topic configs are accepted and have no effect.

use std::collections::HashSet;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::{CreateTopicsRequest, CreateTopicsResponse};
use kafka_protocol::protocol::StrBytes;

use crate::server::Broker;

const PARTITIONS_MAX: i32 = 1_024;
const TOPICS_MAX: usize = 1_024;
const NAME_BYTES_MAX: usize = 249;
/// "The broker's default", for partitions and replicas (KIP-464).
const DEFAULT: i32 = -1;

type Refusal = (ResponseError, &'static str);

/// Creates each topic that may be, one after the other; a refused one does not hinder the next.
pub async fn answer(broker: &Broker, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let mut named = HashSet::new();
    let mut repeated = HashSet::new();
    for topic in &request.topics {
        if !named.insert(&topic.name) {
            repeated.insert(&topic.name);
        }
    }

    let mut results = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let outcome = if repeated.contains(&topic.name) {
            Err((ResponseError::InvalidRequest, "the request names this topic twice"))
        } else {
            create(broker, topic, request.validate_only).await
        };
        let result = CreatableTopicResult::default().with_name(topic.name.clone());
        results.push(match outcome {
            Ok(()) => result.with_error_message(None),
            Err((error, text)) => {
                result.with_error_code(error.code()).with_error_message(Some(StrBytes::from_static_str(text)))
            }
        });
    }
    CreateTopicsResponse::default().with_topics(results)
}

async fn create(broker: &Broker, topic: &CreatableTopic, validate_only: bool) -> Result<(), Refusal> {
    let partitions = validate(broker, topic)?;
    if validate_only {
        return Ok(());
    }
    match broker.log.create(topic.name.to_string(), partitions).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(already_exists()),
        Err(_) => Err((ResponseError::KafkaStorageError, "the broker's storage failed")),
    }
}

/// The number of partitions to create.
fn validate(broker: &Broker, topic: &CreatableTopic) -> Result<i32, Refusal> {
    if !is_legal(&topic.name) {
        return Err((ResponseError::InvalidTopicException, "a topic name has 1 to 249 of [a-zA-Z0-9._-]"));
    }
    let topics = broker.log.topics();
    if topics.contains_key(topic.name.as_str()) {
        return Err(already_exists());
    }
    if topics.len() >= TOPICS_MAX {
        return Err((ResponseError::PolicyViolation, "the development broker holds at most 1024 topics"));
    }
    if !topic.assignments.is_empty() {
        return Err((
            ResponseError::InvalidReplicaAssignment,
            "the development broker is one node, nothing can be assigned",
        ));
    }
    if !matches!(i32::from(topic.replication_factor), 1 | DEFAULT) {
        return Err((
            ResponseError::InvalidReplicationFactor,
            "the development broker is one node, only 1 replica is possible",
        ));
    }
    match topic.num_partitions {
        DEFAULT => Ok(1),
        partitions @ 1..=PARTITIONS_MAX => Ok(partitions),
        _ => Err((ResponseError::InvalidPartitions, "a topic has 1 to 1024 partitions")),
    }
}

fn already_exists() -> Refusal {
    (ResponseError::TopicAlreadyExists, "the topic exists")
}

fn is_legal(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name != "." && name != ".." && name.bytes().all(legal)
}
