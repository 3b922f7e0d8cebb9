//! `essaim trace`: messages as they end, in all nodes; or one trace as a waterfall, a sequence diagram or Mermaid text.
//!
//! # Layout
//! - here: the command; `tail`: records as they are written; `waterfall`, `sequence`: one trace as text for people;
//!   `otlp`: the spans for other tools.

#[cfg_attr(not(feature = "otlp"), path = "trace/without_otlp.rs")]
mod otlp;
mod sequence;
mod tail;
mod waterfall;

use clap::Args;
use essaim::Roster;
use essaim::api::{FindLogs, MOST_LINES, ShowTrace};
use essaim::exit::{self, Fatal};
use essaim::trace::{Conditions, Filter, Steps, TraceTree, mermaid};

use self::tail::tail;
pub use self::tail::time_of_day;
use super::follow::tell_away;
use super::operator::{At, Operator};
use super::{Global, logs, print};

/// `essaim trace`
#[derive(Debug, Args)]
pub struct TraceArgs {
    /// A trace's id, a message's id or a key, whose traces are shown; or conditions on the messages that are listed as they end,
    /// such as capability=orders outcome!=ok ran>=100ms error~text key=ID attr.request_id=ID at>5m
    #[arg(value_name = "ID or CONDITION")]
    what: Vec<String>,
    /// Lists what is known already, and ends
    #[arg(long)]
    once: bool,
    /// Shows the trace as a sequence diagram
    #[arg(long, conflicts_with_all = ["mermaid", "json", "otlp", "once"])]
    sequence: bool,
    /// Prints the trace as a sequence diagram in the language of Mermaid
    #[arg(long, conflicts_with_all = ["json", "otlp", "once"])]
    mermaid: bool,
    /// Prints JSON: the trees of traces, or one record a line
    #[arg(long)]
    json: bool,
    /// Prints the trace as JSON of OpenTelemetry (OTLP), with the resource attributes of trace.otlp
    #[arg(long, conflicts_with_all = ["json", "once"])]
    otlp: bool,
    /// Shows the log lines of the trace under it
    #[arg(long, conflicts_with_all = ["mermaid", "json", "once"])]
    logs: bool,
    #[command(flatten)]
    at: At,
}

/// Shows traces, or lists messages as they end.
///
/// # Errors
/// If no node answers, or there is no such trace.
pub fn run(roster: &Roster, global: &Global, args: &TraceArgs) -> Result<(), Fatal> {
    let operator = Operator::find(roster, global, &args.at)?;
    match &args.what[..] {
        [id] if !Filter::is_condition(id) => show(roster, global, &operator, args, id),
        conditions => {
            if args.sequence || args.mermaid || args.otlp {
                let why = "a diagram is of one trace, as is --otlp: give its id, a message's or a key";
                return Err(Fatal::new(exit::USAGE, why));
            }
            let filter = Filter::of(conditions).map_err(|e| Fatal::new(exit::USAGE, e.to_string()))?;
            tail(&operator, filter, args.once, args.json)
        }
    }
}

fn show(roster: &Roster, global: &Global, operator: &Operator, args: &TraceArgs, id: &str) -> Result<(), Fatal> {
    let shown = operator.ask(&ShowTrace { id: id.into() })?;
    if args.otlp {
        otlp::print(roster, global, &shown.traces)?;
    } else if args.json {
        print::json(&shown.traces);
    } else {
        let page = |tree| Ok(page(args, tree) + &log_lines(operator, args, tree)?);
        let pages: Vec<String> = shown.traces.iter().map(page).collect::<Result<_, Fatal>>()?;
        print::page(&pages.join("\n"));
    }
    shown.away.iter().for_each(tell_away);
    if shown.traces.is_empty() {
        let why = "its messages may be older than the records reach back (trace.store_hours, trace.ring_seconds), or not have been kept";
        return Err(Fatal::new(exit::DATA, format!("there is no record of `{id}`: {why}")));
    }
    Ok(())
}

/// What the log says of a trace, if that is wanted.
fn log_lines(operator: &Operator, args: &TraceArgs, tree: &TraceTree) -> Result<String, Fatal> {
    let Some(id) = tree.spans.first().map(|span| span.record().trace_id).filter(|_| args.logs) else {
        return Ok(String::new());
    };
    let filter = Conditions::of([format!("trace={id}")]).map_err(|e| Fatal::new(exit::USAGE, e.to_string()))?;
    let found = operator.ask(&FindLogs { filter, last: MOST_LINES, ..FindLogs::default() })?;
    let lines: String = found.lines.iter().map(|line| logs::text(line, false)).collect();
    Ok(if lines.is_empty() { "\nno log lines\n".into() } else { format!("\n{lines}") })
}

fn page(args: &TraceArgs, tree: &TraceTree) -> String {
    match () {
        () if args.mermaid => mermaid(&Steps::of(tree)),
        () if args.sequence => sequence::text(tree),
        () => waterfall::text(tree),
    }
}

/// A duration, or that there was none.
fn duration(us: u64) -> String {
    if us == 0 { "-".into() } else { essaim::trace::duration(us) }
}
