// Schedules: what capabilities send themselves at set times, and what is next.

import { postJson } from './api.js';
import { createNotices, emptyState } from './bits.js';
import { confirm } from './confirm.js';
import { h, replace, say } from './dom.js';
import { duration, many, utc } from './format.js';
import { bindAll } from './keys.js';
import { createOutcome } from './outcomes.js';
import { table } from './topology-table.js';
import { capabilityHref } from './troubles.js';

const EVERY_MS = 5_000;
const HEADS = ['Schedule', 'Capability', 'When (cron)', 'Time zone', 'Last', 'Next', 'Act'];

export function show(main) {
  document.title = 'Schedules · Essaim';
  let asking = new AbortController();
  let timer = null;
  let told = '';
  const tally = h('p', { class: 'tally' });
  const notices = createNotices();
  const outcome = createOutcome();
  const place = h('div', { class: 'stack' });
  const again = h('button', { class: 'button', type: 'button', onclick: read }, 'Read again');
  main.append(
    h(
      'div',
      { class: 'view view-wide' },
      h('div', { class: 'view-head' }, h('h1', null, 'Schedules'), again, tally),
      notices.element,
      outcome.element,
      place,
    ),
  );
  const unbind = bindAll([['r', 'Read again', read]], 'Schedules');
  read();

  async function read() {
    asking.abort();
    clearTimeout(timer);
    asking = new AbortController();
    const { signal } = asking;
    try {
      const found = await postJson('/api/durable/schedules/list', {}, { signal });
      notices.show({ away: found.away });
      draw(found);
    } catch (error) {
      if (error.name === 'AbortError') return;
      say(tally, '');
      told = '';
      replace(place, emptyState({ title: 'Schedules cannot be read', text: error.message, actions: [['Read again', read]] }));
    }
    if (!signal.aborted) timer = setTimeout(read, EVERY_MS);
  }

  function draw({ schedules, away, asked_at_ms: now }) {
    say(tally, many(schedules.length, 'schedule'));
    const text = JSON.stringify([schedules, away]);
    if (text === told) return;
    told = text;
    if (schedules.length === 0) replace(place, nothing(away));
    else replace(place, table(HEADS, h('tbody', null, schedules.map((one) => row(one, now))), 'schedules'));
  }

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

  async function fire({ capability, name }) {
    const text = ['Its command is sent at once, beside its set times, which stay as they are.'];
    if (!(await confirm({ title: `Fire ${name} of ${capability} now?`, text, action: 'Fire now' }))) return;
    try {
      const fired = await postJson('/api/durable/schedules/fire', { capability, name });
      outcome.tell(`${name} of ${capability} was fired as ${fired.id}.`, {});
    } catch (error) {
      outcome.failed(error);
    }
    outcome.element.focus();
    read();
  }

  return {
    close() {
      asking.abort();
      clearTimeout(timer);
      unbind();
    },
  };
}

function nothing(away) {
  if (away.length > 0) return emptyState({ title: 'No schedules are known', text: 'Not every capability has answered.' });
  return emptyState({ title: 'No schedules', text: 'A capability declares one with `schedule` where it lists what it handles.' });
}
