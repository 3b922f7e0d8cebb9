// What the messages of one trace say, as the server joined them: times by one clock, halves side by side.

/** The half that says most. */
export function recordOf(span) {
  return span.handled ?? span.sent;
}

/** How it ended, in the words of a waterfall. */
export function outcomeOfSpan(span) {
  const record = recordOf(span);
  return !span.handled && record.outcome === 'ok' && record.id !== undefined ? 'sent' : record.outcome;
}

/** Times of a message in microseconds; what is not known is `null`. */
export function timesOf(span) {
  const { sent, handled } = span;
  const isAskBetweenNodes = sent?.link !== undefined && handled && sent.node !== handled.node;
  return {
    took: span.end_us - span.begin_us,
    wire: isAskBetweenNodes ? Math.max(0, sent.ran_us - (handled.waited_us ?? 0) - handled.ran_us) : null,
    queue: handled ? (handled.waited_us ?? 0) : null,
    run: handled ? handled.ran_us : null,
    database: handled ? (handled.database_us ?? 0) : null,
  };
}

/** When a message began; of a repeated attempt, when it was tried again and not when it was sent. */
export function beginOf(span) {
  const { handled } = span;
  return (handled?.attempt ?? 0) > 1 ? span.handler_us - (handled.waited_us ?? 0) : span.begin_us;
}

/** The parts of a message's bar, in their order: from and to, in microseconds. */
export function partsOf(span) {
  const { handled } = span;
  if (!handled) return [{ part: 'wire', from: span.begin_us, to: span.end_us }];
  const began = span.handler_us;
  const begin = beginOf(span);
  const queued = Math.max(begin, began - (handled.waited_us ?? 0));
  const ended = began + handled.ran_us;
  const database = began + Math.min(handled.database_us ?? 0, handled.ran_us);
  const all = [
    { part: 'wire', from: begin, to: queued },
    { part: 'queue', from: queued, to: began },
    { part: 'database', from: began, to: database },
    { part: 'run', from: database, to: ended },
    { part: 'wire', from: ended, to: span.end_us },
  ];
  return all.filter(({ from, to }) => to > from);
}

/** Begin and end of a trace. */
export function extent(spans) {
  const begin = Math.min(...spans.map((span) => span.begin_us));
  return { begin, end: Math.max(begin + 1, ...spans.map((span) => span.end_us)) };
}

/** Round steps for an axis of this length with about so many marks, in microseconds. */
export function axisStep(length, marks) {
  const raw = length / marks;
  const power = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= raw);
}

/** What identifies a message of the trace in an address. */
export function idOf(span) {
  return span.handled?.span ?? span.sent?.id ?? span.sent?.link ?? String(span.begin_us);
}

/** The messages without attempts that were repeated later: how a message ended is what its last attempt says. */
export function lastAttempts(spans) {
  const attempt = (span) => recordOf(span).attempt ?? 0;
  const isSame = (a, b) =>
    recordOf(a).id !== undefined && recordOf(a).id === recordOf(b).id && recordOf(a).capability === recordOf(b).capability;
  return spans.filter((span) => !spans.some((other) => isSame(span, other) && attempt(other) > attempt(span)));
}
