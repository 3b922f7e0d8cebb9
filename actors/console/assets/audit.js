// The audit: who changed what, by which node and how it ended, the latest first.

import { postJson } from './api.js';
import { createNotices, emptyState } from './bits.js';
import { when } from './dead.js';
import { h, replace, say } from './dom.js';
import { many } from './format.js';
import { bindAll } from './keys.js';
import { address, query as asked, setQuery } from './router.js';
import { table } from './topology-table.js';

const PAGE = 100;
const FILTERS = ['who', 'what'];
const HEADS = ['When', 'Who', 'Node', 'What', 'End'];

/** How an act ended: its class and its sign. Signs differ in shape, so that nobody needs the colour. */
const ENDS = { done: ['ok', '✓'], partly: ['note', '◐'], nothing: ['note', '⊘'], unknown: ['bad', '?'] };

export function show(main, _parameters, query) {
  document.title = 'Audit · Essaim';
  let asking = new AbortController();
  const tally = h('p', { class: 'tally' });
  const notices = createNotices();
  const place = h('div', { class: 'stack' }, h('p', { class: 'quiet', role: 'status' }, 'Reading …'));
  const field = (name, label, placeholder) =>
    h('label', { class: 'filter-field' }, label, h('input', { class: 'input', name, autocomplete: 'off', spellcheck: 'false', placeholder }));
  const form = h(
    'form',
    { class: 'filters', onsubmit: filter, onchange: filter },
    field('who', 'Who', 'the whole name'),
    field('what', 'What', 'a word, a capability, an id'),
    h('button', { class: 'unseen', tabindex: '-1' }, 'Filter'),
  );
  form.elements.what.dataset.search = '';
  const latest = () => setQuery({ before: null });
  main.append(
    h(
      'div',
      { class: 'view view-wide' },
      h('div', { class: 'view-head' }, h('h1', null, 'Audit'), h('button', { class: 'button', type: 'button', onclick: latest }, 'Latest'), tally),
      h('p', { class: 'quiet calm' }, 'Who logged in and who changed something, kept before it was done.'),
      form,
      notices.element,
      place,
    ),
  );
  const unbind = bindAll([['r', 'Read the latest', latest]], 'Audit');
  update(query);

  function filter(event) {
    event.preventDefault();
    setQuery({ ...Object.fromEntries(FILTERS.map((name) => [name, form.elements[name].value.trim() || null])), before: null });
  }

  async function update(now) {
    asking.abort();
    asking = new AbortController();
    const [filters, before] = [Object.fromEntries(FILTERS.map((name) => [name, now.get(name) || null])), placeOf(now.get('before'))];
    for (const name of FILTERS) form.elements[name].value = filters[name] ?? '';
    try {
      const { acts, next, away } = await postJson('/api/audit/list', { ...filters, before, most: PAGE }, { signal: asking.signal });
      notices.show({ away });
      say(tally, `${many(acts.length, 'act')}${before ? ', older ones' : ''}`);
      const older = next && h('p', null, h('a', { class: 'button', href: olderThan(next) }, 'Older'));
      replace(place, acts.length > 0 ? [table(HEADS, h('tbody', null, acts.map(row)), 'audit'), older] : nothing(filters, before));
    } catch (error) {
      if (error.name === 'AbortError') return;
      say(tally, '');
      replace(place, emptyState({ title: 'The audit cannot be read', text: error.message, actions: [['Read again', () => update(now)]] }));
    }
  }

  return {
    update,
    close() {
      asking.abort();
      unbind();
    },
  };
}

/** A place in the list, as the address has it: moment, number and node. */
function placeOf(text) {
  const [, at_ms, id, node] = /^(\d+)-(\d+)-(.+)$/.exec(text ?? '') ?? [];
  return node ? { at_ms: Number(at_ms), id: Number(id), node } : null;
}

function olderThan({ at_ms, id, node }) {
  return address('/audit', { ...Object.fromEntries(FILTERS.map((name) => [name, asked().get(name) || null])), before: `${at_ms}-${id}-${node}` });
}

function row({ at_ms, who, via, origin, node, act, end }) {
  const vouched = [via, origin !== who && origin].filter(Boolean).join(', ');
  return h(
    'tr',
    null,
    h('td', { class: 'quiet' }, when(at_ms)),
    h('th', { scope: 'row' }, who, h('span', { class: 'quiet' }, ` (${vouched})`)),
    h('td', null, node),
    h('td', { class: 'wide' }, act),
    h('td', null, ended(end)),
  );
}

function ended(end) {
  if (!end) return h('span', { class: 'quiet', title: 'It is under way, or its node or who asked went away before it ended' }, 'not known');
  const [kind, sign] = ENDS[end.kind] ?? ['note', '?'];
  return [
    h('span', { class: `outcome outcome-${kind}` }, h('span', { class: 'sign', 'aria-hidden': 'true' }, sign), end.kind),
    end.detail && h('span', { class: 'quiet' }, `: ${end.detail}`),
  ];
}

function nothing(filters, before) {
  if (FILTERS.some((name) => filters[name]))
    return emptyState({
      title: 'No such acts',
      text: 'None that is kept is like that.',
      actions: [['Show all', () => setQuery({ ...Object.fromEntries(FILTERS.map((name) => [name, null])), before: null })]],
    });
  return emptyState(
    before
      ? { title: 'Nothing older', text: 'What is older is no longer kept (`audit.keep_days`, `audit.max_bytes`).' }
      : { title: 'Nobody has changed anything', text: 'Logins, rehearsals, replays, drops, retries and ended subscriptions appear here.' },
  );
}
