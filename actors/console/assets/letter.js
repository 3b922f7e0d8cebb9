// One dead letter: what is in it, why it died, its trace; rehearsed, replayed, with another payload if need be, or dropped.

import { postJson } from './api.js';
import { createNotices, emptyState } from './bits.js';
import { order, when } from './dead.js';
import { h, replace } from './dom.js';
import { count } from './format.js';
import { bindAll } from './keys.js';
import { drop, replay, REASONS, traceOf } from './letters.js';
import { mending } from './mending.js';
import { createOutcome } from './outcomes.js';
import { address, go, lastAddress } from './router.js';
import { capabilityHref } from './troubles.js';

export function show(main, { id }) {
  document.title = `Dead letter ${id} · Essaim`;
  const asking = new AbortController();
  const notices = createNotices();
  const outcome = createOutcome();
  const place = h('div', { class: 'stack' }, h('p', { class: 'quiet', role: 'status' }, 'Reading the letter …'));
  const back = () => go(lastAddress('dead', '/dead'));
  main.append(
    h(
      'div',
      { class: 'view view-wide' },
      h('div', { class: 'view-head' }, h('h1', null, 'Dead letter'), h('span', { class: 'id' }, id), h('a', { class: 'button', href: '/dead' }, 'All dead letters')),
      notices.element,
      outcome.element,
      place,
    ),
  );
  const unbind = bindAll(
    [
      ['r', 'Read again', read],
      ['u', 'Back to the list', back],
    ],
    'Dead letter',
  );
  read();

  async function read() {
    try {
      const { letters, away } = await postJson('/api/durable/dead/show', { id }, { signal: asking.signal });
      notices.show({ away });
      replace(place, letters.length > 0 ? letters.map(one) : gone(away));
    } catch (error) {
      if (error.name === 'AbortError') return;
      replace(place, emptyState({ title: 'The letter cannot be read', text: error.message, actions: [['Read again', read]] }));
    }
  }

  function gone(away) {
    const text = away.length > 0 ? 'It may be kept by a capability that does not answer now.' : 'It was replayed or dropped, or its id is another one.';
    return emptyState({
      title: 'There is no such dead letter',
      text,
      actions: [
        ['All dead letters', () => go('/dead')],
        ['Find its trace', () => go(`/traces/${encodeURIComponent(id)}`)],
      ],
    });
  }

  function one(detail) {
    const { letter, principal, metadata } = detail;
    const trace = traceOf(letter);
    const fact = (name, ...value) => h('div', null, h('dt', null, name), h('dd', null, value));
    return h(
      'article',
      { class: 'letter', 'aria-label': `For ${letter.capability}` },
      h(
        'div',
        { class: 'letter-head' },
        h('h2', null, letter.name || 'A message that cannot be read', h('span', { class: 'quiet' }, ' for '), h('a', { href: capabilityHref(letter.capability) }, letter.capability)),
        h(
          'div',
          { class: 'letter-acts' },
          trace && h('a', { class: 'button', href: `/traces/${trace}` }, 'Its trace'),
          h('button', { class: 'button button-main', type: 'button', onclick: () => run(replay, letter) }, 'Replay'),
          h('button', { class: 'button button-danger', type: 'button', onclick: () => run(drop, letter) }, 'Drop'),
        ),
      ),
      h(
        'p',
        { class: 'letter-why' },
        h('span', { class: 'outcome outcome-bad' }, h('span', { class: 'sign', 'aria-hidden': 'true' }, '✕'), letter.reason),
        REASONS[letter.reason] && h('span', { class: 'quiet' }, ` ${REASONS[letter.reason]}`),
      ),
      letter.error && h('pre', { class: 'letter-error' }, letter.error),
      h(
        'dl',
        { class: 'facts' },
        fact('died', when(letter.dead_at_ms)),
        fact('sent', when(letter.sent_at_ms)),
        fact('failed attempts', count(letter.attempts)),
        letter.key && fact('key', h('a', { href: address('/traces', { q: `key=${letter.key}`, since: 'all' }) }, letter.key), ' ', order(letter)),
        letter.kept_by !== letter.capability && fact('kept by', letter.kept_by),
      ),
      mending({ detail, signal: asking.signal, replay: (payload, changes) => run((letters, capability) => replay(letters, capability, { payload, changes }), letter) }),
      h(
        'div',
        { class: 'letter-more' },
        h('section', null, h('h3', null, 'On behalf of'), principal === null ? h('p', { class: 'quiet' }, 'Nobody: the platform sent it itself.') : json(principal)),
        h('section', null, h('h3', null, 'Sent along'), isEmpty(metadata) ? h('p', { class: 'quiet' }, 'Nothing.') : json(metadata)),
      ),
    );
  }

  async function run(act, letter) {
    try {
      const told = await act([letter], letter.capability);
      if (!told) return;
      outcome.tell(told.done, told.answer);
    } catch (error) {
      outcome.failed(error);
    }
    outcome.element.focus();
    await read();
  }

  return {
    close() {
      asking.abort();
      unbind();
    },
  };
}

function json(value) {
  return h('pre', { class: 'code' }, JSON.stringify(value, null, 2));
}

function isEmpty(value) {
  return value === null || value === undefined || (typeof value === 'object' && Object.keys(value).length === 0);
}
