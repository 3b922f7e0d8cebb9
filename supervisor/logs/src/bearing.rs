//! Lines that tell where they are from: each its node, and those of a handler also its capability, its message and its trace,
//! whether or not that is sampled.
//!
//! The handler's message is looked up on the thread when a line is written. So a message that logs nothing pays nothing.

use std::fmt;

use essaim_base::activity;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// The target of message spans: what stands in one has all these fields from there.
const MESSAGE_SPANS: &str = "essaim::message";

/// A format of `tracing-subscriber`, with these fields at the end of each line: `node`, `capability`, `handler` (the message's
/// wire name), `trace_id` and `span_id`. One that the line has itself is not repeated.
pub struct Bearing<F> {
    format: F,
    /// The node of lines outside of handlers.
    node: String,
    form: Form,
}

/// How a line is written.
#[derive(Clone, Copy)]
enum Form {
    /// For people, and whether with colours.
    Pretty(bool),
    /// One JSON object.
    Json,
}

impl<F> Bearing<F> {
    /// Of a format for people, which must write no more than one line.
    pub fn pretty(format: F, node: &str, is_coloured: bool) -> Self {
        Self { format, node: node.into(), form: Form::Pretty(is_coloured) }
    }

    /// Of a format that writes a JSON object.
    pub fn json(format: F, node: &str) -> Self {
        Self { format, node: node.into(), form: Form::Json }
    }
}

impl<F, S, N> FormatEvent<S, N> for Bearing<F>
where
    F: FormatEvent<S, N>,
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::new();
        self.format.format_event(context, Writer::new(&mut line), event)?;
        // A line for people that stands in a message's span has its fields already.
        let has_all = context.event_scope().is_some_and(|mut scope| scope.any(|span| is_of_message(span.metadata())));
        let line = line.trim_end_matches('\n');
        match (self.form, line.strip_suffix('}')) {
            (Form::Pretty(_), _) if has_all => writer.write_str(line)?,
            (Form::Json, Some(object)) => {
                writer.write_str(object)?;
                self.write_fields(&mut writer, event)?;
                writer.write_char('}')?;
            }
            _ => {
                writer.write_str(line)?;
                self.write_fields(&mut writer, event)?;
            }
        }
        writer.write_char('\n')
    }
}

impl<F> Bearing<F> {
    fn write_fields(&self, writer: &mut Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let own = event.metadata().fields();
        let mut field = |name: &str, value: &str| match (own.field(name), self.form) {
            (Some(_), _) => Ok(()),
            (None, Form::Pretty(true)) => write!(writer, " \x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m{value:?}"),
            (None, Form::Pretty(false)) => write!(writer, " {name}={value:?}"),
            (None, Form::Json) => write!(writer, ",\"{name}\":{}", serde_json::Value::from(value)),
        };
        let Some(current) = activity::current() else { return field("node", &self.node) };
        field("node", &current.node)?;
        field("capability", &current.capability)?;
        field("handler", &current.message)?;
        field("trace_id", &format!("{:032x}", current.trace.trace_id))?;
        field("span_id", &format!("{:016x}", current.trace.span_id))
    }
}

fn is_of_message(span: &Metadata<'_>) -> bool {
    span.target() == MESSAGE_SPANS && span.name() == "message"
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use essaim_base::Env;
    use essaim_base::activity::CurrentMessage;
    use essaim_base::lock::Mutex;
    use essaim_base::trace::TraceContext;
    use tracing_subscriber::fmt::format;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn current() -> CurrentMessage {
        let trace = TraceContext { trace_id: 0xab, span_id: 0xcd, ..TraceContext::root(&Env::system()) };
        CurrentMessage { node: "shop".into(), capability: "orders".into(), message: "orders.place.v1".into(), trace }
    }

    /// What is written for people, without colours, and as JSON.
    fn written(work: impl Fn()) -> [String; 2] {
        [false, true].map(|is_json| {
            let written = Written::default();
            let into = written.clone();
            let lines = tracing_subscriber::fmt().with_ansi(false).with_writer(move || into.clone());
            let format = format().without_time().with_target(false).with_ansi(false);
            if is_json {
                let format = format.json().flatten_event(true).with_current_span(true).with_span_list(false);
                let json = lines.json().event_format(Bearing::json(format, "here"));
                tracing::subscriber::with_default(json.finish(), &work);
            } else {
                let pretty = lines.event_format(Bearing::pretty(format, "here", false));
                tracing::subscriber::with_default(pretty.finish(), &work);
            }
            String::from_utf8(written.0.lock().clone()).expect("it is text")
        })
    }

    #[test]
    fn a_line_of_the_runtime_tells_its_node() {
        let [pretty, json] = written(|| tracing::info!(a = 1, "said {{it}}"));
        assert_eq!(pretty, " INFO said {it} a=1 node=\"here\"\n");
        assert_eq!(json, "{\"level\":\"INFO\",\"message\":\"said {it}\",\"a\":1,\"node\":\"here\"}\n");
    }

    #[test]
    fn a_line_of_a_handler_tells_message_and_trace_without_a_span_and_its_own_fields_once() {
        let [pretty, json] = written(|| {
            let _entered = current().enter();
            tracing::warn!(node = "other", "odd");
        });
        let (trace, span) = (format!("{:032x}", 0xab), format!("{:016x}", 0xcd));
        let fields =
            format!("capability=\"orders\" handler=\"orders.place.v1\" trace_id=\"{trace}\" span_id=\"{span}\"");
        assert_eq!(pretty, format!(" WARN odd node=\"other\" {fields}\n"));
        let json: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
        assert_eq!((&json["node"], &json["trace_id"]), (&"other".into(), &trace.as_str().into()));
        assert_eq!((&json["handler"], &json["message"]), (&"orders.place.v1".into(), &"odd".into()));
    }

    #[test]
    fn in_the_span_of_a_message_people_read_it_once_and_programs_find_it_where_it_always_is() {
        let [pretty, json] = written(|| {
            let _entered = current().enter();
            let span = tracing::info_span!(target: MESSAGE_SPANS, "message", capability = "orders");
            span.in_scope(|| tracing::info!("said"));
        });
        assert_eq!(pretty, " INFO message{capability=\"orders\"}: said\n");
        let json: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
        assert_eq!((&json["capability"], &json["span"]["capability"]), (&"orders".into(), &"orders".into()));
    }

    #[test]
    fn a_panic_is_a_line_with_its_place_and_the_message_that_caused_it() {
        essaim_base::panic::log_panics();
        let [pretty, json] = written(|| {
            let _entered = current().enter();
            let caught = std::panic::catch_unwind(|| panic!("on fire"));
            let text = essaim_base::panic::panic_text(&*caught.expect_err("it panics"));
            let location = essaim_base::panic::panic_location(&text).expect("it is known");
            assert!(location.contains("bearing.rs:"), "{location}");
        });
        for part in ["ERROR a panic panic=\"on fire\" location=", "bearing.rs:", "handler=\"orders.place.v1\""] {
            assert!(pretty.contains(part), "{pretty}");
        }
        let json: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
        assert_eq!((&json["panic"], &json["handler"]), (&"on fire".into(), &"orders.place.v1".into()));
    }
}
