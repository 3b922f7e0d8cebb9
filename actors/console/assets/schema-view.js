// A schema as people read it: each field with its type and what its contract says of it, and what is within it below.

import { h, withCode } from './dom.js';
import { shapeOf, typeName } from './schema.js';

/** How deep it is shown: a type may contain itself. */
const DEEPEST = 6;

/** @param {object} schema JSON Schema @param {string} label what the list is called for who does not see it */
export function schemaView(schema, label) {
  const shape = shapeOf(schema);
  const list = listOf(shape, 0);
  if (list) list.setAttribute('aria-label', label);
  return [list ? null : h('p', { class: 'quiet' }, shape.type === 'object' ? 'No fields.' : `${typeName(shape)}.`), list];
}

/** What the whole is for, in paragraphs. */
export function described(text) {
  return text ? text.split('\n\n').map((one) => h('p', null, withCode(one))) : [];
}

function listOf(shape, depth) {
  if (depth > DEEPEST) return null;
  if (shape.type === 'array') return listOf(shape.items(), depth);
  const lines =
    shape.type === 'variants'
      ? shape.variants.map((one) => variant(one, depth))
      : shape.fields.map(({ name, required, shape: of }) => line(name, of(), required ? '' : 'optional', depth));
  return lines.length > 0 ? h('ul', { class: 'schema' }, lines) : null;
}

function line(name, shape, note, depth) {
  return h(
    'li',
    null,
    h('code', { class: 'schema-name' }, name),
    ' ',
    h('span', { class: 'schema-type' }, typeName(shape)),
    note && [' ', h('span', { class: 'tag' }, note)],
    shape.description && h('div', { class: 'schema-text' }, withCode(shape.description)),
    listOf(shape, depth + 1),
  );
}

function variant({ name, description, shape }, depth) {
  const inner = shape?.();
  const isPlain = inner && inner.type !== 'object';
  return h(
    'li',
    null,
    h('code', { class: 'schema-name' }, String(name)),
    isPlain && [' ', h('span', { class: 'schema-type' }, typeName(inner))],
    description && h('div', { class: 'schema-text' }, withCode(description)),
    inner && listOf(inner, depth + 1),
  );
}
