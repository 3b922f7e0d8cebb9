// How nodes and capabilities stand: a sign, a word and a class each. Signs differ in shape, so that nobody needs the colour.

import { h } from './dom.js';

const STATES = {
  ready: { sign: '✓', word: 'ready', kind: 'ok' },
  running: { sign: '✓', word: 'running', kind: 'ok' },
  starting: { sign: '◷', word: 'starting', kind: 'note' },
  not_ready: { sign: '!', word: 'not ready', kind: 'note' },
  draining: { sign: '⇣', word: 'draining', kind: 'note' },
  failed: { sign: '✕', word: 'failed', kind: 'bad' },
  no_database: { sign: '✕', word: 'no database', kind: 'bad' },
  silent: { sign: '?', word: 'no answer', kind: 'bad' },
  gone: { sign: '✕', word: 'gone', kind: 'bad' },
  refused: { sign: '⊘', word: 'refused', kind: 'bad' },
};

/** The entry of a state, also of one that this page does not know. */
export function stateOf(name) {
  return STATES[name] ?? { sign: '?', word: String(name), kind: 'note' };
}

/** A state: a sign, and its word. */
export function stateMark(name) {
  const { sign, word, kind } = stateOf(name);
  return h('span', { class: `outcome outcome-${kind}` }, h('span', { class: 'sign', 'aria-hidden': 'true' }, sign), word);
}

/** What is known of a database that does not work: the outage that the node has noticed, or what its last look has met. */
export function databaseProblem(node, name) {
  const outage = node?.report?.outages.find(({ dependency }) => dependency === `the database of \`${name}\``);
  return outage?.cause ?? node?.report?.capabilities?.[name]?.database?.problem ?? null;
}

/** How a capability of a node stands; of a node without a report only how that stands is known. */
export function capabilityState(node, name) {
  if (node?.report?.capabilities?.[name]?.state === 'running' && databaseProblem(node, name) !== null) return 'no_database';
  return node?.report?.capabilities?.[name]?.state ?? node?.state ?? 'gone';
}

/** Messages a second in three digits at most. */
export function rate(perSecond) {
  if (!(perSecond > 0)) return '0/s';
  if (perSecond < 0.095) return '<0.1/s';
  if (perSecond < 9.95) return `${perSecond.toFixed(1)}/s`;
  return perSecond < 9_950 ? `${Math.round(perSecond)}/s` : `${(perSecond / 1_000).toFixed(1)}k/s`;
}

/** How full a queue is, from 0 to 1. */
export function fullness({ admitted = 0, limit = 0 }) {
  return limit > 0 ? Math.min(1, admitted / limit) : 0;
}

/** A bar that fills, with its numbers beside it. */
export function queueBar(of) {
  const part = h('span', { class: 'fill-part' });
  const bar = h('span', { class: 'fill', 'aria-hidden': 'true' }, part);
  const update = (now) => {
    const full = fullness(now);
    // What is there is seen, however little it is.
    part.style.width = full === 0 ? '0' : `max(2px, ${(full * 100).toFixed(1)}%)`;
    bar.dataset.full = full >= 0.8 ? 'most' : full >= 0.5 ? 'half' : 'little';
  };
  update(of);
  return { element: bar, update };
}
