//! One trace from the transaction that wrote a fact, over the outbox and the log, into its handler.

use std::sync::{Arc, Mutex};

use common::outbox::partition_of;
use common::testing::TestDb;
use opentelemetry::trace::{SpanId, TraceContextExt, TraceId, TracerProvider};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use tracing::Instrument;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{EnvFilter, Layer};
use uuid::Uuid;

use crate::brokers::Broker;
use crate::world::{TOPIC, World, eventually, fact};

/// Keeps finished spans for the test.
#[derive(Debug, Clone, Default)]
struct Finished(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Finished {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

impl Finished {
    fn named(&self, name: &str, trace: TraceId) -> Option<SpanData> {
        let wanted = |span: &&SpanData| span.name == name && span.span_context.trace_id() == trace;
        self.0.lock().unwrap().iter().find(wanted).cloned()
    }
}

#[tokio::test]
async fn a_facts_trace_leads_from_its_writer_to_its_handler() {
    let finished = Finished::default();
    let tracer = SdkTracerProvider::builder().with_simple_exporter(finished.clone()).build();
    let layer = tracing_opentelemetry::layer().with_tracer(tracer.tracer("test"));
    // For all threads: whether a span is wanted is decided once, by the thread that meets it first, which may be another
    // test's. Of their spans nothing is looked at.
    let layer = layer.with_filter(EnvFilter::new("off,common=info,it=info"));
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer)).unwrap();
    let broker = Broker::start().await;
    let mut world = World::new(TestDb::sqlite().await, broker.addr).await;
    let aggregate = Uuid::now_v7();

    let writer = tracing::info_span!("booking.hold");
    let trace = writer.context().span().span_context().trace_id();
    world.tell(&[fact(aggregate, 1, "x")]).instrument(writer).await;
    // Only now, as after a restart: the trace went through the row.
    world.run();
    world.until_effects(aggregate, &[1]).await;

    let process_name = format!("{TOPIC} process");
    let process = eventually("the process span", async || finished.named(&process_name, trace)).await;
    let publish = finished.named(&format!("{TOPIC} publish"), trace).unwrap();
    let writer = finished.named("booking.hold", trace).unwrap();
    assert_eq!(writer.parent_span_id, SpanId::INVALID);
    assert_eq!((publish.span_context.trace_id(), publish.parent_span_id), (trace, writer.span_context.span_id()));
    assert_eq!((process.span_context.trace_id(), process.parent_span_id), (trace, publish.span_context.span_id()));
    assert_eq!(process.links.links[0].span_context.span_id(), publish.span_context.span_id());
    let record = &world.log(partition_of(aggregate)).await[0];
    let traceparent = format!("00-{trace}-{}-01", publish.span_context.span_id());
    assert_eq!(record.headers["traceparent"], traceparent);
    let rows = world.rows("SELECT trace_id FROM effects", vec![]).await;
    assert_eq!(rows[0].try_get::<String>("", "trace_id").unwrap(), trace.to_string());
    world.halt().await;
}
