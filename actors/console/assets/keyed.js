// Elements that are kept while what they show changes, so that focus, selection and a click under way survive.

/**
 * @template T
 * @param {Element} parent
 * @param {(item: T) => string} keyOf
 * @param {(item: T) => { element: Element, update?: (item: T) => void }} make
 * @returns {(items: T[]) => void} shows these, in this order
 */
export function keyed(parent, keyOf, make) {
  const known = new Map();
  return (items) => {
    const seen = new Set();
    let next = parent.firstChild;
    for (const item of items) {
      const key = keyOf(item);
      if (seen.has(key)) continue;
      seen.add(key);
      let piece = known.get(key);
      if (piece) piece.update?.(item);
      else known.set(key, (piece = make(item)));
      if (piece.element === next) next = next.nextSibling;
      else parent.insertBefore(piece.element, next);
    }
    for (const [key, { element }] of known) {
      if (seen.has(key)) continue;
      element.remove();
      known.delete(key);
    }
  };
}
