// Dead letters: what their reasons mean, and replaying and dropping them.

import { postJson } from './api.js';
import { confirm } from './confirm.js';
import { many } from './format.js';
import { changesOf } from './mending.js';

/** Why messages die, in words. @type {Record<string, string>} */
export const REASONS = {
  rejected: 'its handler refused it for good',
  attempts: 'all its attempts failed',
  too_old: 'it is older than ids are remembered, so it may have been applied already',
  too_new: 'its id is from further ahead than clocks may differ',
  unreadable: 'its bytes cannot be read',
  unsupported: 'no live host of its capability has a handler for it',
  expired: 'it was not handled in time',
  full: 'there was no room for it',
};

/** The trace of a letter, from its W3C trace context; `null` without one. */
export function traceOf({ trace }) {
  return /^[0-9a-f]{2}-([0-9a-f]{32})-/.exec(trace ?? '')?.[1] ?? null;
}

export function isOutOfOrder(letter) {
  return Boolean(letter.key) && !letter.held;
}

/** Asks, and replays; one letter with the payload in `edited`, if it is given. @returns {Promise<{ done: string, answer: any } | null>} `null` if it is not to be done */
export async function replay(letters, capability, edited = null) {
  const unordered = letters.filter(isOutOfOrder).length;
  const held = letters.filter((letter) => letter.held).length;
  const text = [
    edited && (edited.changes.length > 0 ? ['Its payload is another one: ', changesOf(edited.changes), '.'] : 'Its payload is what it was.'),
    `${letters.length === 1 ? 'It is' : 'They are'} handled again, as if ${letters.length === 1 ? 'it' : 'they'} had just come. If the cause is still there, ${letters.length === 1 ? 'it dies' : 'they die'} again.`,
    held > 0 && `${many(held, 'key')} ${held === 1 ? 'is' : 'are'} on hold: later messages of ${held === 1 ? 'it' : 'them'} come after the replay, in order.`,
    unordered > 0 &&
      `Out of order: ${many(unordered, 'letter')} ${unordered === 1 ? 'has a key' : 'have keys'} that ${unordered === 1 ? 'is' : 'are'} not held, so later messages of the same key were handled already, and ${unordered === 1 ? 'it comes' : 'these come'} after them.`,
  ].filter(Boolean);
  const acknowledge = unordered > 0 ? 'That is all right: its handler bears messages out of order' : undefined;
  const isWanted = await confirm({ title: `Replay ${many(letters.length, 'dead letter')}?`, text, action: 'Replay', acknowledge });
  return isWanted ? act('/api/durable/dead/replay', letters, capability, 'to be handled again', edited && { payload: edited.payload }) : null;
}

/** Asks, and drops. @returns {Promise<{ done: string, answer: any } | null>} `null` if it is not to be done */
export async function drop(letters, capability) {
  const held = letters.filter((letter) => letter.held).length;
  const text = [
    `${letters.length === 1 ? 'It is' : 'They are'} forgotten and cannot be brought back: what ${letters.length === 1 ? 'it' : 'they'} would have done is never done.`,
    held > 0 && `${many(held, 'key')} ${held === 1 ? 'is' : 'are'} on hold: later messages of ${held === 1 ? 'it' : 'them'} go on without ${held === 1 ? 'this one' : 'these'}.`,
  ].filter(Boolean);
  const isWanted = await confirm({ title: `Drop ${many(letters.length, 'dead letter')}?`, text, action: 'Drop for good', danger: true });
  return isWanted ? act('/api/durable/dead/drop', letters, capability, 'dropped') : null;
}

async function act(path, letters, capability, what, more = null) {
  const ids = [...new Set(letters.map((letter) => letter.id))];
  const answer = await postJson(path, { ids, ...(capability && { capability }), ...more });
  const number = answer.done.length;
  const done = number > 0 ? `${many(number, 'letter')} ${number === 1 ? 'is' : 'are'} ${what}: soon, by the owner of its partition.` : '';
  const isNone = number === 0 && answer.refused.length === 0 && answer.away.length === 0;
  return { done: isNone ? 'None of them is there any more: somebody else was faster.' : done, answer };
}
