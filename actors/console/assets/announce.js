// What changes without a person's doing, said once to who listens to the page instead of looking at it.

import { h, say } from './dom.js';

const region = h('div', { class: 'unseen', role: 'status' });

/** The region that is read aloud; it belongs into the page once. */
export function announcer() {
  return region;
}

export function announce(text) {
  say(region, text);
}
