// Where the boxes of the topology are. The server says what is left and right of what, and above; here there is room made between the
// columns for what arrows say, and what is not joined goes side by side as far as the page is wide.

const BETWEEN_NODES = 112;
const BETWEEN_CAPABILITIES = 136;
const MARGIN = 18;
const GAP = 32;
/** Boxes whose middles are as near as that are in one column. */
const SAME_COLUMN = 40;

/** @typedef {{ x: number, y: number, width: number, height: number }} Box */

/** @returns {{ width: number, height: number, nodes: Map<string, Box>, capabilities: Map<string, Box>, outside: Box | null }} */
export function arrange({ layout, links }, width) {
  const capabilities = new Map();
  const inner = new Map();
  const items = Object.entries(layout.nodes).map(([name, box]) => {
    const own = Object.entries(layout.capabilities[name] ?? {}).map(([key, one]) => ({ key, ...one, x: one.x - box.x, y: one.y - box.y }));
    spread(own, BETWEEN_CAPABILITIES, MARGIN);
    inner.set(name, own);
    const right = Math.max(0, ...own.map((one) => one.x + one.width));
    return { key: name, ...box, middle: box.x + box.width / 2, width: own.length > 0 ? right + MARGIN : box.width };
  });
  if (layout.outside) items.push({ key: OUTSIDE, ...layout.outside });
  const shelves = shelve(parts(items, links), width);
  const nodes = new Map();
  for (const item of items) {
    const box = { x: item.x, y: item.y, width: item.width, height: item.height };
    if (item.key !== OUTSIDE) nodes.set(item.key, box);
    for (const one of inner.get(item.key) ?? [])
      capabilities.set(placeKey(item.key, one.key), { x: box.x + one.x, y: box.y + one.y, width: one.width, height: one.height });
  }
  const outside = items.find((item) => item.key === OUTSIDE) ?? null;
  return { ...shelves, nodes, capabilities, outside };
}

const OUTSIDE = '\u0000outside';

export function placeKey(node, capability) {
  return `${node}\u0000${capability}`;
}

/** Puts columns apart: each is as wide as its widest box. */
function spread(items, between, from) {
  const columns = [];
  for (const item of [...items].sort((a, b) => middle(a) - middle(b))) {
    const last = columns.at(-1);
    if (last && middle(item) - last.middle < SAME_COLUMN) last.items.push(item);
    else columns.push({ middle: middle(item), items: [item] });
  }
  let left = from;
  for (const column of columns) {
    const width = Math.max(...column.items.map((item) => item.width));
    for (const item of column.items) item.x = left + (width - item.width) / 2;
    left += width + between;
  }
}

function middle(item) {
  return item.middle ?? item.x + item.width / 2;
}

/** What messages join. */
function parts(items, links) {
  const of = new Map(items.map((item) => [item.key, item.key]));
  const root = (key) => (of.get(key) === key ? key : root(of.get(key)));
  for (const { from, to } of links) {
    const [a, b] = [from.node ?? OUTSIDE, to.node ?? OUTSIDE];
    if (of.has(a) && of.has(b)) of.set(root(a), root(b));
  }
  const found = new Map();
  for (const item of items) found.set(root(item.key), [...(found.get(root(item.key)) ?? []), item]);
  return [...found.values()].sort((a, b) => b.length - a.length || a[0].key.localeCompare(b[0].key));
}

function shelve(all, width) {
  let [x, y, high, wide] = [0, 0, 0, 0];
  const sized = all.map((items) => {
    spread(items, BETWEEN_NODES, 0);
    const top = Math.min(...items.map((item) => item.y));
    for (const item of items) item.y -= top;
    return {
      items,
      width: Math.max(...items.map((item) => item.x + item.width)),
      height: Math.max(...items.map((item) => item.y + item.height)),
    };
  });
  const most = Math.max(width, ...sized.map((part) => part.width));
  for (const part of sized) {
    if (x > 0 && x + part.width > most) [x, y, high] = [0, y + high + GAP, 0];
    for (const item of part.items) [item.x, item.y] = [item.x + x, item.y + y];
    wide = Math.max(wide, x + part.width);
    high = Math.max(high, part.height);
    x += part.width + GAP;
  }
  return { width: wide, height: y + high };
}
