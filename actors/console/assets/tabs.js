// Tabs whose choice stands in the address.

import { h, replace, uniqueId } from './dom.js';

/**
 * @param {string} label
 * @param {[string, string, () => Node][]} tabs value, name, and what makes its panel
 * @param {(value: string) => void} onChoose
 */
export function createTabs(label, tabs, onChoose) {
  const panelId = uniqueId('panel');
  const buttons = tabs.map(([value, name]) =>
    h(
      'button',
      {
        class: 'tab',
        type: 'button',
        role: 'tab',
        id: `${panelId}-${value}`,
        'aria-controls': panelId,
        data: { value },
        onclick: () => onChoose(value),
      },
      name,
    ),
  );
  const panel = h('div', { id: panelId, role: 'tabpanel', class: 'tab-panel' });
  const list = h('div', { class: 'tabs', role: 'tablist', 'aria-label': label, onkeydown: onKey }, buttons);
  let shown = null;

  function onKey(event) {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const next = buttons[(buttons.findIndex((button) => button.dataset.value === shown) + by + buttons.length) % buttons.length];
    onChoose(next.dataset.value);
    next.focus();
  }

  return {
    list,
    panel,
    /** Shows a tab; makes its panel anew only if it is another one, or if `isNew`. */
    show(value, isNew = false) {
      if (value === shown && !isNew) return;
      shown = value;
      for (const button of buttons) {
        const isShown = button.dataset.value === value;
        button.setAttribute('aria-selected', String(isShown));
        button.tabIndex = isShown ? 0 : -1;
      }
      panel.setAttribute('aria-labelledby', `${panelId}-${value}`);
      replace(panel, tabs.find(([known]) => known === value)[2]());
    },
  };
}
