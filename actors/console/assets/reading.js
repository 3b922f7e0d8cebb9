// A page of what is read as a whole: asked for, drawn, asked for again, and what a person does about it.

import { createNotices, emptyState } from './bits.js';
import { confirm } from './confirm.js';
import { h, replace, say } from './dom.js';
import { bindAll } from './keys.js';
import { createOutcome } from './outcomes.js';
import { createPoll } from './poll.js';

const EVERY_MS = 5_000;

/**
 * @template Found
 * @param {HTMLElement} main
 * @param {{
 *   title: string,
 *   filters?: HTMLElement,
 *   ask: (signal: AbortSignal) => Promise<Found>,
 *   tally: (found: Found) => string,
 *   what: (found: Found) => any,
 *   draw: (found: Found) => any,
 * }} page `what` is drawn, and drawn anew only when it has changed, so that nobody loses a place or a selection
 */
export function createReading(main, { title, filters, ask, tally, what, draw }) {
  document.title = `${title} · Essaim`;
  let drawn = '';
  const count = h('p', { class: 'tally' }, 'Reading …');
  const notices = createNotices();
  const outcome = createOutcome();
  const place = h('div', { class: 'stack' });
  const { read, close } = createPoll({ ask, draw: show, failed, everyMs: EVERY_MS });
  const again = h('button', { class: 'button', type: 'button', onclick: read }, 'Read again');
  main.append(
    h(
      'div',
      { class: 'view view-wide' },
      h('div', { class: 'view-head' }, h('h1', null, title), again, count),
      filters,
      notices.element,
      outcome.element,
      place,
    ),
  );
  const unbind = bindAll([['r', 'Read again', read]], title);

  function failed(error) {
    say(count, '');
    drawn = '';
    replace(place, emptyState({ title: `${title} cannot be read`, text: error.message, actions: [['Read again', read]] }));
  }

  function show(found) {
    notices.show({ away: found.away ?? [] });
    say(count, tally(found));
    const text = JSON.stringify([what(found), found.away]);
    if (text === drawn) return;
    drawn = text;
    replace(place, draw(found));
  }

  return {
    read,
    /** Reads something else than before. */
    restart() {
      say(count, 'Reading …');
      drawn = '';
      read();
    },
    /**
     * Does something once a person has confirmed it, tells what came of it, and reads again.
     *
     * @param {object} question as `confirm` takes it
     * @param {() => Promise<[string, object?]>} act gives what is done in words, and the answer with what is refused or away
     */
    async act(question, act) {
      if (!(await confirm(question))) return;
      try {
        outcome.tell(...(await act()));
      } catch (error) {
        outcome.failed(error);
      }
      outcome.element.focus();
      drawn = '';
      await read();
    },
    close() {
      close();
      unbind();
    },
  };
}
