// Asks before something is changed, in a dialog that says what happens.

import { h, uniqueId } from './dom.js';

/**
 * @param {{ title: string, text: any, action: string, danger?: boolean, acknowledge?: string }} options `acknowledge`: what has to be
 *   ticked first
 * @returns {Promise<boolean>} whether it is to be done
 */
export function confirm({ title, text, action, danger = false, acknowledge }) {
  return new Promise((resolve) => {
    const id = uniqueId('confirm');
    const box = h('input', { type: 'checkbox', onchange: () => (run.disabled = !box.checked) });
    const run = h(
      'button',
      { class: `button ${danger ? 'button-danger' : 'button-main'}`, type: 'button', onclick: () => dialog.close('yes') },
      action,
    );
    run.disabled = Boolean(acknowledge);
    const close = () => {
      dialog.remove();
      resolve(dialog.returnValue === 'yes');
    };
    const dialog = h(
      'dialog',
      { class: 'dialog confirm', 'aria-labelledby': id, 'aria-describedby': `${id}-text`, onclose: close },
      h('div', { class: 'dialog-head' }, h('h2', { id }, title)),
      h(
        'div',
        { class: 'confirm-body', id: `${id}-text` },
        [text].flat().map((one) => h('p', null, one)),
        acknowledge && h('label', { class: 'acknowledge' }, box, acknowledge),
        h('p', { class: 'quiet' }, 'The audit keeps that you did it.'),
      ),
      h(
        'div',
        { class: 'confirm-actions' },
        h('button', { class: 'button', type: 'button', onclick: () => dialog.close('no') }, 'Cancel'),
        run,
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
    if (!acknowledge) run.focus();
  });
}
