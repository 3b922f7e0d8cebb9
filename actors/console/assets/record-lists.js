// The rows of the live list: of messages, and of whole traces.

import { outcomeMark, place, shortId } from './bits.js';
import { h } from './dom.js';
import { count, duration, timeOfDay, utc } from './format.js';
import { address, go } from './router.js';

function time(us) {
  return h('time', { datetime: utc(us), title: utc(us) }, timeOfDay(us));
}

function traceAddress(record) {
  return address(`/traces/${record.trace}`, { span: record.span ?? record.id ?? record.link });
}

/** Messages, one in each row. */
export const MESSAGE_LIST = {
  label: 'Messages',
  kind: 'messages',
  live: 'top',
  columns: ['Time', 'Took', 'Outcome', 'Kind', 'Message', 'Where', 'Key', 'Error'],
  keyOf: (row) => row.key,
  rowClass: (row) => (row.record.half === 'sent' ? 'is-sent' : ''),
  onOpen: (row) => go(traceAddress(row.record)),
  cells: ({ record, ...row }) => [
    time(row.at),
    row.outcome === 'sent' ? '–' : duration(row.took),
    outcomeMark(row.outcome, { attempt: record.attempt }),
    record.kind,
    h('a', { href: traceAddress(record) }, record.name),
    place(record),
    record.key && shortId(record.key),
    record.error && h('span', { title: record.error }, record.error),
  ],
};

/** Traces, one in each row. */
export const TRACE_LIST = {
  label: 'Traces',
  kind: 'traces',
  live: 'top',
  columns: ['Time', 'Took', 'Outcome', 'Messages', 'Begins with', 'Nodes', 'Key', 'Error'],
  keyOf: (trace) => trace.key,
  onOpen: (trace) => go(`/traces/${trace.trace}`),
  cells: (trace) => [
    time(trace.at),
    duration(trace.took),
    outcomeMark(trace.outcome),
    count(trace.messages),
    h('a', { href: `/traces/${trace.trace}` }, trace.root.record.name),
    [...trace.places].sort().join(', '),
    trace.orderKey && shortId(trace.orderKey),
    trace.error && h('span', { title: trace.error }, trace.error),
  ],
};
