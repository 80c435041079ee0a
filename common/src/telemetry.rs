//! Logs, traces and metrics. One subscriber per process; spans leave by OTLP when the standard `OTEL_*` variables say so.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use prometheus::{Encoder, Registry, TextEncoder};
use tracing::{Level, Metadata, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

mod console;

/// Crates whose own spans would trace the exporter itself.
const NOT_TRACED: &str = "h2=off,hyper=off,hyper_util=off,tonic=off,tower=off,rskafka=off,sqlx=off,sea_orm=off";
/// Shown on the console unless `RUST_LOG` says otherwise.
const CONSOLE_DEFAULT: &str =
    "info,rskafka=off,sea_orm_migration=warn,sqlx=warn,h2=warn,hyper=warn,opentelemetry=warn,opentelemetry_sdk=warn";

/// Crates that print headers, and so tokens, below this level: what `RUST_LOG` cannot change in production.
const TALKATIVE: [&str; 8] = ["h2", "hyper", "hyper_util", "tonic", "tower", "rustls", "sqlx", "sea_orm"];

/// How logs are written to stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logs {
    /// Lines for people.
    Lines,
    /// One JSON object per line, for production.
    Json,
}

fn tells_no_secret(metadata: &Metadata<'_>) -> bool {
    let talkative = TALKATIVE.contains(&metadata.target().split("::").next().unwrap_or_default());
    !talkative || *metadata.level() <= Level::INFO
}

/// Keeps the exporters alive; dropped last.
pub struct Telemetry {
    tracer: SdkTracerProvider,
    meter: SdkMeterProvider,
}

impl Telemetry {
    /// Starts telemetry for this process, with readable lines. Must be called inside a runtime, once.
    ///
    /// # Errors
    /// An OTLP address that cannot be parsed, or a second call.
    pub fn start(service: &str) -> anyhow::Result<Self> {
        Self::start_with(service, Logs::Lines)
    }

    /// The same with a choice of logs.
    ///
    /// # Errors
    /// An OTLP address that cannot be parsed, or a second call.
    pub fn start_with(service: &str, logs: Logs) -> anyhow::Result<Self> {
        let resource = Resource::builder().with_service_name(service.to_owned()).build();
        let mut tracer = SdkTracerProvider::builder().with_resource(resource.clone());
        if exports_spans() {
            tracer = tracer.with_batch_exporter(SpanExporter::builder().with_tonic().build()?);
        }
        let tracer = tracer.build();

        let exporter = opentelemetry_prometheus::exporter().with_registry(registry().clone()).build()?;
        let meter = SdkMeterProvider::builder().with_resource(resource).with_reader(exporter).build();
        opentelemetry::global::set_meter_provider(meter.clone());

        let spans = tracing_opentelemetry::layer()
            .with_tracer(tracer.tracer("eventix"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(EnvFilter::new(format!("info,{NOT_TRACED}")));
        let console = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(CONSOLE_DEFAULT));
        let shown = match logs {
            Logs::Lines => console::lines().with_filter(console).boxed(),
            Logs::Json => console::json().with_filter(console.and(filter_fn(tells_no_secret))).boxed(),
        };
        tracing_subscriber::registry().with(spans).with(shown).try_init()?;
        Ok(Self { tracer, meter })
    }

    /// Sends what is still buffered; bounded by the exporter's own time limit.
    pub async fn flush(self) {
        let _ = tokio::task::spawn_blocking(move || {
            let _ = self.tracer.shutdown_with_timeout(Duration::from_secs(5));
            let _ = self.meter.shutdown();
        })
        .await;
    }
}

#[expect(clippy::disallowed_methods, reason = "the OTEL_* variables are a standard of their own")]
fn exports_spans() -> bool {
    let set = |name| std::env::var(name).is_ok_and(|v| !v.is_empty());
    let disabled = std::env::var("OTEL_SDK_DISABLED").is_ok_and(|v| v.eq_ignore_ascii_case("true"));
    let exporter_off = std::env::var("OTEL_TRACES_EXPORTER").is_ok_and(|v| v == "none");
    !disabled && !exporter_off && (set("OTEL_EXPORTER_OTLP_ENDPOINT") || set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))
}

/// A trace context on its way through metadata, rows and headers: `traceparent` and `tracestate`.
pub type Carrier = HashMap<String, String>;

/// The current span's context, to be carried elsewhere.
pub fn carry() -> Carrier {
    carry_span(&Span::current())
}

/// A span's context, to be carried elsewhere.
pub fn carry_span(span: &Span) -> Carrier {
    let mut carrier = Carrier::new();
    TraceContextPropagator::new().inject_context(&span.context(), &mut carrier);
    carrier.retain(|_, value| !value.is_empty());
    carrier
}

/// Makes what was carried here the parent of a span that has not been entered yet.
pub fn set_parent(span: &Span, carrier: &Carrier) {
    // Fails only for a span that no layer records.
    let _ = span.set_parent(context_of(carrier));
}

/// Links a span to what was carried here.
pub fn add_link(span: &Span, carrier: &Carrier) {
    let context = context_of(carrier).span().span_context().clone();
    if context.is_valid() {
        span.add_link(context);
    }
}

fn context_of(carrier: &Carrier) -> Context {
    TraceContextPropagator::new().extract_with_context(&Context::new(), carrier)
}

/// The current trace id, 32 hex digits; `None` outside any trace.
pub fn trace_id() -> Option<String> {
    let context = Span::current().context();
    let span = context.span().span_context().clone();
    span.is_valid().then(|| span.trace_id().to_string())
}

fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(Registry::new)
}

/// All metrics in Prometheus text form.
pub fn metrics_text() -> String {
    let mut buffer = Vec::new();
    let _ = TextEncoder::new().encode(&registry().gather(), &mut buffer);
    String::from_utf8_lossy(&buffer).into_owned()
}

fn meter() -> Meter {
    opentelemetry::global::meter("eventix")
}

/// Records one finished request: rate, errors and duration come from one histogram.
/// `kind` is `rpc` or `http`; `method` a closed set of routes; `code` a closed set of outcomes.
pub fn record_request(kind: &'static str, service: &str, method: &str, code: &str, took: Duration) {
    static DURATION: OnceLock<Histogram<f64>> = OnceLock::new();
    DURATION
        .get_or_init(|| {
            meter()
                .f64_histogram("eventix_request_duration")
                .with_unit("s")
                .with_description("Duration of requests served, by kind, service, method and outcome")
                .with_boundaries(vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0])
                .build()
        })
        .record(
            took.as_secs_f64(),
            &[
                KeyValue::new("kind", kind),
                KeyValue::new("service", service.to_owned()),
                KeyValue::new("method", method.to_owned()),
                KeyValue::new("code", code.to_owned()),
            ],
        );
}

/// Sets a gauge, for instance the age of the oldest unpublished fact.
pub fn set_gauge(name: &'static str, service: &str, label: &str, value: f64) {
    static GAUGES: OnceLock<std::sync::Mutex<HashMap<&'static str, Gauge<f64>>>> = OnceLock::new();
    let mut gauges = GAUGES.get_or_init(Default::default).lock().expect("no holder of this lock panics");
    gauges
        .entry(name)
        .or_insert_with(|| meter().f64_gauge(name).build())
        .record(value, &[KeyValue::new("service", service.to_owned()), KeyValue::new("name", label.to_owned())]);
}

/// Counts something that happened.
pub fn count(name: &'static str, service: &str, label: &str) {
    count_by(name, service, KeyValue::new("name", label.to_owned()));
}

/// Counts something of which there is a closed set of kinds, under the label `kind`.
pub fn count_kind(name: &'static str, service: &str, kind: &str) {
    count_by(name, service, KeyValue::new("kind", kind.to_owned()));
}

fn count_by(name: &'static str, service: &str, label: KeyValue) {
    static COUNTERS: OnceLock<std::sync::Mutex<HashMap<&'static str, Counter<u64>>>> = OnceLock::new();
    let mut counters = COUNTERS.get_or_init(Default::default).lock().expect("no holder of this lock panics");
    counters
        .entry(name)
        .or_insert_with(|| meter().u64_counter(name).build())
        .add(1, &[KeyValue::new("service", service.to_owned()), label]);
}
