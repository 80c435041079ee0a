"""Produces to and fetches from the broker at argv[1] with confluent-kafka, and fails on any difference.

Creates its own topic, sends keyed records with headers, reads them by assign() from the beginning, and compares count,
order per partition, keys and headers. One line says what was seen; any difference ends with a non-zero status.
"""

import sys
import time
import uuid
import zlib

import confluent_kafka
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

PARTITIONS = 3
RECORDS = 1_000
KEYS = 37
DEADLINE_S = 15


def main(bootstrap):
    topic = f"foreign-{uuid.uuid4()}"
    create(bootstrap, topic)
    sent = produce(bootstrap, topic)
    found = fetch(bootstrap, topic)
    for partition in range(PARTITIONS):
        if found[partition] != sent[partition]:
            differing = sum(a != b for a, b in zip(found[partition], sent[partition]))
            sys.exit(
                f"partition {partition}: sent {len(sent[partition])}, found {len(found[partition])}, {differing} differ"
            )
    print(
        f"confluent-kafka {confluent_kafka.version()} (librdkafka {confluent_kafka.libversion()[0]}): "
        f"{RECORDS} records in {PARTITIONS} partitions came back in order with keys and headers"
    )


def create(bootstrap, topic):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    created = admin.create_topics([NewTopic(topic, num_partitions=PARTITIONS, replication_factor=1)])
    created[topic].result(timeout=DEADLINE_S)
    described = admin.list_topics(topic, timeout=DEADLINE_S).topics[topic]
    if sorted(described.partitions) != list(range(PARTITIONS)):
        sys.exit(f"asked for {PARTITIONS} partitions, got {sorted(described.partitions)}")


def produce(bootstrap, topic):
    """Returns (offset, key, value, headers) of what was acknowledged, per partition in order of sending."""
    sent = [[] for _ in range(PARTITIONS)]
    failures = []
    # linger.ms makes many small batches, so that offsets across batches are tried too
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "linger.ms": 2, "batch.num.messages": 50})
    for n in range(RECORDS):
        key = f"key-{n % KEYS}".encode()
        value = f"value-{n}".encode()
        headers = [("n", str(n).encode()), ("traceparent", f"00-{n:032x}".encode()), ("empty", b"")]
        partition = zlib.crc32(key) % PARTITIONS

        def delivered(error, message, partition=partition, record=(key, value, headers)):
            if error is not None:
                failures.append(error)
            else:
                sent[partition].append((message.offset(), *record))

        producer.produce(topic, partition=partition, key=key, value=value, headers=headers, on_delivery=delivered)
        producer.poll(0)
    left = producer.flush(DEADLINE_S)
    if left or failures:
        sys.exit(f"{left} records unsent, {len(failures)} refused: {failures[:3]}")
    return sent


def fetch(bootstrap, topic):
    """Returns (offset, key, value, headers) of what is there, per partition in order of arrival."""
    found = [[] for _ in range(PARTITIONS)]
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "unused",  # the client insists on one; assign() never joins it
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
        }
    )
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    deadline = time.monotonic() + DEADLINE_S
    while sum(map(len, found)) < RECORDS and time.monotonic() < deadline:
        message = consumer.poll(0.5)
        if message is None:
            continue
        if message.error():
            sys.exit(f"fetch failed: {message.error()}")
        found[message.partition()].append((message.offset(), message.key(), message.value(), message.headers()))
    consumer.close()
    return found


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: foreign.py HOST:PORT")
    main(sys.argv[1])
