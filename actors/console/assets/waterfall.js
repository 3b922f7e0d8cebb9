// One trace as a waterfall: when each message was on the wire, in the queue, in its handler and waiting for the database. A row opens
// to all that both halves say.

import { outcomeMark, place } from './bits.js';
import { h, set, withCode } from './dom.js';
import { duration, outcomeOf } from './format.js';
import { spanDetail } from './span-detail.js';
import { gridOf, timeScale } from './scale.js';
import { beginOf, idOf, outcomeOfSpan, partsOf, recordOf, timesOf } from './spans.js';

const COLUMNS = [
  ['Message', 'col-message'],
  ['Where', 'col-where'],
  ['Outcome', 'col-outcome'],
  ['At', 'col-time'],
  ['Wire', 'col-time'],
  ['Queue', 'col-time'],
  ['Run', 'col-time'],
  ['Database', 'col-time'],
];
const PARTS = [
  ['wire', 'on its way'],
  ['queue', 'in the queue'],
  ['database', 'waiting for the database'],
  ['run', 'running'],
];

/**
 * @param {any[]} spans
 * @param {string | null} opened the message whose row is open
 * @param {(id: string | null) => void} onOpen
 */
export function waterfall(spans, opened, onOpen) {
  const scale = timeScale(spans);
  const table = h(
    'table',
    { class: 'waterfall' },
    h('caption', { class: 'unseen' }, 'The messages of the trace, each under the one that caused it, with their times'),
    h(
      'thead',
      null,
      h(
        'tr',
        null,
        COLUMNS.map(([text, kind]) => h('th', { scope: 'col', class: kind }, text)),
        h('th', { scope: 'col', class: 'col-bar' }, h('span', { class: 'unseen' }, 'Timeline'), axis(scale)),
      ),
    ),
    h(
      'tbody',
      null,
      spans.map((span) => row(span, scale, idOf(span) === opened, onOpen)),
    ),
  );
  table.style.setProperty('--grid', gridOf(scale));
  return h(
    'div',
    { class: 'waterfall-place' },
    legend(scale),
    h('div', { class: 'scroll-x', tabindex: '0', role: 'region', 'aria-label': 'Waterfall' }, table),
  );
}

function legend({ cuts }) {
  const part = ([name, text]) => h('li', null, h('span', { class: `bar-part part-${name}` }), text);
  const cut = cuts.length > 0 && h('li', null, h('span', { class: 'bar-part part-cut' }), 'cut out: nothing was done');
  return h('ul', { class: 'legend', 'aria-hidden': 'true' }, PARTS.map(part), cut);
}

function axis({ marks }) {
  const mark = ({ x, text }) => h('span', { style: { left: `${x}%` } }, text);
  return h('div', { class: 'axis', 'aria-hidden': 'true' }, marks.map(mark));
}

function row(span, scale, isOpen, onOpen) {
  const record = recordOf(span);
  const times = timesOf(span);
  const detail = h('tr', { class: 'detail-row', hidden: true }, h('td', { colspan: COLUMNS.length + 1 }));
  const button = h(
    'button',
    { class: 'tree-name', type: 'button', 'aria-expanded': 'false', title: record.name, onclick: toggle },
    h('span', null, record.name),
  );
  const cell = (us) => h('td', { class: 'col-time' }, us === null || us === 0 ? h('span', { class: 'quiet' }, '–') : duration(us));
  const line = h(
    'tr',
    { class: 'span-row' },
    h(
      'th',
      { scope: 'row', class: 'col-message' },
      h(
        'div',
        { class: 'tree', style: { '--depth': String(Math.min(span.depth, 24)) } },
        button,
        record.attempt > 1 && h('span', { class: 'attempt' }, `attempt ${record.attempt}`),
        record.kind !== 'ask' && h('span', { class: 'kind' }, record.kind),
      ),
    ),
    h('td', { class: 'col-where' }, place(record)),
    h('td', { class: 'col-outcome' }, outcomeMark(outcomeOfSpan(span))),
    h('td', { class: 'col-time' }, duration(beginOf(span) - scale.begin)),
    cell(times.wire),
    cell(times.queue),
    cell(times.run),
    cell(times.database),
    h('td', { class: 'col-bar' }, bar(span, scale)),
  );
  line.addEventListener('click', (event) => !event.target.closest('button, a') && !getSelection()?.toString() && toggle());

  function open(isNow) {
    if (isNow && detail.firstChild.childElementCount === 0) detail.firstChild.append(spanDetail(span));
    detail.hidden = !isNow;
    line.classList.toggle('is-open', isNow);
    set(button, 'aria-expanded', String(isNow));
  }

  function toggle() {
    open(detail.hidden);
    onOpen(detail.hidden ? null : idOf(span));
  }

  open(isOpen);
  return [line, errorRow(record, span.depth), detail];
}

/** Why it did not go well, in words, where it is seen at once. */
function errorRow({ error, outcome }, depth) {
  if (!error) return null;
  return h(
    'tr',
    { class: `error-row outcome-${outcomeOf(outcome).kind}` },
    h(
      'td',
      { colspan: COLUMNS.length + 1 },
      h('div', { class: 'tree', style: { '--depth': String(Math.min(depth, 24)) } }, h('span', null, withCode(error))),
    ),
  );
}

function bar(span, { x }) {
  const parts = partsOf(span).map(({ part, from, to }) =>
    h('span', {
      class: `bar-part part-${part}`,
      title: `${PARTS.find(([name]) => name === part)[1]}: ${duration(to - from)}`,
      style: { left: `${x(from)}%`, width: `${x(to) - x(from)}%` },
    }),
  );
  const kind = outcomeOfSpan(span);
  // What took no time that could be measured is a mark.
  if (parts.length === 0) parts.push(h('span', { class: 'bar-part part-mark', style: { left: `${x(span.begin_us)}%` } }));
  return h('div', { class: `bar bar-${kind}`, 'aria-hidden': 'true' }, parts);
}
