// The picture of the topology. It is for eyes and pointers: the table below says the same to everybody else.

import { arrange, placeKey } from './arrange.js';
import { route } from './arrows.js';
import { h, replace, s, say } from './dom.js';
import { duration } from './format.js';
import { keyed } from './keyed.js';
import { address } from './router.js';
import { capabilityState, databaseProblem, fullness, queueBar, rate, stateOf } from './states.js';
import { showServers } from './topology-servers.js';
import { capabilityHref } from './troubles.js';

/** Of the lowest boxes. */
const BORDER = 4;
const SMALLEST = 0.4;
/** Letters that are smaller than that nobody reads. */
const READABLE = 0.62;
/** More nodes than that are drawn smaller. */
const MANY = 12;
const LARGEST = 1.6;
const STEP = 1.2;
/** For so long a node that has joined is marked. */
const NEW_MS = 15_000;

export function createPicture() {
  const svg = s('svg', { class: 'arrows', 'aria-hidden': 'true' });
  const boxes = h('div', { class: 'boxes' });
  const stage = h('div', { class: 'stage' }, svg, boxes);
  const room = h('div', { class: 'stage-room', 'aria-hidden': 'true' }, stage);
  const edge = h('div', { class: 'edge', 'aria-hidden': 'true' });
  const label = 'Picture of the topology: the table says the same';
  const scroll = h('div', { class: 'picture-scroll', tabindex: '0', role: 'region', 'aria-label': label, onpointerdown: drag, onwheel: onWheel }, room);
  const element = h('div', { class: 'picture' }, scroll, edge);
  const level = h('span', { class: 'unseen' });
  const button = (text, name, by) =>
    h('button', { class: 'button icon-button', type: 'button', 'aria-label': name, title: name, onclick: () => zoom(by) }, text);
  const tools = h(
    'div',
    { class: 'zoom-tools', role: 'group', 'aria-label': 'Size of the picture' },
    button('−', 'Farther (-)', -1),
    h('button', { class: 'button', type: 'button', title: 'All of the picture (0)', onclick: () => zoom(0) }, 'Fit'),
    button('+', 'Nearer (+)', 1),
    level,
  );
  let last = null;
  let places = null;
  let chosen = null;
  let placedFor = 0;
  const born = new Map();
  const showBoxes = keyed(boxes, (item) => item.key, (item) => item.make(item));
  const resized = new ResizeObserver(() => {
    if (!last || Math.abs(scroll.clientWidth - placedFor) < 60) return scaleNow();
    places = null;
    return show(last);
  });
  resized.observe(scroll);

  function show(overview) {
    last = overview;
    const width = scroll.clientWidth;
    if (width === 0) return;
    if (!places || !places.holds(overview)) {
      places = remember(arrange(overview, overview.nodes.length > MANY ? width / 0.72 : width), overview);
      placedFor = width;
    }
    for (const { name } of overview.nodes) if (!born.has(name)) born.set(name, born.size > 0 && places.isOld ? performance.now() : -Infinity);
    places.isOld = true;
    showBoxes(itemsOf(overview));
    showArrows(overview.links);
    showServers(edge, overview.nodes);
    scaleNow();
  }

  function itemsOf({ nodes, links }) {
    const requestsTo = (node, name) => links.find((link) => link.from.node === null && link.to.node === node && link.to.capability === name);
    const of = (node) => [...places.capabilities].filter(([key]) => key.startsWith(placeKey(node.name, '')));
    const items = nodes.flatMap((node) => [
      { key: `n${node.name}`, make: nodeBox, node, box: places.nodes.get(node.name), isNew: performance.now() - born.get(node.name) < NEW_MS },
      ...of(node).map(([key, box]) => {
        const name = key.slice(node.name.length + 1);
        return { key: `c${key}`, make: capabilityBox, node, box, name, requests: requestsTo(node.name, name) };
      }),
    ]);
    if (places.outside) items.push({ key: 'outside', make: outsideBox, box: places.outside });
    return items.filter((item) => item.box);
  }

  function showArrows(links) {
    const boxOf = ({ node, capability }) => (node === null ? places.outside : places.capabilities.get(placeKey(node, capability)));
    const ends = links
      .map((link) => ({ link, from: boxOf(link.from), to: boxOf(link.to), words: wordsOf(link) }))
      .filter(({ from, to }) => from && to && from !== to);
    const heads = [...places.nodes.values()].map((box) => ({ ...box, height: 34 }));
    const drawn = route(ends, [...places.capabilities.values(), ...heads]);
    // What fails is drawn last, over the rest.
    drawn.sort((a, b) => Number(a.link.errors > 0) - Number(b.link.errors > 0));
    replace(svg, drawn.map(arrow), drawn.map(words));
  }

  function scaleNow() {
    if (!places) return;
    const scale = chosen ?? fit();
    stage.style.transform = `scale(${scale})`;
    for (const one of [stage, svg]) {
      one.style.width = `${places.width}px`;
      one.style.height = `${places.height + BORDER}px`;
    }
    room.style.width = `${places.width * scale}px`;
    room.style.height = `${(places.height + BORDER) * scale}px`;
    say(level, `${Math.round(scale * 100)} %`);
  }

  function fit() {
    const style = getComputedStyle(scroll);
    const width = scroll.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    return Math.max(READABLE, Math.min(1.25, width / places.width));
  }

  /** Nearer (1), farther (-1), or all (0). */
  function zoom(by) {
    chosen = by === 0 ? null : Math.max(SMALLEST, Math.min(LARGEST, (chosen ?? fit()) * STEP ** by));
    scaleNow();
  }

  function onWheel(event) {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    zoom(event.deltaY < 0 ? 1 : -1);
  }

  /** A mouse moves the picture by its ground; fingers scroll it anyway. */
  function drag(event) {
    if (event.pointerType !== 'mouse' || event.button !== 0 || event.target.closest('a')) return;
    const [x, y, left, top] = [event.clientX, event.clientY, scroll.scrollLeft, scroll.scrollTop];
    const move = (now) => scroll.scrollTo(left - (now.clientX - x), top - (now.clientY - y));
    scroll.setPointerCapture(event.pointerId);
    scroll.addEventListener('pointermove', move);
    scroll.addEventListener('lostpointercapture', () => scroll.removeEventListener('pointermove', move), { once: true });
  }

  return { element, tools, show, zoom, close: () => resized.disconnect() };
}

/** An arrangement, and whether it still holds: what is gone leaves its place empty, so that nothing jumps when a node dies. */
function remember(places, { nodes, links }) {
  const pair = ({ from, to }) => `${from.node}\u0000${to.node}`;
  const joined = new Set(links.map(pair));
  const names = (now) => now.flatMap((node) => Object.keys(node.report?.capabilities ?? {}).map((name) => placeKey(node.name, name)));
  places.holds = (now) =>
    now.nodes.every((node) => places.nodes.has(node.name)) &&
    [...places.nodes.keys()].every((name) => now.nodes.some((node) => node.name === name)) &&
    names(now.nodes).every((key) => places.capabilities.has(key)) &&
    now.links.every((link) => joined.has(pair(link))) &&
    Boolean(places.outside) === Boolean(now.layout.outside ?? places.outside);
  places.isOld = nodes.length > 0 && places.isOld;
  return places;
}

function put(element, { x, y, width, height }) {
  for (const [name, value] of Object.entries({ left: x, top: y, width, height })) element.style[name] = `${value}px`;
}

function nodeBox(first) {
  const sign = h('span', { class: 'sign' });
  const word = h('span', { class: 'node-word' });
  const name = h('a', { class: 'node-name', tabindex: '-1', href: address('/logs', { q: `node=${first.node.name}` }), title: 'Its log lines' }, first.node.name);
  const element = h('div', { class: 'node' }, h('div', { class: 'node-head' }, name, h('span', { class: 'node-state' }, sign, word)));
  const update = ({ node, box, isNew }) => {
    const { sign: mark, word: text, kind } = stateOf(node.state);
    element.className = `node is-${kind} node-${node.state}${isNew ? ' is-new' : ''}`;
    say(sign, mark);
    const isAway = node.state === 'gone' || node.state === 'silent';
    const since = isAway && node.heard_ms_ago >= 1_000 ? ` ${duration(node.heard_ms_ago * 1_000)}` : '';
    say(word, isNew && kind === 'ok' ? 'joined' : text + since);
    element.title = node.problem ?? '';
    put(element, box);
  };
  update(first);
  return { element, update };
}

function capabilityBox(first) {
  const sign = h('span', { class: 'sign' });
  const figures = h('span', { class: 'box-figures' });
  const store = h('span', { class: 'cylinder' });
  const counts = h('span', { class: 'box-counts' });
  const bar = queueBar({});
  const queue = h('span', { class: 'box-queue' });
  const element = h(
    'a',
    { class: 'box', tabindex: '-1', href: capabilityHref(first.name) },
    h('span', { class: 'box-head' }, h('span', { class: 'box-name' }, first.name), counts, store, sign),
    figures,
    h('span', { class: 'box-bar' }, bar.element, queue),
  );
  const update = ({ node, name, box, requests }) => {
    const one = node.report?.capabilities?.[name];
    const row = node.rows.find((row) => row.capability === name);
    const state = capabilityState(node, name);
    const { sign: mark, word, kind } = stateOf(state);
    const fails = row?.errors > 0 || requests?.errors > 0;
    element.className = `box is-${fails && kind === 'ok' ? 'bad' : kind}${one ? '' : ' is-away'}`;
    say(sign, kind === 'ok' ? '' : mark);
    say(figures, one ? (state === 'no_database' ? '✕ no database' : figuresOf(row, fails, requests)) : `${word} with its node`);
    const full = one ? fullness(one) : 0;
    bar.update(one ?? {});
    say(queue, full >= 0.005 ? `${Math.round(full * 100)} %` : '');
    const isOut = databaseProblem(node, name) !== null;
    store.hidden = !one?.database && !isOut;
    store.className = `cylinder${isOut ? ' is-bad' : ''}`;
    say(counts, countsOf(one?.durable));
    counts.classList.toggle('is-bad', one?.durable?.dead > 0);
    element.title = titleOf(name, node, one, word);
    put(element, box);
  };
  update(first);
  return { element, update };
}

function figuresOf(row, fails, requests) {
  // How long requests from outside take is known of their records alone.
  if (requests?.errors > 0) return `✕ ${rate(requests.errors)} of ${rate(requests.rate)} fail`;
  if (requests) return `${rate(requests.rate)} · p99 ${duration(requests.p99_us)}`;
  if (!row || row.rate === 0) return 'at rest';
  if (fails) return `✕ ${rate(row.errors)} of ${rate(row.rate)} fail`;
  const p99 = row.ran_p99 === null ? '' : ` · p99 ${duration(row.ran_p99 + (row.waited_p99 ?? 0))}`;
  return `${rate(row.rate)}${p99}`;
}

function countsOf(durable) {
  if (!durable) return '';
  const short = (number) => (number > 999 ? `${Math.round(number / 1_000)}k` : String(number));
  return [
    ['dead', durable.dead],
    ['parked', durable.parked],
    ['waiting', durable.waiting],
  ]
    .filter(([, number]) => number > 0)
    .map(([word, number]) => `${short(number)} ${word}`)
    .slice(0, 1)
    .join('');
}

function titleOf(name, node, one, word) {
  if (!one) return `${name}@${node.name}: ${word}`;
  const { durable, database } = one;
  return [
    `${name}@${node.name}: ${word}${one.reason ? `, ${one.reason}` : ''}`,
    `queue: ${one.admitted} of ${one.limit} messages`,
    durable && `${durable.waiting} waiting, ${durable.parked} parked, ${durable.dead} dead`,
    database && `database: ${database.kind} ${database.place}`,
    databaseProblem(node, name) && `its database does not work: ${databaseProblem(node, name)}`,
  ]
    .filter(Boolean)
    .join('\n');
}

function outsideBox({ box }) {
  const element = h('div', { class: 'outside' }, 'clients');
  put(element, box);
  return { element, update: (now) => put(element, now.box) };
}

function wordsOf({ rate: perSecond, p99_us, errors }) {
  return `${rate(perSecond)} · ${duration(p99_us)}${errors > 0 ? ` · ✕ ${rate(errors)}` : ''}`;
}

function arrow({ link, path, head }) {
  const width = 1.2 + Math.min(3, Math.log10(1 + link.rate));
  return s(
    'g',
    { class: `arrow${link.errors > 0 ? ' is-bad' : ''}${link.rate === 0 ? ' is-quiet' : ''}` },
    s('path', { class: 'arrow-line', d: path, 'stroke-width': width.toFixed(2) }),
    s('path', { class: 'arrow-head', d: head }),
  );
}

function words({ link, label }) {
  return s(
    'g',
    { class: `arrow-words${link.errors > 0 ? ' is-bad' : ''}` },
    s('rect', { x: label.x, y: label.y, width: label.width, height: label.height, rx: 3 }),
    s('text', { x: label.x + label.width / 2, y: label.y + label.height / 2 + 4, 'text-anchor': 'middle' }, wordsOf(link)),
  );
}
