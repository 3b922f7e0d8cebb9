//! Attributes of a span, by OpenTelemetry's semantic conventions where they have a name for it, else `essaim.…`.

use essaim_trace::{Half, MessageKind, MessageRecord};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};

/// The name of this messaging system, and of its asks.
const SYSTEM: &str = "essaim";

/// Attributes, in the order in which they were added.
#[derive(Default)]
pub struct Attributes(Vec<KeyValue>);

impl Attributes {
    /// All that a record tells.
    pub fn of(record: &MessageRecord) -> Vec<KeyValue> {
        let mut all = Self::default();
        match record.kind {
            MessageKind::Request => all.add_request(record),
            MessageKind::Ask => all.add_ask(record),
            MessageKind::Command | MessageKind::Event | MessageKind::Broadcast | MessageKind::Schedule => {
                all.add_message(record);
            }
            MessageKind::Timer => {}
        }
        all.add_own(record);
        all.0
    }

    fn add_request(&mut self, record: &MessageRecord) {
        let (method, path) = record.name.split_once(' ').unwrap_or((&record.name, "/"));
        self.text("http.request.method", method);
        self.text("url.path", path);
        if let Some(status) = http_status(record) {
            self.number("http.response.status_code", status.into());
        }
    }

    fn add_ask(&mut self, record: &MessageRecord) {
        self.text("rpc.system", SYSTEM);
        self.text("rpc.service", &record.capability);
        self.text("rpc.method", &record.name);
    }

    fn add_message(&mut self, record: &MessageRecord) {
        let operation = operation(record);
        self.text("messaging.system", SYSTEM);
        self.text("messaging.operation.type", operation);
        self.text("messaging.operation.name", operation);
        self.text("messaging.destination.name", &record.name);
        if record.half == Half::Handled {
            self.text("messaging.consumer.group.name", &record.capability);
        }
        self.optional("messaging.message.id", record.message_id.as_deref());
        self.counted("messaging.message.body.size", record.bytes.into());
    }

    fn add_own(&mut self, record: &MessageRecord) {
        if !record.is_well() {
            let status = http_status(record).map(|status| status.to_string());
            self.text("error.type", status.as_deref().unwrap_or(record.outcome.as_str()));
        }
        self.text("essaim.kind", record.kind.as_str());
        self.text("essaim.half", record.half.as_str());
        self.text("essaim.node", &record.node);
        self.text("essaim.capability", &record.capability);
        self.text("essaim.outcome", record.outcome.as_str());
        self.optional("essaim.error", record.error.as_deref());
        self.optional("essaim.sender", record.sender.as_deref());
        self.optional("essaim.peer", record.peer.as_deref());
        self.optional("essaim.key", record.key.as_deref());
        if let Some(instance) = record.instance {
            self.number("essaim.instance", instance.into());
        }
        self.counted("essaim.attempt", record.attempt.into());
        self.counted("essaim.bytes", record.bytes.into());
        self.counted("essaim.queue_us", record.waited_us);
        self.number("essaim.run_us", record.ran_us);
        self.counted("essaim.database_us", record.database_us);
        for (name, value) in record.attributes.iter().flat_map(|values| values.iter()) {
            self.text(&format!("essaim.attr.{name}"), value);
        }
    }

    pub fn text(&mut self, name: &str, value: &str) {
        self.add(name, Value::StringValue(value.into()));
    }

    fn optional(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    fn number(&mut self, name: &str, value: u64) {
        self.add(name, Value::IntValue(value.min(i64::MAX as u64) as i64));
    }

    /// A number of which 0 means that there is none.
    fn counted(&mut self, name: &str, value: u64) {
        if value > 0 {
            self.number(name, value);
        }
    }

    fn add(&mut self, name: &str, value: Value) {
        let value = Some(AnyValue { value: Some(value) });
        self.0.push(KeyValue { key: name.into(), value, ..KeyValue::default() });
    }

    pub fn into_inner(self) -> Vec<KeyValue> {
        self.0
    }
}

/// What is done with a stored message.
pub fn operation(record: &MessageRecord) -> &'static str {
    match record.half {
        Half::Sent => "send",
        Half::Handled => "process",
    }
}

/// The status of a request's answer, as far as its record tells it: of one that did not go well.
pub fn http_status(record: &MessageRecord) -> Option<u16> {
    let is_request = record.kind == MessageKind::Request;
    record.error.as_deref().filter(|_| is_request)?.strip_prefix("status ")?.parse().ok()
}
