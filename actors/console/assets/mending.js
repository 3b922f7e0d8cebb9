// The payload of a dead letter: as it is, and beside it as it is to be; checked by the server, rehearsed and replayed.

import { postJson } from './api.js';
import { copyButton } from './bits.js';
import { h, replace, uniqueId } from './dom.js';
import { payloadOf } from './payload.js';
import { rehearsalOf } from './rehearsal.js';

/**
 * The section of one letter. `replay` gets the payload that was written and the fields that it changes.
 * @param {{ detail: any, signal: AbortSignal, replay: (payload: string, changes: string[]) => void }} options
 */
export function mending({ detail: { letter, payload, editable }, signal, replay }) {
  const isOwn = letter.kept_by === letter.capability;
  const told = h('div', { role: 'status', class: 'stack', tabindex: '-1', 'aria-label': 'What came of it' });
  const place = h('div', { class: 'stack mending' });
  const question = (text) => ({ id: letter.id, capability: letter.capability, ...(text !== undefined && { payload: text }) });
  shown();
  return h('section', { class: 'mending-section', 'aria-label': 'Payload' }, h('h3', null, 'Payload'), place, told);

  function shown() {
    replace(
      place,
      editable ? h('pre', { class: 'code' }, editable) : payloadOf(payload),
      h(
        'div',
        { class: 'letter-acts' },
        editable && copyButton('Copy', editable),
        editable && h('button', { class: 'button', type: 'button', onclick: edit }, 'Edit'),
        isOwn && h('button', { class: 'button', type: 'button', onclick: () => rehearse() }, 'Rehearse'),
      ),
      !isOwn && h('p', { class: 'quiet' }, `${letter.kept_by} keeps it for ${letter.capability}, which had no room for it: replayed, it goes there as it is.`),
      isOwn && h('p', { class: 'quiet' }, WHAT_IT_IS),
    );
  }

  function edit() {
    const id = uniqueId('payload');
    const area = h('textarea', { class: 'input payload-area', id, spellcheck: 'false', autocomplete: 'off', rows: String(Math.min(editable.split('\n').length + 1, 24)) });
    area.value = editable;
    const leave = () => {
      replace(told);
      shown();
    };
    replace(
      place,
      h(
        'div',
        { class: 'side-by-side' },
        h('div', null, h('p', { class: 'quiet' }, 'As it is'), h('pre', { class: 'code' }, editable)),
        h('div', { class: 'field' }, h('label', { class: 'quiet', for: id }, 'As it is to be'), area),
      ),
      editable.includes('(hidden ') && h('p', { class: 'quiet' }, 'Secrets are hidden. Leave their marks, and they stay what they are.'),
      h(
        'div',
        { class: 'letter-acts' },
        h('button', { class: 'button', type: 'button', onclick: () => check(area.value) }, 'Check'),
        h('button', { class: 'button', type: 'button', onclick: () => rehearse(area.value) }, 'Rehearse edited'),
        h('button', { class: 'button button-main', type: 'button', onclick: () => replayed(area.value) }, 'Replay edited …'),
        h('button', { class: 'button', type: 'button', onclick: leave }, 'Leave it as it is'),
      ),
      h('p', { class: 'quiet' }, WHAT_IT_IS),
    );
    area.focus();
  }

  async function checked(text) {
    return (await postJson('/api/durable/dead/check', question(text), { signal })).changes;
  }

  function check(text) {
    return attempt('Checking …', async () => {
      const changes = await checked(text);
      const which = changes.length > 0 ? ['It can be read, and changes ', changesOf(changes), '.'] : 'It can be read, and changes nothing.';
      tell(h('p', { class: 'outcome outcome-ok' }, h('span', { class: 'sign', 'aria-hidden': 'true' }, '✓'), h('span', null, which)));
    });
  }

  function rehearse(text) {
    return attempt('Rehearsing …', async () => tell(rehearsalOf(await postJson('/api/durable/dead/rehearse', question(text), { signal }))));
  }

  function replayed(text) {
    return attempt('Checking …', async () => {
      const changes = await checked(text);
      replace(told);
      replay(text, changes);
    });
  }

  async function attempt(doing, act) {
    replace(told, h('p', { class: 'quiet' }, doing));
    try {
      await act();
    } catch (error) {
      if (error.name === 'AbortError') return;
      tell(h('p', { class: 'form-error' }, error.message));
    }
  }

  function tell(...answer) {
    replace(told, ...answer);
    told.focus();
  }
}

const WHAT_IT_IS =
  'A rehearsal runs its handler in a transaction that is rolled back, and sends nothing. Of what it asks other capabilities only what may be repeated is asked. What it does beside that, such as a request to a server outside, is done for real; the audit keeps that you did it.';

/** Fields by their names. */
export function changesOf(changes) {
  return changes.flatMap((field, at) => [at > 0 && ', ', h('code', null, field)]);
}
