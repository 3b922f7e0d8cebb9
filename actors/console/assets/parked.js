// Parked messages: those that left the log and wait for another attempt, for their time, or behind another one.

import { postJson } from './api.js';
import { emptyState, shortId } from './bits.js';
import { h } from './dom.js';
import { count, duration, many, utc } from './format.js';
import { createReading } from './reading.js';
import { address, setQuery } from './router.js';
import { table } from './topology-table.js';
import { capabilityHref } from './troubles.js';

const MOST = 500;

export function show(main, _parameters, query) {
  let capability = null;
  const field = h('input', { class: 'input', name: 'capability', autocomplete: 'off', spellcheck: 'false', placeholder: 'any', data: { search: '' } });
  const filter = (event) => {
    event.preventDefault();
    setQuery({ capability: field.value.trim() || null });
  };
  const page = createReading(main, {
    title: 'Parked',
    filters: h('form', { class: 'filters', onsubmit: filter, onchange: filter }, h('label', { class: 'filter-field' }, 'Capability', field)),
    ask: (signal) => postJson('/api/durable/parked/list', { most: MOST, ...(capability && { capability }) }, { signal }),
    tally: ({ messages, more }) => `${many(messages.length, 'message')}${more ? ', and more' : ''}`,
    what: ({ messages }) => messages,
    draw: ({ messages, away, asked_at_ms: now }) =>
      messages.length > 0 ? [all(messages), table(HEADS, h('tbody', null, messages.map((one) => row(one, now))), 'parked')] : nothing(away),
  });
  update(query);

  function update(now) {
    capability = now.get('capability') || null;
    field.value = capability ?? '';
    page.restart();
  }

  function all(messages) {
    const failed = messages.filter((one) => one.attempts > 0 && !one.behind && !one.held);
    if (failed.length < 2) return null;
    return h('div', { class: 'choice-bar' }, h('button', { class: 'button', type: 'button', onclick: () => retry(failed) }, `Try all ${count(failed.length)} that failed now`));
  }

  function row(one, now) {
    return h(
      'tr',
      null,
      h('th', { scope: 'row' }, h('a', { href: `/traces/${encodeURIComponent(one.id)}`, title: 'Its trace' }, shortId(one.id))),
      h('td', null, h('a', { href: capabilityHref(one.capability) }, one.capability)),
      h('td', null, one.name || 'unreadable'),
      h('td', null, waitsFor(one, now)),
      h('td', { class: one.attempts > 0 ? 'number is-note' : 'number quiet' }, count(one.attempts)),
      h('td', { class: 'wide' }, one.error ?? h('span', { class: 'quiet' }, 'not tried yet')),
      h('td', null, one.key === one.id ? '–' : h('a', { href: address('/traces', { q: `key=${one.key}`, since: 'all' }) }, shortId(one.key))),
      h('td', { class: 'number quiet' }, `${one.partition}/${one.seq}`),
      h('td', null, h('button', { class: 'button', type: 'button', onclick: () => retry([one]) }, 'Try now')),
    );
  }

  function retry(messages) {
    const behind = messages.filter((one) => one.behind || one.held).length;
    const text = [
      `${messages.length === 1 ? 'It is' : 'They are'} tried at once instead of at ${messages.length === 1 ? 'its' : 'their'} time. If the cause is still there, the attempt fails and counts.`,
      behind > 0 && 'What waits behind another message of its key goes on waiting: order is kept.',
    ].filter(Boolean);
    page.act({ title: `Try ${many(messages.length, 'parked message')} now?`, text, action: 'Try now' }, async () => {
      const answer = await postJson('/api/durable/parked/retry', { ids: messages.map((one) => one.id) });
      const number = answer.ids.length;
      const none = answer.away.length === 0 ? 'None of them is parked any more: they have gone on by themselves.' : '';
      return [number > 0 ? `The owners of ${many(number, 'message')} are asked to try now.` : none, answer];
    });
  }

  function nothing(away) {
    if (capability)
      return emptyState({ title: `Nothing of ${capability} is parked`, actions: [['All capabilities', () => setQuery({ capability: null })]] });
    return emptyState({
      title: away.length > 0 ? 'Nothing is known to be parked' : 'Nothing is parked',
      text: 'A durable message whose attempt failed waits here for the next one, and one with a time for its time.',
    });
  }

  return { update, close: page.close };
}

const HEADS = ['Message', 'Capability', 'Name', 'Waits', 'Attempts', 'Last error', 'Key', 'Place', 'Act'];

function waitsFor(one, now) {
  if (one.held) return h('span', { class: 'tag tag-note', title: 'Its key is on hold until a dead letter of it is replayed or dropped' }, 'key on hold');
  if (one.behind) return ['behind ', h('a', { href: `/traces/${encodeURIComponent(one.behind)}` }, shortId(one.behind))];
  if (one.due_ms <= now) return 'due now';
  return h('time', { datetime: utc(one.due_ms * 1_000), title: utc(one.due_ms * 1_000) }, `in ${duration((one.due_ms - now) * 1_000)}`);
}
