// A graph that the server has laid out: who talked with whom in a trace.

import { h, s } from './dom.js';
import { many } from './format.js';

const PAD = 16;
/** How much wider than the server's it is drawn, so that what arrows say has room between the boxes. */
const WIDER = 1.4;
/** How far two arrows between the same boxes, there and back, are apart. */
const APART = 9;

/** @param {{ width: number, height: number, nodes: any[], edges: any[] }} graph */
export function overviewGraph({ width, height, nodes, edges }) {
  const boxes = nodes.map((one) => ({ ...one, x: one.x * WIDER, width: one.width * WIDER }));
  const all = edges.map((edge) => ({ ...edge, points: beside(edge, edges).map(([x, y]) => [x * WIDER, y]) }));
  const right = Math.max(width * WIDER, ...all.flatMap((edge) => edge.points.map(([x]) => x)));
  const bottom = Math.max(height, ...all.flatMap((edge) => edge.points.map(([, y]) => y)));
  const [wide, high] = [right + 2 * PAD, bottom + 2 * PAD];
  const picture = s(
    'svg',
    { class: 'graph', viewBox: `${-PAD} ${-PAD} ${wide} ${high}`, width: wide, height: high, 'aria-hidden': 'true' },
    // Lines below boxes, and what they say above.
    all.map(line),
    boxes.map(node),
    all.map(label),
  );
  return h(
    'div',
    { class: 'diagram' },
    h('div', { class: 'scroll-both', tabindex: '0', role: 'region', 'aria-label': 'Overview graph' }, picture, inWords(nodes, edges)),
    h('p', { class: 'quiet diagram-key', 'aria-hidden': 'true' }, 'Numbers: messages sent that way · ✕ some did not go well'),
  );
}

/** The points of an arrow; a little aside where another one goes the other way. */
function beside({ from, to, points }, edges) {
  const isPair = from !== to && edges.some((other) => other.from === to && other.to === from);
  if (!isPair || points.length !== 2) return points;
  const by = points[1][0] >= points[0][0] ? -APART : APART;
  return points.map(([x, y]) => [x, y + by]);
}

function node({ name, x, y, width, height, failed }) {
  const [capability, where] = name.split(/@(?=[^@]*$)/);
  const middle = x + width / 2;
  return s(
    'g',
    { class: failed ? 'graph-node is-bad' : 'graph-node' },
    s('title', null, name),
    s('rect', { x, y, width, height, rx: 6 }),
    s(
      'text',
      { x: middle, y: y + height / 2 + (where ? -3 : 4), 'text-anchor': 'middle', class: 'graph-name' },
      failed ? '✕ ' : '',
      fitted(capability, width),
    ),
    where && s('text', { x: middle, y: y + height / 2 + 13, 'text-anchor': 'middle', class: 'graph-where' }, fitted(`@${where}`, width)),
  );
}

function fitted(text, width) {
  const most = Math.max(4, Math.floor(width / 8.4) - 1);
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

function line({ failed, points }) {
  const [end, before] = [points.at(-1), points.at(-2)];
  // A curve arrives level; other lines as their last piece does.
  const angle =
    points.length === 2 ? (end[0] >= before[0] ? 0 : 180) : (Math.atan2(end[1] - before[1], end[0] - before[0]) * 180) / Math.PI;
  return s(
    'g',
    { class: failed > 0 ? 'graph-edge is-bad' : 'graph-edge' },
    s('path', { class: 'shaft', d: points.length === 2 ? curve(points) : smooth(points) }),
    s('path', { class: 'point-filled', d: 'M-9 -4.5L0 0L-9 4.5z', transform: `translate(${end[0]} ${end[1]}) rotate(${angle})` }),
  );
}

function label({ messages, failed, points }) {
  const [x, y] = middleOf(points);
  const text = failed > 0 ? `${messages} · ✕ ${failed}` : String(messages);
  const size = text.length * 7.2 + 10;
  return s(
    'g',
    { class: failed > 0 ? 'graph-edge is-bad' : 'graph-edge' },
    s('rect', { class: 'graph-label', x: x - size / 2, y: y - 8, width: size, height: 16, rx: 8 }),
    s('text', { x, y: y + 4, 'text-anchor': 'middle' }, text),
  );
}

/** A line that leaves and arrives level. */
function curve([[x, y], [toX, toY]]) {
  const bend = (toX - x) / 2;
  return `M${x} ${y}C${x + bend} ${y} ${toX - bend} ${toY} ${toX} ${toY}`;
}

/** A line through all points, with round corners. */
function smooth(points) {
  const [first, ...rest] = points;
  let path = `M${first[0]} ${first[1]}`;
  for (let at = 0; at < rest.length - 1; at += 1) {
    const [corner, next] = [rest[at], rest[at + 1]];
    const [from, to] = [towards(corner, at === 0 ? first : rest[at - 1]), towards(corner, next)];
    path += `L${from[0]} ${from[1]}Q${corner[0]} ${corner[1]} ${to[0]} ${to[1]}`;
  }
  const last = rest.at(-1);
  return `${path}L${last[0]} ${last[1]}`;
}

const CORNER = 12;

function towards([x, y], [toX, toY]) {
  const length = Math.hypot(toX - x, toY - y) || 1;
  const by = Math.min(CORNER, length / 2) / length;
  return [x + (toX - x) * by, y + (toY - y) * by];
}

/** The point half way along a line. */
function middleOf(points) {
  const lengths = points.slice(1).map((point, at) => Math.hypot(point[0] - points[at][0], point[1] - points[at][1]));
  let rest = lengths.reduce((sum, length) => sum + length, 0) / 2;
  for (const [at, length] of lengths.entries()) {
    if (rest <= length) {
      const by = length === 0 ? 0 : rest / length;
      return [points[at][0] + (points[at + 1][0] - points[at][0]) * by, points[at][1] + (points[at + 1][1] - points[at][1]) * by];
    }
    rest -= length;
  }
  return points[0];
}

/** The same for who does not see it; ends of edges are names, or places in the list of nodes. */
function inWords(nodes, edges) {
  const name = (end) => (typeof end === 'number' ? nodes[end]?.name : end);
  const words = ({ from, to, messages, failed }) =>
    `${name(from)} sends ${many(messages, 'message')} to ${name(to)}${failed > 0 ? `, of which ${failed} did not go well` : ''}`;
  return h(
    'ul',
    { class: 'unseen', 'aria-label': 'The graph in words' },
    edges.map((one) => h('li', null, words(one))),
  );
}
