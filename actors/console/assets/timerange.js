// A time range: the last minutes or hours, or from one moment to another. It stands in the query as `since`, or `from` and `to`.

import { h } from './dom.js';

const LAST = [
  ['5m', 'last 5 min'],
  ['15m', 'last 15 min'],
  ['1h', 'last hour'],
  ['6h', 'last 6 hours'],
  ['24h', 'last 24 hours'],
  ['all', 'all that is kept'],
];

/** @typedef {{ since: string | null, from: number | null, to: number | null }} Range moments in milliseconds since 1970 */

/** The range of an address. @returns {Range} */
export function rangeOf(query, byDefault) {
  const number = (name) => (/^\d+$/.test(query.get(name) ?? '') ? Number(query.get(name)) : null);
  const [from, to] = [number('from'), number('to')];
  if (from !== null || to !== null) return { since: null, from, to };
  const since = query.get('since');
  return { since: since === 'all' || /^\d+(us|ms|s|m|h)$/.test(since ?? '') ? since : byDefault, from: null, to: null };
}

/** The conditions of a range. */
export function conditionsOf({ since, from, to }) {
  if (since) return since === 'all' ? [] : [`at>${since}`];
  return [...(from === null ? [] : [`at>=${from}`]), ...(to === null ? [] : [`at<=${to}`])];
}

/** @param {(changed: { since: string | null, from: number | null, to: number | null }) => void} onChange */
export function createTimeRange(onChange) {
  const choice = h(
    'select',
    { class: 'input', 'aria-label': 'Time range', onchange: choose },
    LAST.map(([value, text]) => h('option', { value }, text)),
    h('option', { value: 'custom' }, 'from … to …'),
  );
  const from = h('input', { class: 'input', type: 'datetime-local', step: '1', 'aria-label': 'From', onchange: custom });
  const to = h('input', { class: 'input', type: 'datetime-local', step: '1', 'aria-label': 'To', onchange: custom });
  const moments = h('span', { class: 'moments', hidden: true }, from, h('span', { 'aria-hidden': 'true' }, '–'), to);
  const element = h('div', { class: 'time-range' }, choice, moments);

  function choose() {
    moments.hidden = choice.value !== 'custom';
    if (choice.value !== 'custom') return onChange({ since: choice.value, from: null, to: null });
    const now = Date.now();
    from.value = local(now - 3_600_000);
    to.value = local(now);
    return custom();
  }

  function custom() {
    const ms = (input) => (input.value === '' ? null : new Date(input.value).getTime());
    const range = { from: ms(from), to: ms(to) };
    onChange(range.from === null && range.to === null ? { since: 'all', ...range } : { since: null, ...range });
  }

  return {
    element,
    /** @param {Range} range */
    show(range) {
      const isKnown = LAST.some(([value]) => value === range.since);
      if (range.since && !isKnown) choice.prepend(h('option', { value: range.since }, `last ${range.since}`));
      choice.value = range.since ?? 'custom';
      moments.hidden = range.since !== null;
      if (range.from !== null) from.value = local(range.from);
      if (range.to !== null) to.value = local(range.to);
    },
  };
}

/** A moment as the fields of the browser write it: in local time, to the second. */
function local(ms) {
  const at = new Date(ms);
  const two = (number) => String(number).padStart(2, '0');
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}T${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}
