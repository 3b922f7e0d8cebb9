// The configuration in force: each value with its source, and where nodes differ.

import { postJson } from './api.js';
import { createNotices, emptyState } from './bits.js';
import { h, replace, say } from './dom.js';
import { many } from './format.js';
import { setQuery } from './router.js';

/**
 * @typedef {{ value: string, source: string, built_in: boolean, nodes: string[] }} Setting a value, and the nodes that have it
 * @typedef {{ key: string, settings: Setting[] }} Entry
 */

export function show(main, _parameters, query) {
  document.title = 'Configuration · Essaim';
  const asking = new AbortController();
  let entries = [];
  let nodes = [];
  let wanted = query;

  const search = h('input', {
    class: 'input',
    type: 'search',
    'aria-label': 'Search keys, values and sources',
    placeholder: 'a key, a value or a source',
    data: { search: '' },
    oninput: () => setQuery({ find: search.value || null }, { replace: true }),
  });
  const all = h('input', { type: 'checkbox', onchange: () => setQuery({ all: all.checked ? '1' : null }) });
  const tally = h('p', { class: 'tally', role: 'status' });
  const notices = createNotices();
  const place = h('div', { class: 'config-place' });
  main.append(
    h(
      'div',
      { class: 'view' },
      h('div', { class: 'view-head' }, h('h1', null, 'Configuration'), search, h('label', { class: 'check' }, all, ' defaults, too'), tally),
      notices.element,
      place,
    ),
  );
  update(query);
  load();

  async function load() {
    try {
      const shown = await postJson('/api/config', {}, { signal: asking.signal });
      nodes = Object.keys(shown.nodes);
      entries = entriesOf(shown.nodes);
      notices.show({ away: shown.away });
    } catch (error) {
      if (error.name !== 'AbortError') notices.show({ error: error.message });
    }
    draw();
  }

  function update(now) {
    wanted = now;
    if (document.activeElement !== search) search.value = now.get('find') ?? '';
    all.checked = now.get('all') === '1';
    draw();
  }

  function draw() {
    const find = (wanted.get('find') ?? '').toLowerCase();
    const isFound = ({ key, settings }) =>
      (all.checked || settings.some((setting) => !setting.built_in)) &&
      `${key} ${settings.map((setting) => `${setting.value} ${setting.source}`).join(' ')}`.toLowerCase().includes(find);
    const found = entries.filter(isFound);
    say(tally, entries.length > 0 ? `${many(found.length, 'key')} of ${entries.length}` : '');
    if (entries.length > 0 && found.length === 0) {
      const text = all.checked ? 'No key, value or source has this in it.' : 'Everything that has this in it is as it is by default.';
      replace(place, emptyState({ title: 'Nothing like that', text, actions: [['Show all', () => setQuery({ find: null, all: '1' })]] }));
    } else if (found.length > 0) {
      replace(place, table(found, nodes));
    }
  }

  return { update, close: () => asking.abort() };
}

/** @returns {Entry[]} keys in their order, each with its different values */
function entriesOf(nodes) {
  const entries = new Map();
  for (const [node, values] of Object.entries(nodes)) {
    for (const { key, value, source, built_in } of values) {
      const settings = entries.get(key) ?? [];
      entries.set(key, settings);
      const same = settings.find((setting) => setting.value === value && setting.source === source);
      if (same) same.nodes.push(node);
      else settings.push({ value, source, built_in, nodes: [node] });
    }
  }
  return [...entries].map(([key, settings]) => ({ key, settings })).sort((a, b) => (a.key < b.key ? -1 : 1));
}

function table(entries, nodes) {
  const head = ['Key', 'Value', 'Where it comes from', ...(nodes.length > 1 ? ['In'] : [])];
  const rows = entries.map(({ key, settings }) =>
    settings.map((setting, index) =>
      h(
        'tr',
        { class: setting.built_in ? 'is-default' : null },
        index === 0 && h('th', { scope: 'row', rowspan: settings.length > 1 ? settings.length : null }, key),
        h('td', { class: 'config-value' }, setting.value === '' ? h('span', { class: 'quiet' }, 'empty') : setting.value),
        h('td', null, setting.source),
        nodes.length > 1 && h('td', null, setting.nodes.length === nodes.length ? 'all nodes' : setting.nodes.join(', ')),
      ),
    ),
  );
  return h(
    'table',
    { class: 'config-table' },
    h('thead', null, h('tr', null, head.map((name) => h('th', { scope: 'col' }, name)))),
    h('tbody', null, rows),
  );
}
