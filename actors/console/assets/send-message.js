// Sends one message: as a form or as JSON, checked by the server, after a question that says what happens; then its answer and its trace.

import { postJson } from './api.js';
import { notice, outcomeMark } from './bits.js';
import { confirm } from './confirm.js';
import { h, replace, say, uniqueId } from './dom.js';
import { bytes } from './format.js';
import { createForm } from './message-form.js';
import { createTabs } from './tabs.js';

const MOST_MS = 30_000;

/** @param {object} message as `/api/messages/list` tells it @param {AbortSignal} signal */
export function sendPart(message, signal) {
  const { name, schema, secrets, kind } = message;
  const form = schema ? createForm(schema, secrets) : null;
  const raw = h('textarea', { class: 'input', rows: '8', spellcheck: 'false', id: uniqueId('json') }, '{}');
  const limit = h('input', { class: 'input', type: 'number', min: '1', max: String(MOST_MS), step: '1', id: uniqueId('limit') });
  const error = h('p', { class: 'form-error', role: 'alert' });
  const result = h('div', { class: 'sent', role: 'status', tabindex: '-1' });
  const button = h('button', { class: 'button button-main', type: 'submit' }, 'Send …');
  let shown = form ? 'form' : 'json';
  const rawPanel = () => h('div', { class: 'field' }, h('label', { for: raw.id }, 'The message as JSON'), raw);
  const tabs = form && createTabs(`How ${name} is written`, [['form', 'Form', () => form.element], ['json', 'JSON', rawPanel]], choose);
  tabs?.show(shown);

  function choose(tab) {
    // What the form says is where one goes on from, if it says anything.
    const written = tab === 'json' && shown === 'form' ? form.json() : null;
    if (written !== null) raw.value = pretty(written);
    shown = tab;
    tabs.show(tab);
  }

  async function submit(event) {
    event.preventDefault();
    say(error, '');
    replace(result);
    const json = shown === 'form' ? form.json() : raw.value;
    if (json === null || button.disabled) return;
    button.disabled = true;
    try {
      await send(json);
    } catch (refused) {
      if (refused.name === 'AbortError') return;
      say(error, refused.message);
    } finally {
      button.disabled = false;
    }
  }

  async function send(json) {
    const question = { name, json, capability: message.capability };
    const checked = await postJson('/api/messages/check', question, { signal });
    if (!(await confirm({ title: `Send ${name}?`, text: consequences(message, checked), action: 'Send' }))) return;
    const timeout = limit.value === '' ? {} : { timeout_ms: Number(limit.value) };
    const sent = await postJson('/api/messages/send', { ...question, ...timeout }, { signal });
    replace(result, outcome(sent));
    result.focus();
  }

  return h(
    'form',
    { class: 'send-form', novalidate: true, 'aria-label': `Send ${name}`, onsubmit: submit },
    tabs ? [tabs.list, tabs.panel] : rawPanel(),
    kind === 'ask' && h('div', { class: 'field' }, h('label', { for: limit.id }, 'Time limit in ms, if other than the node’s'), limit),
    error,
    h('div', null, button),
    result,
  );
}

function pretty(json) {
  // Reading it would round long numbers.
  const isExact = !/\d{16}/.test(json);
  return isExact ? JSON.stringify(JSON.parse(json), null, 2) : json;
}

/** What happens, in sentences. */
function consequences({ kind, idempotent, handled_by: handlers }, checked) {
  const to = handlers.join(', ');
  const what = {
    ask: [
      `${to} is asked now, on ${checked.on_behalf_of ? `behalf of ${checked.on_behalf_of}` : 'nobody’s behalf'}, and answers. Whatever its handler does is done: it may change data.`,
      idempotent ? 'Where it is not known whether it ran, it is asked again by itself: that does no harm.' : 'It is asked once: where it is not known whether it ran, so it is said.',
    ],
    command: [`It is stored, and ${to} applies it once: soon, or when it is there again. It cannot be taken back.`],
    event: [`It is told as if it had happened: ${to} each apply it once. It cannot be taken back.`],
  }[kind];
  const key = checked.key === null ? '' : `, with the key ${checked.key}`;
  return [...what, `The message has ${bytes(checked.bytes)}${key}.`];
}

function outcome({ outcome: word, answer, error, id, trace, took_ms: ms }) {
  const answered = answer && ('json' in answer ? JSON.stringify(answer.json, null, 2) : `hexadecimal: ${answer.hex ?? answer.beginning?.hex ?? 'not shown'}`);
  const isGood = word === 'ok' || word === 'stored';
  return [
    h('p', { class: 'sent-head' }, outcomeMark(word), h('span', { class: 'quiet' }, ` after ${ms} ms`), ' ', h('a', { class: 'button', href: `/traces/${trace}` }, 'Its trace')),
    id && h('p', null, 'Its id is ', h('span', { class: 'id' }, id), '.'),
    !isGood && error && word !== 'rejected' && h('ul', { class: 'notices' }, notice('bad', '✕', error)),
    answered && h('pre', { class: 'code', tabindex: '0', 'aria-label': 'The answer' }, answered),
  ];
}
