// The messages that a capability takes and publishes: each with its fields and its answers, and a form that sends it.

import { postJson } from './api.js';
import { createNotices } from './bits.js';
import { h, replace, say } from './dom.js';
import { count } from './format.js';
import { keyed } from './keyed.js';
import { createPoll } from './poll.js';
import { setQuery } from './router.js';
import { described, schemaView } from './schema-view.js';
import { sendPart } from './send-message.js';
import { capabilityHref } from './troubles.js';

const COUNTED_EVERY_MS = 10_000;

/** @param {string} name the capability @param {URLSearchParams} query `message`: those that are open */
export function createMessages(name, query) {
  const life = new AbortController();
  const notices = createNotices();
  const list = h('div', { class: 'messages' });
  const empty = h('p', { class: 'quiet' }, 'Reading its messages …');
  const element = h('section', null, h('h2', null, 'Messages'), notices.element, empty, list);
  const show = keyed(list, (one) => `${one.name} ${one.nodes.join(' ')}`, (one) => messagePart(one, name, { isOpen: open.includes(one.name), onToggle, signal: life.signal }));
  let open = query.getAll('message');
  const poll = createPoll({
    ask: (signal) => postJson('/api/messages/list', { capability: name }, { signal }),
    draw({ messages, away }) {
      notices.show({ away });
      // Its own first, then the events of others.
      show(messages.sort((a, b) => (a.capability !== name) - (b.capability !== name)));
      empty.hidden = messages.length > 0;
      say(empty, 'It takes no messages.');
    },
    failed: (error) => notices.show({ error: `Its messages cannot be read: ${error.message}` }),
    everyMs: COUNTED_EVERY_MS,
  });
  poll.read();

  /** Opens those that the address names. */
  function choose(now) {
    open = now.getAll('message');
    for (const one of list.children) one.open = open.includes(one.dataset.name);
  }

  /** Has the address name those that are open. */
  function onToggle() {
    const shown = [...list.children].filter((one) => one.open).map((one) => one.dataset.name);
    if (!life.signal.aborted && shown.join() !== open.join()) setQuery({ message: shown }, { replace: true });
  }

  return {
    element,
    choose,
    close() {
      life.abort();
      poll.close();
    },
  };
}

function messagePart(first, capability, { isOpen, onToggle, signal }) {
  const handled = h('span', { class: 'quiet message-count' });
  const body = h('div', { class: 'message-body' });
  const element = h(
    'details',
    { class: 'message', data: { name: first.name }, open: isOpen, ontoggle: toggled },
    h(
      'summary',
      null,
      h('code', { class: 'message-name' }, first.name),
      h('span', { class: 'tag' }, first.kind),
      first.idempotent && h('span', { class: 'tag' }, 'idempotent'),
      first.internal && h('span', { class: 'tag tag-note' }, 'internal'),
      handled,
    ),
    body,
  );
  // Made when it is first opened: a page may have many.
  function toggled() {
    if (element.open && body.childElementCount === 0) replace(body, parts(first, capability, signal));
    onToggle();
  }
  const update = ({ outcomes }) => {
    const all = Object.values(outcomes).reduce((sum, one) => sum + one, 0);
    const bad = all - (outcomes.ok ?? 0) - (outcomes.rejected ?? 0);
    say(handled, `${count(all)} handled${bad > 0 ? `, ✕ ${count(bad)} failed` : ''}`);
  };
  update(first);
  return { element, update };
}

function parts(message, capability, signal) {
  const { schema, reply, error, key_field: key, nodes, handled_by: handlers } = message;
  const links = handlers.map((one, at) => [at > 0 && ', ', h('a', { href: capabilityHref(one) }, one)]);
  return [
    described(schema?.description),
    h(
      'dl',
      { class: 'facts' },
      fact('handled by', links, ` in ${nodes.join(', ')}`),
      key && fact('key', h('code', null, key)),
    ),
    h('h3', null, 'Fields'),
    schema ? schemaView(schema, `Fields of ${message.name}`) : h('p', { class: 'quiet' }, 'Its contract does not tell them.'),
    reply && folded('Its reply', reply, message.name),
    error && folded('Its errors', error, message.name),
    h('h3', null, 'Send one'),
    sending(message, capability, signal),
  ];
}

function fact(name, ...value) {
  return h('div', null, h('dt', null, name), h('dd', null, value));
}

function folded(title, schema, name) {
  return h('details', { class: 'message-more' }, h('summary', null, title), described(schema.description), schemaView(schema, `${title}: ${name}`));
}

function sending(message, capability, signal) {
  if (message.internal) return h('p', { class: 'quiet' }, 'The capability alone sends it, about what nobody else knows.');
  if (message.kind === 'broadcast') return h('p', { class: 'quiet' }, 'A broadcast: nobody answers it and nothing keeps it, so it is not sent by hand.');
  if (message.capability !== capability) {
    return h('p', { class: 'quiet' }, 'An event of ', h('a', { href: capabilityHref(message.capability) }, message.capability), ', whose page sends it.');
  }
  return sendPart(message, signal);
}
