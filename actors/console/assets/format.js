// Numbers, moments and outcomes in words, all in one way.

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
const day = new Intl.DateTimeFormat(undefined, { year: 'numeric', month: 'short', day: 'numeric' });
const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

/** Microseconds in the unit that reads best, with three digits at most: `46 µs`, `19.4 ms`, `2.61 s`. */
export function duration(us) {
  if (!Number.isFinite(us)) return '–';
  if (us < 999.5) return `${Math.round(us)} µs`;
  if (us < 999_500) return `${digits(us / 1_000)} ms`;
  if (us < 119_500_000) return `${digits(us / 1_000_000)} s`;
  if (us < 7_200_000_000) return `${digits(us / 60_000_000)} min`;
  return `${digits(us / 3_600_000_000)} h`;
}

function digits(number) {
  return number < 9.995 ? number.toFixed(2) : number < 99.95 ? number.toFixed(1) : number.toFixed(0);
}

/** The time of day of a moment in microseconds, to the millisecond. */
export function timeOfDay(us) {
  const ms = us / 1_000;
  return `${clock.format(ms)}.${String(Math.floor(ms % 1_000)).padStart(3, '0')}`;
}

/** Day and time of a moment in microseconds. */
export function moment(us) {
  return `${day.format(us / 1_000)}, ${timeOfDay(us)}`;
}

/** The moment in UTC, in full. */
export function utc(us) {
  return new Date(us / 1_000).toISOString();
}

export function count(number) {
  return whole.format(number).replaceAll(',', '\u202f');
}

/** `1 message`, `2 messages`. */
export function many(number, one, more = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : more}`;
}

export function bytes(number) {
  if (number < 1_000) return `${number} B`;
  return number < 1_000_000 ? `${digits(number / 1_000)} kB` : `${digits(number / 1_000_000)} MB`;
}

/**
 * Each outcome's sign, word and class. Signs differ in shape, so that nobody needs the colour.
 * @type {Record<string, { sign: string, word: string, kind: 'ok' | 'note' | 'bad' }>}
 */
export const OUTCOMES = {
  ok: { sign: '✓', word: 'ok', kind: 'ok' },
  sent: { sign: '→', word: 'sent', kind: 'ok' },
  stored: { sign: '✓', word: 'stored', kind: 'ok' },
  not_stored: { sign: '⇥', word: 'not stored', kind: 'bad' },
  rejected: { sign: '⊘', word: 'rejected', kind: 'note' },
  failed: { sign: '✕', word: 'failed', kind: 'bad' },
  panicked: { sign: '‼', word: 'panicked', kind: 'bad' },
  timed_out: { sign: '◷', word: 'timed out', kind: 'bad' },
  not_delivered: { sign: '⇥', word: 'not delivered', kind: 'bad' },
  unknown: { sign: '?', word: 'unknown', kind: 'bad' },
};

/** The entry of an outcome, also of one that this page does not know. */
export function outcomeOf(name) {
  return OUTCOMES[name] ?? { sign: '?', word: String(name), kind: 'note' };
}

/** The graver of two outcomes; of two bad ones that which tells more: a request only fails because of what it has asked. */
export function graver(a, b) {
  const gravity = (name) => ({ ok: 0, note: 1, bad: 2 })[outcomeOf(name).kind] + (name === 'failed' ? 0 : 0.5);
  return gravity(b) > gravity(a) ? b : a;
}
