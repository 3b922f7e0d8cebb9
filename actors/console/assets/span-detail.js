// All fields of one message: what its sender and its handler wrote, side by side. A value leads to all messages that have it.

import { h } from './dom.js';
import { bytes, duration, moment, utc } from './format.js';
import { address } from './router.js';

const TIMES = {
  waited_us: ['waited', 'in the mailbox'],
  ran_us: ['ran', 'in the handler; for the sender: until it was answered'],
  database_us: ['database', 'waiting for the database'],
};
/** In this order; what else a record has comes behind. */
const FIRST = [
  'name',
  'kind',
  'outcome',
  'error',
  'node',
  'capability',
  'instance',
  'sender',
  'peer',
  'key',
  'id',
  'attempt',
  'at_us',
  'waited_us',
  'ran_us',
  'database_us',
  'bytes',
  'trace',
  'span',
  'parent',
  'link',
];
/** Fields that conditions cannot be about, or of which equality finds nothing else. */
const UNLINKED = new Set(['at_us', 'waited_us', 'ran_us', 'database_us', 'bytes', 'link', 'payload', 'instance', 'attempt', 'error']);

export function spanDetail(span) {
  const halves = [
    ['Handler', span.handled],
    ['Sender', span.sent],
  ].filter(([, record]) => record);
  const names = fieldsOf(halves.map(([, record]) => record));
  const row = (name) =>
    h(
      'tr',
      null,
      h('th', { scope: 'row' }, label(name)),
      halves.map(([, record]) => h('td', null, shown(name, valueOf(record, name)))),
    );
  return h(
    'div',
    { class: 'span-detail' },
    h(
      'table',
      { class: 'fields' },
      h(
        'thead',
        null,
        h(
          'tr',
          null,
          h('th', { scope: 'col' }, h('span', { class: 'unseen' }, 'Field')),
          halves.map(([who]) => h('th', { scope: 'col' }, `${who} wrote`)),
        ),
      ),
      h('tbody', null, names.map(row)),
    ),
    missingHalf(span),
    payloadOf(span),
  );
}

function missingHalf({ handled }) {
  if (handled) return null;
  return h('p', { class: 'quiet' }, 'No handler’s record of it is known: it has not ended, never began, or the record was not kept.');
}

function payloadOf(span) {
  const payload = span.handled?.payload ?? span.sent?.payload;
  if (payload === undefined) return null;
  let text = payload;
  try {
    text = JSON.stringify(JSON.parse(payload), null, 2);
  } catch {
    // It was cut off where it became too long.
  }
  return h('div', { class: 'payload' }, h('h3', null, 'Payload'), h('pre', { tabindex: '0' }, text));
}

function fieldsOf(records) {
  const all = new Set(records.flatMap((record) => Object.keys(record)));
  all.delete('attributes');
  all.delete('payload');
  all.delete('half');
  const attributes = new Set(records.flatMap((record) => Object.keys(record.attributes ?? {})).map((name) => `attr.${name}`));
  const known = FIRST.filter((name) => all.has(name));
  return [...known, ...[...all].filter((name) => !FIRST.includes(name)).sort(), ...[...attributes].sort()];
}

function valueOf(record, name) {
  return name.startsWith('attr.') ? record.attributes?.[name.slice(5)] : record[name];
}

function label(name) {
  if (name === 'at_us') return 'at';
  return TIMES[name] ? h('span', { title: TIMES[name][1] }, TIMES[name][0]) : name;
}

function shown(name, value) {
  if (value === undefined || value === null) return h('span', { class: 'quiet' }, '–');
  if (name === 'at_us') return h('time', { datetime: utc(value) }, moment(value));
  if (TIMES[name]) return duration(value);
  if (name === 'bytes') return bytes(value);
  const text = typeof value === 'object' ? JSON.stringify(value) : String(value);
  if (UNLINKED.has(name)) return text;
  const isId = /^(trace|span|parent|id|key)$/.test(name) || name.startsWith('attr.');
  return h(
    'a',
    {
      class: isId ? 'id' : '',
      href: address('/traces', { q: `${name}=${text}`, since: '1h' }),
      title: `All messages with ${name}=${text}`,
    },
    text,
  );
}
