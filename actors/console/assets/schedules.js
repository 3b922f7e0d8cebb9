// Schedules: what capabilities send themselves at set times, and what is next.

import { postJson } from './api.js';
import { emptyState } from './bits.js';
import { h } from './dom.js';
import { duration, many, utc } from './format.js';
import { createReading } from './reading.js';
import { table } from './topology-table.js';
import { capabilityHref } from './troubles.js';

const HEADS = ['Schedule', 'Capability', 'When (cron)', 'Time zone', 'Last', 'Next', 'Act'];

export function show(main) {
  const page = createReading(main, {
    title: 'Schedules',
    ask: (signal) => postJson('/api/durable/schedules/list', {}, { signal }),
    tally: ({ schedules }) => many(schedules.length, 'schedule'),
    what: ({ schedules }) => schedules,
    draw: ({ schedules, away, asked_at_ms: now }) =>
      schedules.length > 0 ? table(HEADS, h('tbody', null, schedules.map((one) => row(one, now))), 'schedules') : nothing(away),
  });
  page.read();

  function row(one, now) {
    const next = one.next_ms === null ? 'never again' : `${utc(one.next_ms * 1_000)}, in ${duration((one.next_ms - now) * 1_000)}`;
    return h(
      'tr',
      null,
      h('th', { scope: 'row' }, one.name),
      h('td', null, h('a', { href: capabilityHref(one.capability) }, one.capability)),
      h('td', null, h('code', null, one.cron)),
      h('td', null, one.zone),
      h('td', null, one.last_ms === null ? h('span', { class: 'quiet' }, 'not yet') : utc(one.last_ms * 1_000)),
      h('td', null, next),
      h('td', null, h('button', { class: 'button', type: 'button', onclick: () => fire(one) }, 'Fire now')),
    );
  }

  function fire({ capability, name }) {
    const text = 'Its command is sent at once, beside its set times, which stay as they are.';
    page.act({ title: `Fire ${name} of ${capability} now?`, text, action: 'Fire now' }, async () => {
      const fired = await postJson('/api/durable/schedules/fire', { capability, name });
      return [`${name} of ${capability} was fired as ${fired.id}.`];
    });
  }

  return page;
}

function nothing(away) {
  if (away.length > 0) return emptyState({ title: 'No schedules are known', text: 'Not every capability has answered.' });
  return emptyState({ title: 'No schedules', text: 'A capability declares one with `schedule` where it lists what it handles.' });
}
