// Whether what the page shows is live: the state of the streams that it reads, as the header tells it.

/** @typedef {'idle' | 'live' | 'reconnecting' | 'offline'} State */

/** From the worst on. */
const STATES = ['offline', 'reconnecting', 'live'];
const streams = new Map();
const changes = new EventTarget();
let told = 'idle ';

/** A stream tells its state, and why it is not live; `null` once it is closed. @param {State | null} state */
export function report(stream, state, why = '') {
  if (state === null) streams.delete(stream);
  else streams.set(stream, { state, why });
  const { state: now, why: reason } = connection();
  if (`${now} ${reason}` === told) return;
  told = `${now} ${reason}`;
  changes.dispatchEvent(new Event('change'));
}

/** The state of the stream that does worst, and why. @returns {{ state: State, why: string }} */
export function connection() {
  const all = [...streams.values()];
  const worst = STATES.map((state) => all.find((stream) => stream.state === state)).find(Boolean);
  return worst ?? { state: 'idle', why: '' };
}

export function onConnection(callback) {
  changes.addEventListener('change', callback);
}
