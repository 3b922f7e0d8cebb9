// Subscriptions: who gets which event, and how to end one.

import { postJson } from './api.js';
import { emptyState } from './bits.js';
import { when } from './dead.js';
import { h } from './dom.js';
import { duration, many } from './format.js';
import { createReading } from './reading.js';
import { table } from './topology-table.js';
import { capabilityHref } from './troubles.js';

const WHEN_FULL = {
  overflow_to_disk: 'events wait in the publisher’s database',
  dead_letter: 'events become dead letters',
  block: 'the publisher’s outbox waits',
};
const FROM = { registration: 'the first event after it began', earliest_retained: 'what the publisher had kept' };

export function show(main) {
  const page = createReading(main, {
    title: 'Subscriptions',
    ask: (signal) => postJson('/api/durable/subscriptions/list', {}, { signal }),
    tally: ({ subscriptions }) => many(subscriptions.length, 'subscription'),
    what: ({ subscriptions }) => subscriptions,
    draw: ({ subscriptions }) =>
      subscriptions.length > 0 ? table(HEADS, h('tbody', null, subscriptions.map(row)), 'subscriptions') : nothing(),
  });
  page.read();

  function row(one) {
    return h(
      'tr',
      null,
      h('th', { scope: 'row' }, one.event),
      h('td', null, h('a', { href: capabilityHref(one.capability) }, one.capability)),
      h('td', null, h('span', { class: `outcome outcome-${one.live ? 'ok' : 'note'}` }, h('span', { class: 'sign', 'aria-hidden': 'true' }, one.live ? '✓' : '!'), one.live ? 'has a live host' : 'no live host')),
      h('td', { title: one.when_full }, WHEN_FULL[one.when_full] ?? one.when_full),
      h('td', null, one.retention_ms === null ? 'until it is taken' : duration(one.retention_ms * 1_000)),
      h('td', { title: one.from }, FROM[one.from] ?? one.from),
      h('td', null, one.since_ms === null ? '–' : when(one.since_ms)),
      h('td', null, h('button', { class: 'button button-danger', type: 'button', onclick: () => end(one), 'aria-label': `End the subscription of ${one.capability} to ${one.event}` }, 'End')),
    );
  }

  function end({ event, capability, live }) {
    const text = [
      `${capability} gets ${event} no longer. Events that wait for it on the publisher’s disk are dropped.`,
      live
        ? `A host of ${capability} is alive: it subscribes again at its next start, and does not get what was published until then.`
        : `No host of ${capability} is known to be alive. If one starts again, it subscribes again.`,
    ];
    page.act({ title: `End the subscription of ${capability}?`, text, action: 'End it', danger: true }, async () => {
      const answer = await postJson('/api/durable/subscriptions/drop', { event, capability });
      const again = answer.live ? ' A host of it is alive and subscribes again at its next start.' : '';
      return [answer.dropped ? `${capability} gets ${event} no longer.${again}` : 'There was no such subscription any more.'];
    });
  }

  return page;
}

const HEADS = ['Event', 'Who gets it', 'Host', 'While it has no room', 'An event waits', 'It began with', 'Since', 'Act'];

function nothing() {
  return emptyState({ title: 'No subscriptions', text: 'A capability that handles an event subscribes to it when it starts. None that has started does.' });
}
