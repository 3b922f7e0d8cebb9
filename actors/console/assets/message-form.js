// A form made from a schema. It writes JSON text itself, so that whole numbers stay what was typed, however long.

import { h, replace, say, uniqueId, withCode } from './dom.js';
import { shapeOf, typeName } from './schema.js';

/** Deeper parts are written as JSON: a type may contain itself. */
const DEEPEST = 5;

/** What is typed is not what its field takes. */
class Mistake extends Error {
  constructor(message, input) {
    super(message);
    this.input = input;
  }
}

/**
 * @param {object} schema JSON Schema @param {string[]} secrets fields that are typed unseen
 * @returns {{ element: Element, json: () => string | null }} `json`: what it says, or `null` after it has said what is wrong
 */
export function createForm(schema, secrets) {
  const part = partOf('', shapeOf(schema), { required: true, secrets, depth: 0 });
  return {
    element: h('div', { class: 'form-parts' }, part.element),
    json() {
      try {
        return part.json() ?? 'null';
      } catch (mistake) {
        if (!(mistake instanceof Mistake)) throw mistake;
        mistake.input.focus();
        return null;
      }
    },
  };
}

/** A part of a form: `json` gives its text, or `undefined` where it is left out. */
function partOf(name, shape, context) {
  if (context.depth > DEEPEST) return jsonPart(name, shape, context);
  const isLeftOut = !context.required && ['object', 'array', 'variants', 'any'].includes(shape.type);
  const make = { object: objectPart, array: arrayPart, variants: variantsPart, words: wordsPart, boolean: wordsPart, string: textPart, integer: numberPart, number: numberPart, null: nullPart }[shape.type] ?? jsonPart;
  return isLeftOut || (shape.nullable && !isScalar(shape)) ? optionalPart(name, shape, context, make) : make(name, shape, context);
}

function isScalar({ type }) {
  return ['string', 'integer', 'number', 'boolean', 'words', 'null'].includes(type);
}

/** A label with its input, what is said of it, and where it says what is wrong. */
function field(name, shape, { required }, input, read) {
  const id = uniqueId('field');
  const error = h('p', { class: 'form-error', id: `${id}-error`, role: 'alert' });
  input.id = id;
  input.setAttribute('aria-describedby', `${id}-text ${id}-error`);
  if (name) input.name = name;
  const note = required && !shape.nullable ? '' : ', optional';
  const element = h(
    'div',
    { class: 'field' },
    h('label', { for: id }, h('code', null, name || 'value'), ' ', h('span', { class: 'schema-type' }, `${typeName(shape)}${note}`)),
    input,
    h('p', { class: 'schema-text', id: `${id}-text` }, withCode(shape.description)),
    error,
  );
  const json = () => {
    say(error, '');
    input.removeAttribute('aria-invalid');
    const wrong = (message) => {
      say(error, message);
      input.setAttribute('aria-invalid', 'true');
      return new Mistake(message, input);
    };
    return read(input.value, wrong);
  };
  return { element, json };
}

/** What is empty is left out where it may be, else null where it may be that. */
function orEmpty({ required }, shape, wrong) {
  if (!required) return undefined;
  if (shape.nullable) return 'null';
  throw wrong('It is needed.');
}

function textPart(name, shape, context) {
  const type = context.secrets.includes(name) ? 'password' : 'text';
  const input = h('input', { class: 'input', type, autocomplete: 'off', spellcheck: 'false' });
  const isOptional = !context.required || shape.nullable;
  return field(name, shape, context, input, (text, wrong) => (text === '' && isOptional ? orEmpty(context, shape, wrong) : JSON.stringify(text)));
}

const FORMS = { integer: /^-?(0|[1-9][0-9]*)$/, number: /^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$/ };

function numberPart(name, shape, context) {
  const input = h('input', { class: 'input', type: 'text', inputmode: shape.type === 'integer' ? 'numeric' : 'decimal', autocomplete: 'off' });
  return field(name, shape, context, input, (text, wrong) => {
    const typed = text.trim();
    if (typed === '') return orEmpty(context, shape, wrong);
    if (!FORMS[shape.type].test(typed)) throw wrong(`It must be a ${NUMBERS[shape.type]}.`);
    if (shape.minimum !== undefined && Number(typed) < shape.minimum) throw wrong(`It must be at least ${shape.minimum}.`);
    if (shape.maximum !== undefined && Number(typed) > shape.maximum) throw wrong(`It must be at most ${shape.maximum}.`);
    return typed;
  });
}

const NUMBERS = { integer: 'whole number', number: 'number' };

function wordsPart(name, shape, context) {
  const words = shape.words ?? [true, false];
  const isOptional = !context.required || shape.nullable;
  const options = words.map((word) => h('option', { value: JSON.stringify(word) }, String(word)));
  const input = h('select', { class: 'input' }, h('option', { value: '' }, isOptional ? 'left out' : 'choose …'), options);
  return field(name, shape, context, input, (text, wrong) => (text === '' ? orEmpty(context, shape, wrong) : text));
}

function nullPart(name) {
  return { element: h('p', { class: 'quiet' }, name && h('code', null, name), ' is always null.'), json: () => 'null' };
}

function jsonPart(name, shape, context) {
  const input = h('textarea', { class: 'input', rows: '3', spellcheck: 'false' });
  const part = field(name, { ...shape, description: `${shape.description} As JSON.`.trim() }, context, input, (text, wrong) => {
    if (text.trim() === '') return orEmpty(context, shape, wrong);
    try {
      JSON.parse(text);
    } catch (error) {
      throw wrong(`It is no JSON: ${error.message}`);
    }
    return text;
  });
  return part;
}

/** A group with a name, which a field of its own stands for where it is the whole message. */
function group(name, shape, ...children) {
  if (!name) return h('div', { class: 'form-parts' }, children);
  return h(
    'fieldset',
    { class: 'form-group' },
    h('legend', null, h('code', null, name), ' ', h('span', { class: 'schema-type' }, typeName(shape))),
    shape.description && h('p', { class: 'schema-text' }, withCode(shape.description)),
    children,
  );
}

function objectPart(name, shape, context) {
  const parts = shape.fields.map((one) => [one.name, partOf(one.name, one.shape(), { ...context, required: one.required, depth: context.depth + 1 })]);
  const none = parts.length === 0 && h('p', { class: 'quiet' }, 'It has no fields.');
  return {
    element: group(name, shape, none, parts.map(([, part]) => part.element)),
    json() {
      const texts = parts.map(([key, part]) => [key, part.json()]).filter(([, text]) => text !== undefined);
      return `{${texts.map(([key, text]) => `${JSON.stringify(key)}: ${text}`).join(', ')}}`;
    },
  };
}

function arrayPart(name, shape, context) {
  const items = [];
  const list = h('ol', { class: 'form-items' });
  const title = name || 'item';
  const adding = h('button', { class: 'button', type: 'button', onclick: () => add().focus() }, `Add to ${title}`);
  function add() {
    const part = partOf(`${title} ${items.length + 1}`, shape.items(), { ...context, required: true, depth: context.depth + 1 });
    const removing = h('button', { class: 'button', type: 'button', onclick: remove, 'aria-label': `Remove ${title} ${items.length + 1}` }, 'Remove');
    const element = h('li', null, part.element, removing);
    function remove() {
      items.splice(items.indexOf(part), 1);
      element.remove();
      adding.focus();
    }
    items.push(part);
    list.append(element);
    return element.querySelector('input, select, textarea') ?? removing;
  }
  if (context.required) add();
  return { element: group(name, shape, list, adding), json: () => `[${items.map((item) => item.json()).join(', ')}]` };
}

function variantsPart(name, shape, context) {
  const place = h('div', { class: 'form-parts' });
  let within = null;
  const options = shape.variants.map((one, at) => h('option', { value: String(at) }, String(one.name)));
  const input = h('select', { class: 'input', onchange: choose }, h('option', { value: '' }, 'choose …'), options);
  function choose() {
    const chosen = shape.variants[Number(input.value)];
    const inner = input.value === '' ? null : chosen.shape?.();
    within = inner ? partOf(String(chosen.name), inner, { ...context, required: true, depth: context.depth + 1 }) : null;
    replace(place, within?.element);
  }
  const choice = field(name, shape, { required: true }, input, (text, wrong) => {
    if (text === '') throw wrong('Choose one.');
    const key = JSON.stringify(shape.variants[Number(text)].name);
    return within ? `{${key}: ${within.json()}}` : key;
  });
  return { element: h('div', { class: 'form-parts' }, choice.element, place), json: choice.json };
}

/** A part that is only there once it is wanted. */
function optionalPart(name, shape, context, make) {
  const place = h('div', { class: 'form-parts' });
  let part = null;
  const wanted = h('input', { type: 'checkbox', onchange: toggle });
  function toggle() {
    part = wanted.checked ? make(name, shape, { ...context, required: true }) : null;
    replace(place, part?.element);
  }
  const left = context.required ? 'null' : undefined;
  const label = h('label', { class: 'form-wanted' }, wanted, h('span', null, 'With ', h('code', null, name || 'value')));
  return { element: h('div', { class: 'form-parts' }, label, place), json: () => (part ? part.json() : left) };
}
