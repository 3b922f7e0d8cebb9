// The command palette: one field that leads everywhere. Views, what providers offer (capabilities, a view's own commands), and
// whatever was typed as an id to find.

import { getJson } from './api.js';
import { h, replace, uniqueId } from './dom.js';
import { address, go } from './router.js';
import { toggleTheme } from './theme.js';
import { VIEWS } from './views.js';

/** @typedef {{ text: string, hint?: string, run: () => void }} Command */

const MOST_SHOWN = 40;
/** @type {Set<() => Command[] | Promise<Command[]>>} */
const providers = new Set([topologyCommands]);

/** Adds commands that a function offers when the palette opens; call what this returns to take them away. */
export function provideCommands(provider) {
  providers.add(provider);
  return () => providers.delete(provider);
}

function ownCommands() {
  const views = VIEWS.filter((view) => view.title).map((view) => ({
    text: view.title,
    hint: view.key ? `g ${view.key}` : 'view',
    run: () => go(view.href ?? view.pattern),
  }));
  return [
    ...views,
    {
      text: 'Messages that went wrong',
      hint: 'traces',
      run: () => go(address('/traces', { q: ['outcome!=ok', 'outcome!=rejected'], since: '1h' })),
    },
    { text: 'Messages that took over 100 ms', hint: 'traces', run: () => go(address('/traces', { q: 'took>=100ms', since: '1h' })) },
    { text: 'Warnings and errors', hint: 'logs', run: () => go(address('/logs', { q: 'level>=warn' })) },
    { text: 'Light or dark', hint: 'theme', run: toggleTheme },
  ];
}

/** What the cluster has: capabilities and nodes. */
async function topologyCommands() {
  const { nodes = [] } = await getJson('/api/overview');
  const capabilities = [...new Set(nodes.flatMap((node) => Object.keys(node.report?.capabilities ?? {})))].sort();
  return [
    ...capabilities.map((name) => ({ text: name, hint: 'capability', run: () => go(`/capabilities/${encodeURIComponent(name)}`) })),
    ...capabilities.map((name) => ({
      text: `Messages of ${name}`,
      hint: 'traces',
      run: () => go(address('/traces', { q: `capability=${name}`, since: '15m' })),
    })),
    ...nodes.map(({ name }) => ({ text: name, hint: 'node: its log lines', run: () => go(address('/logs', { q: `node=${name}` })) })),
  ];
}

/** What a typed text may be: an id or a key. */
function findCommands(text) {
  if (text === '' || /\s/.test(text)) return [];
  return [
    { text: `Trace of ${text}`, hint: 'find id or key', run: () => go(`/traces/${encodeURIComponent(text)}`) },
    { text: `Log lines that say ${text}`, hint: 'logs', run: () => go(address('/logs', { q: `text~${text}` })) },
  ];
}

export function openPalette() {
  if (document.querySelector('dialog[open]')) return;
  const [listId, dialogKeys] = [uniqueId('palette'), { ArrowDown: 1, ArrowUp: -1 }];
  let commands = ownCommands();
  let shown = [];
  let at = 0;
  const input = h('input', {
    class: 'palette-input',
    type: 'text',
    placeholder: 'A view, a capability, or an id: of a trace, a message, an order …',
    'aria-label': 'Find or go to',
    role: 'combobox',
    'aria-expanded': 'true',
    'aria-controls': listId,
    'aria-autocomplete': 'list',
    autocomplete: 'off',
    spellcheck: 'false',
    oninput: list,
    onkeydown: onKey,
  });
  const options = h('ul', { id: listId, role: 'listbox', class: 'palette-list', 'aria-label': 'Commands' });
  const dialog = h(
    'dialog',
    {
      class: 'dialog palette',
      'aria-label': 'Find or go to',
      onclose: () => dialog.remove(),
      onclick: (event) => event.target === dialog && dialog.close(),
    },
    input,
    options,
  );
  document.body.append(dialog);
  dialog.showModal();
  list();
  for (const provider of providers) {
    Promise.resolve(provider()).then(
      (more) => {
        commands = [...commands, ...more];
        if (dialog.open) list();
      },
      () => {},
    );
  }

  function list() {
    const text = input.value.trim();
    const matching = commands.filter((command) => matches(`${command.text} ${command.hint ?? ''}`, text));
    // An id looks like nothing else: then finding it comes first.
    const find = findCommands(text);
    shown = (isId(text) ? [...find, ...matching] : [...matching, ...find]).slice(0, MOST_SHOWN);
    at = 0;
    replace(
      options,
      shown.length > 0 ? shown.map(option) : h('li', { class: 'palette-none' }, 'Nothing is called that, and no id has a space.'),
    );
    mark();
  }

  function option(command, index) {
    return h(
      'li',
      { id: `${listId}-${index}`, role: 'option', onclick: () => run(index), onpointermove: () => point(index) },
      h('span', null, command.text),
      h('span', { class: 'palette-hint' }, command.hint),
    );
  }

  function point(index) {
    if (index === at) return;
    at = index;
    mark();
  }

  function mark() {
    [...options.children].forEach((element, index) => element.setAttribute('aria-selected', String(index === at)));
    options.children[at]?.scrollIntoView({ block: 'nearest' });
    input.setAttribute('aria-activedescendant', shown.length > 0 ? `${listId}-${at}` : '');
  }

  function onKey(event) {
    if (event.key === 'Enter') {
      event.preventDefault();
      run(at);
    } else if (dialogKeys[event.key] && shown.length > 0) {
      event.preventDefault();
      at = (at + dialogKeys[event.key] + shown.length) % shown.length;
      mark();
    }
  }

  function run(index) {
    const command = shown[index];
    if (!command) return;
    dialog.close();
    command.run();
  }
}

/** Whether each word that was typed is in the text. */
function matches(text, typed) {
  const lower = text.toLowerCase();
  return typed
    .toLowerCase()
    .split(/\s+/)
    .every((word) => lower.includes(word));
}

function isId(text) {
  return text.length >= 8 && /\d/.test(text) && !/\s/.test(text);
}
