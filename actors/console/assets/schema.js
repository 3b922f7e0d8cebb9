// JSON Schema as the console uses it: what a value may be, one step at a time, since a type may contain itself.

/**
 * @typedef {object} Shape
 * @property {'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean' | 'words' | 'variants' | 'null' | 'any'} type
 * @property {boolean} nullable
 * @property {string} description
 * @property {{ name: string, required: boolean, shape: () => Shape }[]} fields of an object, the required ones first
 * @property {() => Shape} [items] of an array
 * @property {any[]} [words]
 * @property {{ name: string, description: string, shape: (() => Shape) | null }[]} [variants] each a word, or an object with one field
 * @property {number} [minimum]
 * @property {number} [maximum]
 */

/** The shape of what a schema describes. @returns {Shape} */
export function shapeOf(root, schema = root) {
  const inner = resolved(root, schema);
  const description = schema.description ?? inner.description ?? '';
  const beside = besideNull(inner);
  if (beside) {
    const shape = shapeOf(root, beside);
    return { ...shape, nullable: true, description: schema.description ?? (shape.description || description) };
  }
  const types = [inner.type].flat().filter(Boolean);
  const nullable = types.length > 1 && types.includes('null');
  const base = { nullable, description, fields: [] };
  if (inner.oneOf) return { ...base, type: 'variants', variants: inner.oneOf.flatMap((one) => variants(root, one)) };
  if (inner.enum) return { ...base, type: 'words', words: inner.enum };
  const [type = 'any', ...others] = types.filter((one) => one !== 'null' || types.length === 1);
  if (others.length > 0 || !KNOWN.has(type)) return { ...base, type: 'any' };
  if (type === 'object') return inner.properties || !inner.additionalProperties ? { ...base, type, fields: fieldsOf(root, inner) } : { ...base, type: 'any' };
  if (type === 'array') return inner.items ? { ...base, type, items: () => shapeOf(root, inner.items) } : { ...base, type: 'any' };
  return { ...base, type, minimum: inner.minimum, maximum: inner.maximum };
}

const KNOWN = new Set(['object', 'array', 'string', 'integer', 'number', 'boolean', 'null']);

function resolved(root, schema) {
  if (!schema.$ref?.startsWith('#/')) return schema;
  const path = schema.$ref.slice(2).split('/');
  const found = path.reduce((at, part) => at?.[part.replaceAll('~1', '/').replaceAll('~0', '~')], root);
  return found ?? {};
}

function besideNull({ oneOf }) {
  return oneOf?.length === 2 && oneOf.some((one) => one.type === 'null') ? oneOf.find((one) => one.type !== 'null') : null;
}

function fieldsOf(root, { properties = {}, required = [] }) {
  const names = [...required.filter((name) => name in properties), ...Object.keys(properties).filter((name) => !required.includes(name))];
  return names.map((name) => ({ name, required: required.includes(name), shape: () => shapeOf(root, properties[name]) }));
}

function variants(root, one) {
  const inner = resolved(root, one);
  const description = one.description ?? inner.description ?? '';
  if (inner.enum) return inner.enum.map((name) => ({ name, description, shape: null }));
  return Object.entries(inner.properties ?? {}).map(([name, schema]) => ({ name, description, shape: () => shapeOf(root, schema) }));
}

const NAMES = { string: 'text', integer: 'whole number', number: 'number', boolean: 'true or false', null: 'nothing', any: 'anything', variants: 'one of these', object: 'object' };

/** What a value may be, in words. */
export function typeName(shape) {
  const own = shape.type === 'array' ? `list of ${typeName(shape.items())}` : shape.type === 'words' ? shape.words.join(' | ') : NAMES[shape.type];
  const { minimum, maximum } = shape;
  const range = maximum !== undefined ? ` from ${minimum ?? '…'} to ${maximum}` : minimum !== undefined ? ` from ${minimum}` : '';
  return own + range + (shape.nullable ? ' or null' : '');
}
