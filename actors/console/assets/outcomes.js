// What came of an act: done, refused, and what did not answer.

import { notice } from './bits.js';
import { h, replace } from './dom.js';
import { many } from './format.js';

const SHOWN = 8;

/** A place where it is told, also to who listens to the page. */
export function createOutcome() {
  const list = h('ul', { class: 'notices' });
  const element = h('div', { role: 'status', class: 'outcome-place', tabindex: '-1' }, list);
  return {
    element,
    clear: () => replace(list),
    failed: (error) => replace(list, notice('bad', '✕', `Nothing is known to be done: ${error.message}`)),
    /** @param {string} done in words, such as `2 letters are replayed` @param {{ refused?: any[], away?: any[] }=} answer */
    tell(done, { refused = [], away = [] } = {}) {
      replace(
        list,
        done && notice('info', '✓', done),
        refused.slice(0, SHOWN).map((one) => notice('bad', '⊘', h('b', null, one.capability), ` refuses ${one.id}: ${one.why}`)),
        refused.length > SHOWN && notice('bad', '⊘', `and ${many(refused.length - SHOWN, 'more refusal')}`),
        away.map((one) => notice('warn', '!', h('b', null, one.capability), ` does not answer, so nothing is known of its part: ${one.why}`)),
      );
    },
  };
}
