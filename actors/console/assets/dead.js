// Dead letters: grouped by why they died, or one by one; replayed and dropped.

import { postJson } from './api.js';
import { createNotices, emptyState, segments, shortId } from './bits.js';
import { h, replace, say } from './dom.js';
import { count, many, moment, timeOfDay, utc } from './format.js';
import { bindAll } from './keys.js';
import { drop, isOutOfOrder, replay, REASONS, traceOf } from './letters.js';
import { createOutcome } from './outcomes.js';
import { setQuery } from './router.js';
import { table } from './topology-table.js';
import { capabilityHref } from './troubles.js';

const PAGE = 200;
/** As many as one act takes. */
const MOST_AT_ONCE = 500;

export function show(main, _parameters, query) {
  document.title = 'Dead letters · Essaim';
  let letters = [];
  let next = null;
  let away = [];
  let state = null;
  let asking = new AbortController();
  /** @type {Set<any>} */
  const chosen = new Set();
  const tally = h('p', { class: 'tally' });
  const notices = createNotices();
  const outcome = createOutcome();
  const place = h('div', { class: 'stack' });
  const modes = segments('Rows', [['group', 'Grouped'], ['each', 'Each letter']], (mode) => setQuery({ rows: mode === 'each' ? 'each' : null }));
  const field = (name, label, list) =>
    h('label', { class: 'filter-field' }, label, h('input', { class: 'input', name, list, autocomplete: 'off', spellcheck: 'false', placeholder: 'any' }));
  const reasons = h('datalist', { id: 'dead-reasons' }, Object.entries(REASONS).map(([value, text]) => h('option', { value }, text)));
  const form = h(
    'form',
    { class: 'filters', onsubmit: filter, onchange: filter },
    field('capability', 'Capability'),
    field('reason', 'Reason', 'dead-reasons'),
    field('name', 'Message'),
    reasons,
    h('button', { class: 'unseen', tabindex: '-1' }, 'Filter'),
  );
  form.querySelector('input').dataset.search = '';
  const again = h('button', { class: 'button', type: 'button', onclick: () => read() }, 'Read again');
  main.append(
    h(
      'div',
      { class: 'view view-wide' },
      h('div', { class: 'view-head' }, h('h1', null, 'Dead letters'), modes.element, again, tally),
      form,
      notices.element,
      outcome.element,
      place,
    ),
  );
  const unbind = bindAll(
    [
      ['r', 'Read again', () => read()],
      ['m', 'Grouped or each letter', () => setQuery({ rows: state.isEach ? null : 'each' })],
    ],
    'Dead letters',
  );
  update(query);

  function update(now) {
    const before = state;
    state = { ...Object.fromEntries(FILTERS.map((name) => [name, now.get(name) || null])), isEach: now.get('rows') === 'each' };
    for (const name of FILTERS) form.elements[name].value = state[name] ?? '';
    modes.show(state.isEach ? 'each' : 'group');
    if (before && FILTERS.every((name) => before[name] === state[name])) draw();
    else read();
  }

  function filter(event) {
    event.preventDefault();
    setQuery(Object.fromEntries(FILTERS.map((name) => [name, form.elements[name].value.trim() || null])));
  }

  async function read(after = null) {
    asking.abort();
    asking = new AbortController();
    const mine = asking;
    if (!after) say(tally, 'Reading …');
    const filters = Object.fromEntries(FILTERS.filter((name) => state[name]).map((name) => [name, state[name]]));
    try {
      const page = await postJson('/api/durable/dead/list', { ...filters, most: PAGE, ...(after && { after }) }, { signal: mine.signal });
      if (!after) chosen.clear();
      letters = after ? [...letters, ...page.letters] : page.letters;
      ({ next, away } = page);
      notices.show({ away });
      draw();
    } catch (error) {
      if (error.name === 'AbortError') return;
      say(tally, '');
      replace(place, emptyState({ title: 'Dead letters cannot be read', text: error.message, actions: [['Read again', () => read()]] }));
    }
  }

  function draw() {
    say(tally, `${many(letters.length, 'letter')}${next ? ' so far' : ''}`);
    if (letters.length === 0) return replace(place, nothing());
    const more = next && h('p', null, h('button', { class: 'button', type: 'button', onclick: () => read(next) }, `Read the next ${PAGE}`));
    replace(place, state.isEach ? each() : groups(), more);
    return undefined;
  }

  function groups() {
    const by = new Map();
    for (const letter of letters) {
      const key = JSON.stringify([letter.capability, letter.name, letter.reason, letter.error]);
      by.set(key, [...(by.get(key) ?? []), letter]);
    }
    const all = [...by.values()].sort((a, b) => b.length - a.length);
    const row = (group) => {
      const [first] = group;
      const newest = Math.max(...group.map((letter) => letter.dead_at_ms));
      const show = () => setQuery({ capability: first.capability, reason: first.reason, name: first.name || null, rows: 'each' });
      return h(
        'tr',
        null,
        h('td', { class: 'number' }, h('button', { class: 'link-button', type: 'button', onclick: show }, count(group.length))),
        h('th', { scope: 'row' }, h('a', { href: capabilityHref(first.capability) }, first.capability)),
        h('td', null, first.name || 'unreadable'),
        h('td', { class: 'is-bad', title: REASONS[first.reason] ?? '' }, first.reason),
        h('td', { class: 'wide' }, first.error ?? h('span', { class: 'quiet' }, REASONS[first.reason] ?? '–')),
        h('td', null, when(newest)),
        h('td', { class: 'acts' }, acts(group)),
      );
    };
    return table(['Letters', 'Capability', 'Message', 'Reason', 'Error', 'Last died', 'Act on all'], h('tbody', null, all.map(row)), 'dead-groups');
  }

  function each() {
    const bar = h('div', { class: 'choice-bar' });
    const tick = (letter) =>
      h('input', {
        type: 'checkbox',
        'aria-label': `Choose ${letter.id}`,
        checked: chosen.has(letter),
        onchange: (event) => {
          chosen[event.target.checked ? 'add' : 'delete'](letter);
          showBar();
        },
      });
    const showBar = () => {
      const group = [...chosen];
      replace(
        bar,
        h('span', null, group.length === 0 ? 'Choose letters to replay or drop several at once.' : `${many(group.length, 'letter')} chosen`),
        group.length > 0 && acts(group),
        h('button', { class: 'button', type: 'button', onclick: chooseAll }, group.length === letters.length ? 'Choose none' : 'Choose all'),
      );
    };
    const chooseAll = () => {
      const isAll = chosen.size === letters.length;
      chosen.clear();
      if (!isAll) letters.forEach((letter) => chosen.add(letter));
      draw();
    };
    showBar();
    const row = (letter) => {
      const trace = traceOf(letter);
      return h(
        'tr',
        null,
        h('td', null, tick(letter)),
        h('th', { scope: 'row' }, h('a', { href: `/dead/${encodeURIComponent(letter.id)}` }, shortId(letter.id))),
        h('td', null, letter.capability),
        h('td', null, letter.name || 'unreadable'),
        h('td', { class: 'is-bad', title: REASONS[letter.reason] ?? '' }, letter.reason),
        h('td', { class: 'wide' }, letter.error ?? '–'),
        h('td', null, letter.key ? [shortId(letter.key), ' ', order(letter)] : '–'),
        h('td', null, when(letter.dead_at_ms)),
        h('td', null, trace ? h('a', { href: `/traces/${trace}` }, 'trace') : '–'),
      );
    };
    const heads = ['Chosen', 'Letter', 'Capability', 'Message', 'Reason', 'Error', 'Key', 'Died', 'Trace'];
    return [bar, table(heads, h('tbody', null, letters.map(row)), 'dead-each')];
  }

  function acts(group) {
    const some = group.slice(0, MOST_AT_ONCE);
    return [
      h('button', { class: 'button', type: 'button', onclick: () => run(replay, some) }, 'Replay'),
      ' ',
      h('button', { class: 'button button-danger', type: 'button', onclick: () => run(drop, some) }, 'Drop'),
    ];
  }

  async function run(act, group) {
    // An event may have died for several subscribers: only those letters that were chosen are meant.
    const capabilities = new Set(group.map((letter) => letter.capability));
    try {
      const told = await act(group, capabilities.size === 1 ? group[0].capability : undefined);
      if (!told) return;
      outcome.tell(told.done, told.answer);
    } catch (error) {
      outcome.failed(error);
    }
    outcome.element.focus();
    await read();
  }

  function nothing() {
    const isFiltered = FILTERS.some((name) => state[name]);
    if (isFiltered)
      return emptyState({
        title: 'No such dead letters',
        text: 'None is like that. It may have been replayed or dropped.',
        actions: [['Show all', () => setQuery(Object.fromEntries(FILTERS.map((name) => [name, null])))]],
      });
    const title = away.length > 0 ? 'No dead letters that are known' : 'No dead letters';
    return emptyState({ title, text: 'A durable message that cannot be handled comes here, with its reason, after its last attempt. None has.' });
  }

  return {
    update,
    close() {
      asking.abort();
      unbind();
    },
  };
}

const FILTERS = ['capability', 'reason', 'name'];

/** A moment to the second; of today its time alone. */
export function when(ms) {
  const isToday = new Date(ms).toDateString() === new Date().toDateString();
  const text = isToday ? timeOfDay(ms * 1_000) : moment(ms * 1_000);
  return h('time', { datetime: utc(ms * 1_000), title: utc(ms * 1_000) }, text.replace(/\.\d+$/, ''));
}

export function order(letter) {
  if (letter.held) return h('span', { class: 'tag tag-note', title: 'Later messages of its key wait until it is replayed or dropped' }, 'held');
  return isOutOfOrder(letter) ? h('span', { class: 'tag', title: 'Later messages of its key were handled already' }, 'out of order') : null;
}
