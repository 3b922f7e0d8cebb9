//! One trace as a waterfall: when each message was on the wire, in the queue, in its handler and waiting for the database.

use essaim::trace::{Half, MessageKind, Span, TraceTree};

use super::super::print::columns;
use super::duration;
use super::tail::time_of_day;

/// Characters of a bar.
const WIDTH: u64 = 30;
const WIRE: char = '·';
const QUEUE: char = '░';
const DATABASE: char = '▒';
const RUN: char = '█';

pub fn text(tree: &TraceTree) -> String {
    let Some(first) = tree.spans.first() else { return String::new() };
    let (begin, took) = (tree.begin_us(), tree.end_us() - tree.begin_us());
    let nodes = tree.spans.iter().map(|span| &*span.record().node).collect::<std::collections::BTreeSet<_>>();
    let mut text = format!(
        "trace {}: {} messages in {} ({}), {} from {} UTC\n\n",
        first.record().trace_id,
        tree.spans.len(),
        if nodes.len() == 1 { "one node".into() } else { format!("{} nodes", nodes.len()) },
        nodes.into_iter().collect::<Vec<_>>().join(", "),
        duration(took),
        time_of_day(begin),
    );
    let head = ["at", "wire", "queue", "run", "database", "", "message", "where", "outcome"].map(String::from);
    let mut rows = vec![head];
    rows.extend(tree.spans.iter().map(|span| row(span, begin, took)));
    text += &columns(&rows);
    text += &format!("\n{WIRE} wire  {QUEUE} queue  {RUN} run  {DATABASE} waiting for the database\n");
    for (number, span) in tree.spans.iter().enumerate() {
        if let Some(error) = &span.record().error {
            text += &format!("{} {}: {error}\n", number + 1, span.record().name);
        }
    }
    text
}

fn row(span: &Span, begin: u64, took: u64) -> [String; 9] {
    let record = span.record();
    let (waited, ran, database) = match &span.handled {
        Some(handled) => (handled.waited_us, handled.ran_us, handled.database_us),
        None => (0, 0, 0),
    };
    let mut outcome = record.outcome.as_str().to_string();
    if span.handled.is_none() && record.half == Half::Sent && record.is_well() {
        // Nobody may want an event or a broadcast.
        let is_for_anybody = matches!(record.kind, MessageKind::Event | MessageKind::Broadcast);
        outcome = if is_for_anybody { "sent" } else { "sent, not handled yet" }.into();
    }
    if record.attempt > 1 {
        outcome += &format!(", attempt {}", record.attempt);
    }
    [
        format!("{:>9}", duration(span.begin_us - begin)),
        span.wire_us().map_or_else(|| "-".into(), duration),
        duration(waited),
        duration(ran),
        duration(database),
        bar(span, begin, took, (waited, ran, database)),
        format!("{}{}", "  ".repeat(span.depth), record.name),
        format!("{}@{}", record.capability, record.node),
        outcome,
    ]
}

/// The bar of one message, from the beginning of the trace on.
fn bar(span: &Span, begin: u64, took: u64, (waited, ran, database): (u64, u64, u64)) -> String {
    let place = |us: u64| (us * WIDTH).checked_div(took).unwrap_or(0).min(WIDTH);
    let queue = span.handler_us.saturating_sub(waited);
    let ends = [
        (' ', span.begin_us),
        (WIRE, queue),
        (QUEUE, span.handler_us),
        (DATABASE, span.handler_us + database.min(ran)),
        (RUN, span.handler_us + ran),
        (WIRE, span.end_us),
    ];
    let (mut bar, mut at) = (String::new(), 0);
    for (sign, end) in ends {
        let end = place(end.saturating_sub(begin)).max(at);
        (at..end).for_each(|_| bar.push(sign));
        at = end;
    }
    // A message that is shorter than a character is seen all the same.
    if bar.trim().is_empty() {
        bar.truncate(WIDTH as usize - 1);
        bar.push(if span.handled.is_some() { RUN } else { WIRE });
    }
    format!("{bar:<width$}", width = WIDTH as usize)
}
