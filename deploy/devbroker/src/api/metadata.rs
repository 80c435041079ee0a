//! Metadata: the one node and its topics. Asking never creates a topic.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::NODE;
use crate::log::Topic;
use crate::server::Broker;

/// Describes the topics asked for; all of them for a null list, and for an empty one in version 0.
pub fn answer(broker: &Broker, request: MetadataRequest, version: i16) -> MetadataResponse {
    let topics = broker.log.topics();
    let wanted = request.topics.filter(|wanted| version > 0 || !wanted.is_empty());
    let described = match wanted {
        None => topics
            .iter()
            .map(|(name, topic)| describe(StrBytes::from_string(name.clone()).into(), Some(topic)))
            .collect(),
        Some(wanted) => wanted
            .into_iter()
            .filter_map(|topic| topic.name)
            .map(|name| {
                let topic = topics.get(name.as_str());
                describe(name, topic.map(AsRef::as_ref))
            })
            .collect(),
    };

    let node = MetadataResponseBroker::default()
        .with_node_id(NODE)
        .with_host(StrBytes::from_string(broker.endpoint.host.clone()))
        .with_port(i32::from(broker.endpoint.port));
    MetadataResponse::default()
        .with_brokers(vec![node])
        .with_cluster_id(Some(StrBytes::from_static_str("eventix-devbroker")))
        .with_controller_id(NODE)
        .with_topics(described)
}

fn describe(name: TopicName, topic: Option<&Topic>) -> MetadataResponseTopic {
    let answer = MetadataResponseTopic::default().with_name(Some(name));
    let Some(topic) = topic else {
        return answer.with_error_code(ResponseError::UnknownTopicOrPartition.code());
    };
    let partitions = (0..topic.partitions()).map(|index| {
        MetadataResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(NODE)
            .with_replica_nodes(vec![NODE])
            .with_isr_nodes(vec![NODE])
    });
    answer.with_partitions(partitions.collect())
}
