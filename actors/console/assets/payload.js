// What is in a message, as the server shows it: as JSON, in hexadecimal, or not at all.

import { h } from './dom.js';
import { bytes } from './format.js';

/** @param {{ json?: any, hex?: string, beginning?: { hex: string, bytes: number }, hidden?: { bytes: number } }} payload */
export function payloadOf(payload) {
  if (payload?.json !== undefined) return [h('pre', { class: 'code' }, JSON.stringify(payload.json, null, 2))];
  if (payload?.hidden !== undefined) return [h('p', { class: 'quiet' }, `It has ${bytes(payload.hidden.bytes)} that cannot be read, and may hold secrets.`)];
  if (payload?.hex !== undefined)
    return [h('p', { class: 'quiet' }, 'It is nothing that JSON can show: its bytes in hexadecimal.'), h('pre', { class: 'code' }, payload.hex)];
  const { hex = '', bytes: size = 0 } = payload?.beginning ?? {};
  return [h('p', { class: 'quiet' }, `It has ${bytes(size)}, too long to be shown: its beginning in hexadecimal.`), h('pre', { class: 'code' }, hex)];
}
