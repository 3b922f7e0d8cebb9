// A log line: its cells in a list, and all that it says.

import { h } from './dom.js';
import { moment, timeOfDay, utc } from './format.js';
import { address } from './router.js';

const LEVELS = { error: ['✕', 'bad'], warn: ['!', 'note'], info: ['·', 'ok'], debug: [' ', 'ok'], trace: [' ', 'ok'] };

/** A level: its sign and its word. */
export function levelMark(level) {
  const [sign, kind] = LEVELS[level] ?? ['?', 'note'];
  return h('span', { class: `level outcome-${kind}` }, h('span', { class: 'sign', 'aria-hidden': 'true' }, sign), level);
}

/** What it says, and its fields, in one line. */
export function lineText(line) {
  const fields = Object.entries(line.fields ?? {})
    .filter(([name]) => name !== 'trace_id')
    .map(([name, value]) => [' ', h('span', { class: 'field-name' }, `${name}=`), value]);
  return h('span', { class: 'line-text' }, line.text.split('\n')[0], h('span', { class: 'line-fields' }, fields));
}

export function lineTime(line) {
  return h('time', { datetime: utc(line.at_us), title: utc(line.at_us) }, timeOfDay(line.at_us));
}

/** All of a line, with links to its trace and to lines like it. */
export function lineDetail(line) {
  const like = (name, value) =>
    h('a', { href: address('/logs', { q: `${name}=${value}` }), title: `All lines with ${name}=${value}` }, value);
  const facts = [
    ['when', h('time', { datetime: utc(line.at_us) }, moment(line.at_us))],
    ['level', levelMark(line.level)],
    ['node', like('node', line.node)],
    ['capability', line.capability && like('capability', line.capability)],
    ['handler', line.handler && like('handler', line.handler)],
    ['trace', line.trace && h('a', { class: 'id', href: `/traces/${line.trace}` }, line.trace)],
    ['target', like('target', line.target)],
    ...Object.entries(line.fields ?? {}).filter(([name, value]) => line[name] !== value && value !== line.trace),
  ];
  return h(
    'div',
    { class: 'line-detail' },
    line.text && h('pre', { tabindex: '0' }, line.text),
    h(
      'dl',
      null,
      facts.filter(([, value]) => value).map(([name, value]) => h('div', null, h('dt', null, name), h('dd', null, value))),
    ),
  );
}
