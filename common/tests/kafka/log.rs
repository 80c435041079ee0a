//! The contract of the log, on Kafka.

use crate::cluster::Cluster;
use crate::contract;

macro_rules! on_kafka {
    ($($name:ident),+ $(,)?) => {
        $(#[tokio::test] async fn $name() { contract::$name(&Cluster::met().await).await; })+
    };
}

on_kafka!(
    a_topic_is_made_once_and_keeps_its_partitions,
    records_come_back_in_order_with_keys_and_headers,
    an_empty_key_and_a_large_value_survive,
    producers_at_once_lose_nothing_and_keep_their_own_order,
    a_fetch_waits_for_the_next_record,
    an_offset_beyond_the_end_brings_no_records,
    an_unknown_topic_is_told_apart,
);

/// Tests here stop the nodes, so the run must have started them.
mod own_nodes {
    use super::{Cluster, contract};

    on_kafka!(every_call_to_a_frozen_broker_ends_in_time);
}
