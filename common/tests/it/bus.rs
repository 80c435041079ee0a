//! The contract of the log, on the development broker and on a foreign one.

use crate::brokers::Process;
use crate::contract;

/// Turns each contract into one test per broker.
macro_rules! on_both_brokers {
    ($($name:ident),+ $(,)?) => {
        mod on_devbroker {
            $(#[tokio::test] async fn $name() { super::contract::$name(&super::Process::devbroker().await).await; })+
        }
        mod on_foreign_broker {
            $(#[tokio::test] async fn $name() { super::contract::$name(&super::Process::foreign().await).await; })+
        }
    };
}

on_both_brokers!(
    a_topic_is_made_once_and_keeps_its_partitions,
    records_come_back_in_order_with_keys_and_headers,
    an_empty_key_and_a_large_value_survive,
    producers_at_once_lose_nothing_and_keep_their_own_order,
    a_fetch_waits_for_the_next_record,
    an_offset_beyond_the_end_brings_no_records,
    every_call_to_a_frozen_broker_ends_in_time,
);

/// The foreign broker makes topics up when they are asked for, as brokers with auto-creation do: switch it off.
#[tokio::test]
async fn an_unknown_topic_is_told_apart() {
    contract::an_unknown_topic_is_told_apart(&Process::devbroker().await).await;
}
