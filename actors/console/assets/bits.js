// Small pieces that several views share: outcomes, places, notices of what is not known, empty states.

import { h, replace, withCode } from './dom.js';
import { many, outcomeOf } from './format.js';

/** An outcome: a sign, and its word. */
export function outcomeMark(name, { attempt = 0 } = {}) {
  const { sign, word, kind } = outcomeOf(name);
  return h(
    'span',
    { class: `outcome outcome-${kind}` },
    h('span', { class: 'sign', 'aria-hidden': 'true' }, sign),
    word,
    attempt > 1 && ` · attempt ${attempt}`,
  );
}

/** Who handles a message, and where: `orders@shop`; of what only its sender tells the node that it went to, if that is known. */
export function place(record) {
  const node = record.half === 'handled' ? record.node : record.peer;
  const told = record.half === 'handled' ? '' : `, as ${record.node} tells, which sent it: no record of its handler is known`;
  return h(
    'span',
    { class: 'place', title: `${record.capability}${node ? `@${node}` : ''}${told}` },
    record.half === 'sent' && h('span', { class: 'at' }, '→ '),
    record.capability,
    node && [h('span', { class: 'at' }, '@'), node],
  );
}

/** An id in little room: ids that are made at one time differ at their ends. */
export function shortId(id) {
  const short = /^#?[0-9a-f-]{17,}$/.test(id) ? `${id.slice(0, 4)}…${id.slice(-8)}` : id;
  return h('span', { class: 'id', title: id }, short);
}

/** What to do where nothing is to be seen. @param {{ title: string, text?: any, actions?: [string, () => void][] }} options */
export function emptyState({ title, text, actions = [] }) {
  return h(
    'div',
    { class: 'empty' },
    h('h2', null, title),
    text && h('p', null, typeof text === 'string' ? withCode(text) : text),
    actions.length > 0 &&
      h(
        'div',
        { class: 'empty-actions' },
        actions.map(([name, run]) => h('button', { class: 'button', type: 'button', onclick: run }, name)),
      ),
  );
}

/** Notices above what is shown: nodes that do not answer, and what was gone before it was read. */
export function createNotices() {
  const element = h('ul', { class: 'notices', 'aria-live': 'polite', 'aria-label': 'What is not known' });
  let told = '';
  return {
    element,
    /** @param {{ away?: { node?: string, capability?: string, stored?: boolean, why: string }[], missed?: number, thing?: string, error?: string }} known */
    show({ away = [], missed = 0, thing = 'record', error = '' }) {
      const text = JSON.stringify([away, missed, error]);
      if (text === told) return;
      told = text;
      replace(
        element,
        error && notice('bad', '✕', error),
        away.map((one) =>
          notice(
            'warn',
            '!',
            h('b', null, one.node ?? one.capability),
            one.stored
              ? ` does not tell the records that it stores of all nodes, so older ones are missing here: ${one.why}`
              : ` does not answer, so what it knows is missing here: ${one.why}`,
          ),
        ),
        missed > 0 &&
          notice(
            'warn',
            '!',
            `${many(missed, thing)} ${missed === 1 ? 'was' : 'were'} gone before ${missed === 1 ? 'it' : 'they'} could be read: narrow the filter.`,
          ),
      );
    },
  };
}

export function notice(kind, sign, ...text) {
  return h('li', { class: `notice notice-${kind}` }, h('span', { class: 'sign', 'aria-hidden': 'true' }, sign), h('span', null, text));
}

/** Copies a text, and says so on the button. */
export function copyButton(name, text) {
  const button = h('button', { class: 'button', type: 'button', onclick: copy }, name);
  async function copy() {
    let word = 'Copied';
    try {
      await navigator.clipboard.writeText(typeof text === 'function' ? text() : text);
    } catch {
      word = copyOld(typeof text === 'function' ? text() : text) ? 'Copied' : 'The browser does not let it';
    }
    button.textContent = word;
    setTimeout(() => (button.textContent = name), 1_600);
  }
  return h('span', { role: 'status', class: 'copy' }, button);
}

/** Without a secure context there is no clipboard but this. */
function copyOld(text) {
  const area = h('textarea', { class: 'unseen' }, text);
  document.body.append(area);
  area.select();
  const isDone = document.execCommand('copy');
  area.remove();
  return isDone;
}

/** Buttons of which one is pressed. @param {string} label @param {[string, string][]} options value and text */
export function segments(label, options, onChoose) {
  const buttons = options.map(([value, text]) =>
    h('button', { class: 'segment', type: 'button', data: { value }, onclick: () => onChoose(value) }, text),
  );
  return {
    element: h('div', { class: 'segments', role: 'group', 'aria-label': label }, buttons),
    show: (value) => buttons.forEach((button) => button.setAttribute('aria-pressed', String(button.dataset.value === value))),
  };
}

/** The button that holds back what comes. */
export function pauseButton(onToggle) {
  const element = h('button', { class: 'button', type: 'button', onclick: onToggle });
  return {
    element,
    show(isPaused) {
      element.setAttribute('aria-pressed', String(isPaused));
      replace(element, h('span', { class: 'sign', 'aria-hidden': 'true' }, isPaused ? '▶' : '❚❚'), isPaused ? 'Resume' : 'Pause');
    },
  };
}
