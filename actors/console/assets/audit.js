// The audit: who changed what, the latest first.

import { getJson } from './api.js';
import { emptyState } from './bits.js';
import { when } from './dead.js';
import { h, replace, say } from './dom.js';
import { many } from './format.js';
import { bindAll } from './keys.js';
import { address, go } from './router.js';
import { table } from './topology-table.js';

export function show(main, _parameters, query) {
  document.title = 'Audit · Essaim';
  let asking = new AbortController();
  const tally = h('p', { class: 'tally' });
  const place = h('div', { class: 'stack' }, h('p', { class: 'quiet', role: 'status' }, 'Reading …'));
  main.append(
    h(
      'div',
      { class: 'view view-wide' },
      h('div', { class: 'view-head' }, h('h1', null, 'Audit'), h('button', { class: 'button', type: 'button', onclick: () => go('/audit') }, 'Latest'), tally),
      h('p', { class: 'quiet calm' }, 'Who logged in and who changed something, kept before it was done.'),
      place,
    ),
  );
  const unbind = bindAll([['r', 'Read the latest', () => go('/audit')]], 'Audit');
  update(query);

  async function update(now) {
    asking.abort();
    asking = new AbortController();
    const before = now.get('before');
    try {
      const { audited, before: next } = await getJson(address('/api/audit', { before }), { signal: asking.signal });
      say(tally, `${many(audited.length, 'entry', 'entries')}${before ? ', older ones' : ''}`);
      const older = next && h('p', null, h('a', { class: 'button', href: address('/audit', { before: next }) }, 'Older'));
      replace(place, audited.length > 0 ? [table(['When', 'Who', 'What'], h('tbody', null, audited.map(row)), 'audit'), older] : nothing(before));
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

function row({ at_ms, operator, act }) {
  return h('tr', null, h('td', { class: 'quiet' }, when(at_ms)), h('th', { scope: 'row' }, operator), h('td', { class: 'wide' }, act));
}

function nothing(before) {
  return emptyState(
    before
      ? { title: 'Nothing older', text: 'What is older is no longer kept (console.audit_days).' }
      : { title: 'Nobody has changed anything', text: 'Logins, rehearsals, replays, drops, retries and ended subscriptions appear here.' },
  );
}
