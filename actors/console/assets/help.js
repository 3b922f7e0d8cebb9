// The dialog that tells the keys.

import { h } from './dom.js';
import { boundKeys } from './keys.js';

/** The order of the groups; others come first, since they belong to the view. */
const LAST = ['Go to', 'Everywhere'];

export function showHelp() {
  const groups = [...boundKeys()].sort(([a], [b]) => LAST.indexOf(a) - LAST.indexOf(b));
  const dialog = h(
    'dialog',
    {
      class: 'dialog help',
      'aria-labelledby': 'help-title',
      onclose: () => dialog.remove(),
      onclick: (event) => event.target === dialog && dialog.close(),
    },
    h(
      'div',
      { class: 'dialog-head' },
      h('h2', { id: 'help-title' }, 'Keys'),
      h('button', { class: 'button', type: 'button', onclick: () => dialog.close() }, 'Close'),
    ),
    h('div', { class: 'help-groups' }, groups.map(group)),
  );
  document.body.append(dialog);
  dialog.showModal();
}

function group([name, bindings]) {
  const row = ({ keys, what }) => h('div', null, h('dt', null, shown(keys)), h('dd', null, what));
  return h('section', null, h('h3', null, name), h('dl', null, bindings.map(row)));
}

/** Keys as they are printed on keyboards. */
function shown(keys) {
  const names = { mod: 'Ctrl', ' ': 'Space' };
  return keys.split(' ').map((chord) => [
    h(
      'kbd',
      null,
      chord
        .split(/(?<=.)\+/)
        .map((key) => names[key] ?? (key.length === 1 && chord.includes('+') ? key.toUpperCase() : key))
        .join(' '),
    ),
    ' ',
  ]);
}
