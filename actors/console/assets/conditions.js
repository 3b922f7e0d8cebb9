// Conditions, `FIELD OPERATOR VALUE`, as `essaim trace` and `essaim logs` take them: the server decides what they mean; here they are
// written, read and checked far enough to say what is wrong before it is asked.

/** @typedef {{ name: string, kind: 'text' | 'word' | 'duration' | 'number' | 'moment' | 'named', what: string, values?: string[] }} Field */
/** @typedef {{ field: string, operator: string, value: string }} Condition */

/** Those of two characters first, since others begin as they do. */
const SIGNS = ['!=', '!~', '<=', '>=', '=', '<', '>', '~'];

/** The operators, with words for who does not know the signs. */
export const OPERATORS = [
  ['=', 'is'],
  ['!=', 'is not'],
  ['~', 'contains'],
  ['!~', 'does not contain'],
  ['<', 'less than'],
  ['<=', 'at most'],
  ['>', 'more than'],
  ['>=', 'at least'],
];

/** @type {Field[]} */
export const RECORD_FIELDS = [
  { name: 'capability', kind: 'text', what: 'whose message it is' },
  { name: 'name', kind: 'text', what: 'wire name; of a request method and path' },
  {
    name: 'outcome',
    kind: 'word',
    what: 'how it ended',
    values: ['ok', 'rejected', 'failed', 'panicked', 'timed_out', 'not_delivered', 'unknown'],
  },
  { name: 'kind', kind: 'word', what: 'how it travels', values: ['request', 'ask', 'command', 'event', 'broadcast', 'timer', 'schedule'] },
  { name: 'node', kind: 'text', what: 'the node that wrote the record' },
  { name: 'key', kind: 'text', what: 'the key that orders it, such as an order’s id' },
  { name: 'error', kind: 'text', what: 'why it did not go well' },
  { name: 'took', kind: 'duration', what: 'waiting and running together, such as 100ms' },
  { name: 'waited', kind: 'duration', what: 'in the mailbox' },
  { name: 'ran', kind: 'duration', what: 'in the handler' },
  { name: 'database', kind: 'duration', what: 'of that, waiting for the database' },
  { name: 'at', kind: 'moment', what: 'how long ago (at>5m: in the last five minutes), or milliseconds since 1970' },
  { name: 'id', kind: 'text', what: 'the id of a stored message' },
  { name: 'trace', kind: 'text', what: 'the id of its trace' },
  { name: 'span', kind: 'text', what: 'its handler’s own span' },
  { name: 'parent', kind: 'text', what: 'the span that sent it' },
  { name: 'half', kind: 'word', what: 'who wrote the record', values: ['handled', 'sent'] },
  { name: 'sender', kind: 'text', what: 'the capability whose handler sent it' },
  { name: 'peer', kind: 'text', what: 'the other node, if it crossed the wire' },
  { name: 'instance', kind: 'text', what: 'which instance handled it' },
  { name: 'attempt', kind: 'number', what: 'which attempt it was; 0 where there is one only' },
  { name: 'bytes', kind: 'number', what: 'its size on the wire' },
  { name: 'attr.NAME', kind: 'named', what: 'a small value that travelled along, such as attr.request_id' },
];

/** @type {Field[]} */
export const LOG_FIELDS = [
  { name: 'level', kind: 'word', what: 'how grave it is', values: ['trace', 'debug', 'info', 'warn', 'error'] },
  { name: 'text', kind: 'text', what: 'what the line says, with its fields' },
  { name: 'node', kind: 'text', what: 'the node that wrote it' },
  { name: 'capability', kind: 'text', what: 'of a line of a handler: its capability' },
  { name: 'handler', kind: 'text', what: 'its message’s wire name' },
  { name: 'trace', kind: 'text', what: 'its trace' },
  { name: 'target', kind: 'text', what: 'the part of the program that wrote it' },
  { name: 'at', kind: 'moment', what: 'how long ago (at>5m: in the last five minutes), or milliseconds since 1970' },
  { name: 'field.NAME', kind: 'named', what: 'one of its other fields, such as field.ran_ms' },
];

/** The condition that a text is; `null` if it is none. @returns {Condition | null} */
export function parseCondition(text) {
  for (let at = 0; at < text.length; at += 1) {
    const operator = SIGNS.find((sign) => text.startsWith(sign, at));
    if (operator) return { field: text.slice(0, at).trim(), operator, value: text.slice(at + operator.length).trim() };
  }
  return null;
}

/** The words of a typed text: what stands in double quotes belongs together, such as `error~"no host"`. */
export function words(text) {
  const found = [];
  for (const [part] of text.matchAll(/(?:"[^"]*"?|[^\s"])+/g)) found.push(part.replaceAll('"', ''));
  return found;
}

/** As it would be typed. */
export function typed(condition) {
  return /\s/.test(condition) ? condition.replace(/^([^=!<>~]*(?:[!<>]=|!~|[=<>~]))(.*)$/s, '$1"$2"') : condition;
}

/** What is wrong with a condition, and what would be right; `null` if it can be asked. */
export function mistakeIn(text, fields) {
  const condition = parseCondition(text);
  if (!condition) return `“${text}” is no condition: write FIELD OPERATOR VALUE, such as ${fields[0].name}=…`;
  const field = fieldOf(condition.field, fields);
  if (!field) return `There is no field “${condition.field}”: there are ${fields.map((one) => one.name).join(', ')}.`;
  if (condition.operator.endsWith('~')) return null;
  return mistakeInValue(field, condition.value);
}

/** The field of this name, also `attr.NAME`. @returns {Field | undefined} */
export function fieldOf(name, fields) {
  const isNamed = (field) =>
    field.kind === 'named' && name.startsWith(field.name.replace('NAME', '')) && name.length > field.name.length - 4;
  return fields.find((field) => field.name === name && field.kind !== 'named') ?? fields.find(isNamed);
}

const DURATION = /^\d+(\.\d+)?(us|µs|ms|s|m|h)$/;

function mistakeInValue(field, value) {
  if (field.kind === 'duration' && !DURATION.test(value))
    return `${field.name} is a time: write a number with us, ms, s, m or h, such as 100ms.`;
  if (field.kind === 'number' && !/^\d+$/.test(value)) return `${field.name} is a number.`;
  if (field.kind === 'moment' && !DURATION.test(value) && !/^\d+$/.test(value))
    return `${field.name} is a moment: write how long ago it was, such as 5m.`;
  return null;
}
