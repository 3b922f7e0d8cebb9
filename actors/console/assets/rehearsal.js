// What a handler did in its rehearsal: how it ended, its statements, what it would send, what it asked.

import { h } from './dom.js';
import { many } from './format.js';
import { payloadOf } from './payload.js';
import { table } from './topology-table.js';

/** How it ended: sign, kind, sentence. */
const ENDS = {
  succeeds: ['✓', 'ok', () => 'It would be applied.'],
  rejects: ['✕', 'bad', (why) => `It would be rejected, and die again: ${why}`],
  fails: ['✕', 'bad', (why) => `Its handler fails, so it would be tried again, and die at last: ${why}`],
  panics: ['✕', 'bad', (why) => `Its handler panics: ${why}`],
  times_out: ['✕', 'bad', (why) => `Its handler does not end in time: ${why}`],
  unreadable: ['✕', 'bad', (why) => `Its handler cannot read it: ${why}`],
  stops: ['!', 'warn', (why) => `It cannot be rehearsed to its end: its handler asks ${why}, which is not declared idempotent, so a rehearsal does not ask it.`],
};

/** @param {any} rehearsed an answer of `/durable/dead/rehearse` */
export function rehearsalOf({ outcome, why, took_us, transactions, sends, asks, left_out }) {
  const [sign, kind, sentence] = ENDS[outcome] ?? ['?', 'warn', () => `It ended: ${outcome}`];
  return h(
    'div',
    { class: 'rehearsal', role: 'group', 'aria-label': 'Rehearsal' },
    h(
      'p',
      { class: `outcome outcome-${kind}` },
      h('span', { class: 'sign', 'aria-hidden': 'true' }, sign),
      h('span', null, sentence(why ?? ''), h('span', { class: 'quiet' }, ` In ${(took_us / 1000).toFixed(1)} ms; nothing of its transaction and of what it sends remains.`)),
    ),
    transactions.map(statementsOf),
    sends.length > 0 && [h('h4', null, `Would send ${many(sends.length, 'message')}`), h('ul', { class: 'sends' }, sends.map(sendOf))],
    outcome === 'succeeds' && sends.length === 0 && h('p', { class: 'quiet' }, 'It would send nothing.'),
    asks.length > 0 && [h('h4', null, 'Asked'), h('ul', null, asks.map(askOf))],
    left_out > 0 && h('p', { class: 'quiet' }, `And ${left_out} more, which are not listed.`),
  );
}

function statementsOf({ commits, statements }) {
  const title = commits ? 'Would write and commit' : 'Its handler undoes this itself';
  const row = ({ sql, values, rows, error }) =>
    h(
      'tr',
      null,
      h('td', { class: 'wide' }, h('div', null, h('code', null, sql), error && h('p', { class: 'form-error' }, error))),
      h('td', { class: 'number' }, String(values)),
      h('td', { class: 'number' }, rows === null ? '–' : String(rows)),
    );
  return [h('h4', null, title), statements.length > 0 ? table(['Statement', 'Values', 'Rows'], h('tbody', null, statements.map(row)), 'statements') : h('p', { class: 'quiet' }, 'No statement.')];
}

function sendOf({ name, kind, key, payload }) {
  return h('li', null, h('span', null, `${kind} `, h('b', null, name), key !== null && ` with the key ${key}`), payloadOf(payload));
}

function askOf({ name, was_sent: wasSent }) {
  return h('li', null, h('b', null, name), wasSent ? ' was asked, for real: it declares that asking twice is asking once' : ' was not asked');
}
