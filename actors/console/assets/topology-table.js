// The topology as a table: a line for each capability of each node, and one for each way that messages go.

import { h, replace, say } from './dom.js';
import { count, duration } from './format.js';
import { keyed } from './keyed.js';
import { address } from './router.js';
import { capabilityState, queueBar, rate, stateMark } from './states.js';
import { capabilityHref } from './troubles.js';

export function createTable() {
  const nodes = h('div', { class: 'node-tables' });
  const links = h('tbody');
  const linksPart = h(
    'section',
    null,
    h('h2', null, 'Messages between capabilities'),
    table(['From', 'To', 'Messages', 'Errors', 'p99'], links, 'links-table'),
  );
  const element = h('div', { class: 'topology-table' }, h('section', null, h('h2', null, 'Nodes'), nodes), linksPart);
  const showNodes = keyed(nodes, (node) => node.name, nodePart);
  const showLinks = keyed(links, linkKey, linkRow);
  return {
    element,
    show(overview) {
      showNodes(overview.nodes);
      linksPart.hidden = overview.links.length === 0;
      showLinks(overview.links);
    },
  };
}

/** A table; where there is little room each of its lines is a card, in which cells are named by their columns. */
export function table(heads, body, kind = '') {
  for (const row of body.rows) [...row.cells].forEach((cell, at) => (cell.dataset.label = heads[at]));
  return h(
    'div',
    { class: 'table-scroll' },
    h('table', { class: `table ${kind}` }, h('thead', null, h('tr', null, heads.map((head) => h('th', { scope: 'col' }, head)))), body),
  );
}

const HEADS = ['Capability', 'State', 'Messages', 'Errors', 'Queue', 'Queued p99', 'Ran p99', 'Waiting', 'Parked', 'Dead'];

function nodePart(first) {
  const mark = h('span');
  const about = h('span', { class: 'quiet' });
  const body = h('tbody');
  const own = table(HEADS, body, 'capability-table');
  const none = h('p', { class: 'quiet' });
  const element = h(
    'section',
    { class: 'node-part', 'aria-label': `Node ${first.name}` },
    h('h3', null, h('a', { href: address('/logs', { q: `node=${first.name}` }), title: 'Its log lines' }, first.name), ' ', mark, ' ', about),
    own,
    none,
  );
  const showRows = keyed(body, (item) => item.name, capabilityRow);
  let told = '';
  const update = (node) => {
    if (told !== node.state) replace(mark, stateMark((told = node.state)));
    const names = Object.keys(node.report?.capabilities ?? {});
    const up = node.report ? `up ${duration(node.report.uptime_ms * 1_000)}, version ${node.report.version}` : `last heard ${duration(node.heard_ms_ago * 1_000)} ago`;
    say(about, up);
    own.hidden = names.length === 0;
    none.hidden = names.length > 0;
    say(none, node.report ? 'It hosts no capability.' : (node.problem ?? 'It gives no report.'));
    showRows(names.map((name) => ({ name, node })));
  };
  update(first);
  return { element, update };
}

function capabilityRow(first) {
  const [state, messages, errors, waited, ran, waiting, parked, dead] = Array.from({ length: 8 }, () => h('td'));
  const bar = queueBar({});
  const queue = h('span', { class: 'queue-words' });
  const element = h(
    'tr',
    null,
    h('th', { scope: 'row' }, h('a', { href: capabilityHref(first.name) }, first.name)),
    state,
    messages,
    errors,
    h('td', { class: 'queue-cell' }, bar.element, queue),
    waited,
    ran,
    waiting,
    parked,
    dead,
  );
  let told = '';
  const update = ({ name, node }) => {
    const one = node.report.capabilities[name];
    const row = node.rows.find((row) => row.capability === name) ?? {};
    const now = capabilityState(node, name);
    if (told !== now) replace(state, stateMark((told = now)));
    state.title = one.reason ?? '';
    say(messages, rate(row.rate));
    say(errors, row.errors > 0 ? `✕ ${rate(row.errors)}` : '–');
    errors.className = row.errors > 0 ? 'is-bad' : 'quiet';
    bar.update(one);
    say(queue, `${count(one.admitted)} of ${count(one.limit)}`);
    say(waited, duration(row.waited_p99 ?? NaN));
    say(ran, duration(row.ran_p99 ?? NaN));
    number(waiting, one.durable?.waiting, null);
    number(parked, one.durable?.parked, address('/parked', { capability: name }));
    number(dead, one.durable?.dead, address('/dead', { capability: name }), 'is-bad');
  };
  update(first);
  return { element, update };
}

/** A count that leads to what it counts. */
function number(cell, value, href, kind = 'is-note') {
  const text = value === undefined || value === null ? '–' : count(value);
  if (cell.textContent === text) return;
  cell.className = value > 0 ? kind : 'quiet';
  replace(cell, value > 0 && href ? h('a', { href }, text) : text);
}

function linkKey({ from, to }) {
  return JSON.stringify([from, to]);
}

function linkRow(first) {
  const [messages, errors, p99] = Array.from({ length: 3 }, () => h('td'));
  const to = h('a', { href: address('/traces', { q: linkConditions(first), since: '15m' }), title: 'Its messages' }, placeText(first.to));
  const element = h('tr', null, h('th', { scope: 'row' }, placeText(first.from)), h('td', null, to), messages, errors, p99);
  const update = (link) => {
    say(messages, rate(link.rate));
    say(errors, link.errors > 0 ? `✕ ${rate(link.errors)}` : '–');
    errors.className = link.errors > 0 ? 'is-bad' : 'quiet';
    say(p99, duration(link.p99_us));
  };
  update(first);
  return { element, update };
}

function linkConditions({ from, to }) {
  const conditions = [`capability=${to.capability}`, `node=${to.node}`];
  return from.node === null ? [...conditions, 'kind=request'] : conditions;
}

function placeText({ capability, node }) {
  return node === null ? 'clients' : `${capability}@${node}`;
}
