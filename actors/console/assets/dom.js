// Elements. What comes from outside goes in as text, never as markup: nothing here, and nothing that uses it, parses HTML.

const SVG = 'http://www.w3.org/2000/svg';

/**
 * An element. Attributes: `class`, `style` (an object of properties, since inline styles are barred), `data` (an object), `onclick`
 * and its like (functions); `true` is an attribute without a value, `false`, `null` and `undefined` are none.
 * Children: nodes, texts, numbers, arrays of them; `null`, `undefined` and `false` are none.
 * @returns {HTMLElement}
 */
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** As `h`, an element of SVG. @returns {SVGElement} */
export function s(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) set(element, name, value);
  add(element, children);
  return element;
}

/** Sets one attribute, as `h` does. */
export function set(element, name, value) {
  if (name.startsWith('on')) {
    if (value) element.addEventListener(name.slice(2), value);
  } else if (name === 'style') {
    for (const [property, text] of Object.entries(value ?? {})) element.style.setProperty(property, text);
  } else if (name === 'data') {
    for (const [key, text] of Object.entries(value ?? {})) element.dataset[key] = text;
  } else if (value === false || value === null || value === undefined) {
    element.removeAttribute(name);
  } else {
    element.setAttribute(name, value === true ? '' : String(value));
  }
}

/** Appends children, as `h` does. */
export function add(element, children) {
  for (const child of [children].flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

/** Puts these children in the place of all that an element has. */
export function replace(element, ...children) {
  element.replaceChildren();
  add(element, children);
  return element;
}

/** Sets a text if it has changed, so that nothing is announced twice and no selection is lost. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Text in which what stands between backticks is code; and a link, where `linkOf` knows an address for it. */
export function withCode(text, linkOf = () => null) {
  const code = (part) => {
    const href = linkOf(part);
    return href ? h('a', { href }, h('code', null, part)) : h('code', null, part);
  };
  return text.split('`').map((part, at) => (at % 2 ? code(part) : part));
}

let last = 0;

/** An id that no other element of the page has. */
export function uniqueId(prefix) {
  last += 1;
  return `${prefix}-${last}`;
}
