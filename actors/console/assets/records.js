// The message records that a page has read: halves of one message joined, newest first, bounded; and grouped by trace if asked for.

import { graver } from './format.js';

/** Bounded by this many messages: the oldest go. */
export const MOST_ROWS = 20_000;

/**
 * A message in the list.
 * @typedef {object} Row
 * @property {string} key
 * @property {any} record the half that says most
 * @property {string} trace
 * @property {number} at
 * @property {number} took
 * @property {string} outcome
 */

/** A record as a row. @returns {Row} */
export function rowOf(record) {
  const took = (record.waited_us ?? 0) + record.ran_us;
  // Of what was stored, the sender knows that it was sent; what became of it is the handler's to say.
  const isOnlySent = record.half === 'sent' && record.outcome === 'ok' && record.id !== undefined;
  return { key: keyOf(record), record, trace: record.trace, at: record.at_us, took, outcome: isOnlySent ? 'sent' : record.outcome };
}

function keyOf(record) {
  return record.half === 'handled'
    ? `h${record.span}:${record.at_us}`
    : `s${joinOf(record) ?? `${record.parent}:${record.name}:${record.at_us}`}`;
}

/** What joins the two halves of a message: the id of a stored one, or the link of an ask between nodes. */
function joinOf(record) {
  if (record.id !== undefined) return `i${record.id}:${record.trace}`;
  return record.link === undefined ? null : `l${record.link}`;
}

export class RecordStore {
  constructor() {
    /** @type {Map<string, Row>} */
    this.rows = new Map();
    /** Joins of which the handler's half is there. */
    this.handled = new Set();
    this.dropped = 0;
    this.sorted = null;
  }

  /** Adds records in any order; one that is there already is not there twice. */
  add(records) {
    for (const record of records) {
      const row = rowOf(record);
      const join = joinOf(record);
      if (join !== null && record.half === 'handled') {
        this.handled.add(join);
        this.rows.delete(`s${join}`);
      }
      if (record.half === 'sent' && join !== null && this.handled.has(join)) continue;
      this.rows.set(row.key, row);
    }
    if (records.length > 0) this.sorted = null;
  }

  /** All messages, the newest first. @returns {Row[]} */
  messages() {
    if (this.sorted) return this.sorted;
    const all = [...this.rows.values()].sort((a, b) => b.at - a.at);
    for (const row of all.splice(MOST_ROWS)) {
      this.rows.delete(row.key);
      this.dropped += 1;
    }
    if (this.handled.size > 2 * MOST_ROWS) this.handled = new Set(all.map((row) => joinOf(row.record)).filter(Boolean));
    this.sorted = all;
    return all;
  }

  /** The traces of these messages, the newest first. */
  static traces(messages) {
    const traces = new Map();
    for (const row of messages) {
      const known = traces.get(row.trace);
      if (known) join(known, row);
      else traces.set(row.trace, traceOf(row));
    }
    const all = [...traces.values()].sort((a, b) => b.at - a.at);
    for (const trace of all) trace.revision = `${trace.messages} ${trace.took} ${trace.outcome}`;
    return all;
  }

  /** Values of a field that were seen, for suggestions. */
  values(field) {
    const values = new Set();
    for (const row of this.messages().slice(0, 2_000)) {
      const value = row.record[field];
      if (typeof value === 'string' && value !== '') values.add(value);
    }
    return [...values].sort();
  }
}

function traceOf(row) {
  return {
    key: row.trace,
    trace: row.trace,
    at: row.at,
    end: row.at + row.took,
    took: row.took,
    outcome: row.outcome === 'sent' ? 'ok' : row.outcome,
    messages: 1,
    root: row,
    places: new Set([row.record.node]),
    orderKey: row.record.key,
    error: row.record.error,
  };
}

function join(trace, row) {
  trace.at = Math.min(trace.at, row.at);
  trace.end = Math.max(trace.end, row.at + row.took);
  trace.took = trace.end - trace.at;
  trace.outcome = graver(trace.outcome, row.outcome);
  trace.messages += 1;
  trace.places.add(row.record.node);
  trace.orderKey ??= row.record.key;
  // A request only says that it failed; what it has asked says why.
  const tells = row.record.kind !== 'request' || trace.error === undefined;
  if (row.outcome === trace.outcome && tells) trace.error = row.record.error ?? trace.error;
  if (isMoreRoot(row, trace.root)) trace.root = row;
}

/** Whether a message is nearer to the beginning than another: a request is the cause of all else, whatever clocks say. */
function isMoreRoot(a, b) {
  const isRequest = (row) => row.record.kind === 'request' || row.record.parent === undefined;
  if (isRequest(a) !== isRequest(b)) return isRequest(a);
  return a.at < b.at;
}
