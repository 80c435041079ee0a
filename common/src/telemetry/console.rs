//! Readable console lines: time, level, message, fields, and the trace id to look the rest up by.

use std::fmt;
use std::io::{IsTerminal, stderr};

use opentelemetry::trace::TraceContextExt;
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

pub(super) fn layer<S>() -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    tracing_subscriber::fmt::layer().with_writer(stderr).with_ansi(stderr().is_terminal()).event_format(Lines)
}

struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        SystemTime.format_time(&mut writer)?;
        write!(writer, " {:>5} ", event.metadata().level())?;
        ctx.format_fields(writer.by_ref(), event)?;
        if let Some(id) = ctx.lookup_current().map(|span| span.id())
            && let Some(context) = tracing::dispatcher::get_default(|d| tracing_opentelemetry::get_otel_context(&id, d))
        {
            let span = context.span();
            if span.span_context().is_valid() {
                write!(writer, " trace_id={}", span.span_context().trace_id())?;
            }
        }
        writeln!(writer)
    }
}
