// A long list of rows of one height, of which only those are elements that are seen: quick with ten thousand and more. `j` and `k`
// move in it, and what somebody reads stays where it is when rows come or go.

import { h, replace, set } from './dom.js';
import { bindAll } from './keys.js';

/** Rows beyond the edges that are elements, too. */
const SPARE = 8;

/**
 * @template T
 * @param {object} options
 * @param {string} options.label what it is, for who does not see it
 * @param {string} options.kind a class, which sets the columns
 * @param {string[]} options.columns heads
 * @param {(item: T) => (Node | string | null)[]} options.cells one for each column; the first link or button in them opens the row
 * @param {(item: T) => string} options.keyOf an item that is made anew each time tells by its `revision` whether it has changed
 * @param {(item: T) => string} [options.rowClass]
 * @param {(item: T) => void} options.onOpen
 * @param {'top' | 'bottom'} options.live where new ones come: there the list follows them
 */
export function createList({ label, kind, columns, cells, keyOf, rowClass = () => '', onOpen, live }) {
  let items = [];
  let selected = null;
  let frame = 0;
  /** Whether it stays where new ones come. */
  let follows = true;
  let height = 28;
  /** @type {Map<string, { element: HTMLElement, item: T, revision: unknown }>} */
  const rows = new Map();
  const space = h('div', { class: 'list-space', role: 'presentation' });
  const body = h('div', { class: 'list-body', role: 'rowgroup', tabindex: '0', 'aria-label': label, onscroll: onScroll });
  const head = h(
    'div',
    { class: 'list-head', role: 'rowgroup' },
    h(
      'div',
      { class: 'list-row', role: 'row' },
      columns.map((text) => h('span', { role: 'columnheader' }, text)),
    ),
  );
  const element = h('div', { class: `list ${kind}`, role: 'table', 'aria-label': label }, head, body);
  body.append(space);
  const resized = new ResizeObserver(() => {
    const before = height;
    height = parseFloat(getComputedStyle(element).getPropertyValue('--row-px')) || 28;
    // What was seen first stays first where rows become higher or lower.
    if (before !== height && !follows) body.scrollTop *= height / before;
    layout();
  });
  resized.observe(element);
  const unbind = bindAll(
    [
      ['j', 'Next row', () => move(1)],
      ['k', 'Row before', () => move(-1)],
      ['Enter', 'Open the row', () => selected !== null && open()],
      ['Home', 'First row', () => select(0)],
      ['End', 'Last row', () => select(items.length - 1)],
    ],
    'In lists',
  );

  function isAtLiveEnd() {
    return live === 'top' ? body.scrollTop < height / 2 : body.scrollTop + body.clientHeight > items.length * height - height / 2;
  }

  function toLiveEnd() {
    body.scrollTop = live === 'top' ? 0 : items.length * height;
  }

  function layout() {
    space.style.height = `${items.length * height}px`;
    set(element, 'aria-rowcount', items.length + 1);
    if (follows) toLiveEnd();
    render();
  }

  /** Puts these in the place of those before. */
  function setItems(now) {
    const firstAt = Math.min(Math.floor(body.scrollTop / height), items.length - 1);
    const [first, offset] = [items[firstAt], body.scrollTop - firstAt * height];
    items = now;
    space.style.height = `${items.length * height}px`;
    if (!follows && first) {
      const at = indexOf(keyOf(first));
      if (at >= 0) body.scrollTop = at * height + offset;
    }
    if (selected !== null && indexOf(selected) < 0) selected = null;
    layout();
  }

  function indexOf(key) {
    return items.findIndex((item) => keyOf(item) === key);
  }

  function onScroll() {
    follows = isAtLiveEnd();
    schedule();
  }

  function schedule() {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      render();
    });
  }

  function render() {
    const from = Math.max(0, Math.floor(body.scrollTop / height) - SPARE);
    const to = Math.min(items.length, Math.ceil((body.scrollTop + body.clientHeight) / height) + SPARE);
    const seen = new Set();
    let next = space.firstChild;
    for (let at = from; at < to; at += 1) {
      const row = rowOf(items[at]);
      seen.add(keyOf(items[at]));
      row.style.transform = `translateY(${at * height}px)`;
      set(row, 'aria-rowindex', at + 2);
      set(row, 'aria-current', keyOf(items[at]) === selected && 'true');
      if (row === next) next = next.nextSibling;
      else space.insertBefore(row, next);
    }
    for (const [key, row] of rows) {
      if (seen.has(key)) continue;
      row.element.remove();
      rows.delete(key);
    }
  }

  function rowOf(item) {
    const key = keyOf(item);
    const known = rows.get(key);
    if (known && (known.item === item || (item.revision !== undefined && known.revision === item.revision))) return known.element;
    const row = known?.element ?? h('div', { role: 'row' });
    row.className = `list-row ${rowClass(item)}`;
    replace(
      row,
      cells(item).map((cell, at) => h('span', { role: 'cell', class: `cell cell-${at}` }, cell)),
    );
    row.onclick = (event) => {
      if (getSelection()?.toString()) return;
      selected = key;
      render();
      if (!event.target.closest('a, button')) open();
    };
    rows.set(key, { element: row, item, revision: item.revision });
    return row;
  }

  function move(by) {
    const at = selected === null ? -1 : indexOf(selected);
    const first = Math.ceil(body.scrollTop / height);
    select(at < 0 ? first : at + by);
  }

  function select(at) {
    if (items.length === 0) return;
    const index = Math.max(0, Math.min(at, items.length - 1));
    selected = keyOf(items[index]);
    if (index * height < body.scrollTop) body.scrollTop = index * height;
    else if ((index + 1) * height > body.scrollTop + body.clientHeight) body.scrollTop = (index + 1) * height - body.clientHeight;
    render();
    rows.get(selected)?.element.querySelector('a, button')?.focus({ preventScroll: true });
  }

  function open() {
    const item = items[indexOf(selected)];
    if (item) onOpen(item);
  }

  return {
    element,
    setItems,
    isFollowing: () => follows,
    follow() {
      follows = true;
      layout();
    },
    /** Follows no more, until somebody scrolls to the end: what is seen stays where it is. */
    hold() {
      follows = false;
    },
    close() {
      resized.disconnect();
      cancelAnimationFrame(frame);
      unbind();
    },
  };
}
