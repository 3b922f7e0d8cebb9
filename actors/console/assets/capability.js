// One capability in all nodes: how it stands, its queues and times, its partitions and what became of their messages.

import { postJson } from './api.js';
import { createNotices, emptyState } from './bits.js';
import { h, replace, say, set } from './dom.js';
import { count, duration, many } from './format.js';
import { keyed } from './keyed.js';
import { createMessages } from './messages.js';
import { address } from './router.js';
import { capabilityState, queueBar, rate, stateMark } from './states.js';
import { createPoll } from './poll.js';
import { openStream } from './stream.js';
import { table } from './topology-table.js';

const LEDGER_EVERY_MS = 5_000;

export function show(main, { name }, query) {
  document.title = `${name} · Essaim`;
  const state = h('span');
  const notices = createNotices();
  const reasons = h('ul', { class: 'notices' });
  const figures = h('dl', { class: 'figures' });
  const rows = h('tbody');
  const databases = h('section', { hidden: true });
  const ledger = h('section', { hidden: true });
  const own = h('section', { hidden: true });
  const messages = createMessages(name, query);
  const body = h(
    'div',
    { class: 'stack', hidden: true },
    reasons,
    figures,
    h('section', null, h('h2', null, 'In each node'), table(NODE_HEADS, rows, 'per-node')),
    messages.element,
    databases,
    ledger,
    own,
  );
  const empty = h('div', null, h('p', { class: 'quiet', role: 'status' }, 'Reading …'));
  main.append(
    h(
      'div',
      { class: 'view view-wide' },
      h('div', { class: 'view-head' }, h('h1', null, name), state),
      h('nav', { class: 'head-links', 'aria-label': `More of ${name}` }, links(name)),
      notices.element,
      empty,
      body,
    ),
  );
  const showRows = keyed(rows, (node) => node.name, (node) => nodeRow(node, name));
  const once = changed();
  const ledgers = createPoll({
    ask: (signal) => postJson('/api/durable/ledger', { capability: name }, { signal }),
    draw({ lines, away }) {
      notices.show({ away });
      drawLedger(lines);
    },
    failed: (error) => notices.show({ error: `The ledger cannot be read: ${error.message}` }),
    everyMs: LEDGER_EVERY_MS,
  });
  const stream = openStream('/api/overview', { onPage: draw, onRefused: (error) => refused(error.message) });
  ledgers.read();

  function draw({ nodes }) {
    const hosts = nodes.filter((node) => node.report?.capabilities?.[name]);
    empty.hidden = hosts.length > 0;
    body.hidden = hosts.length === 0;
    if (hosts.length === 0) return nobody(nodes);
    const all = hosts.map((node) => node.report.capabilities[name]);
    once('state', worst(hosts.map((node) => capabilityState(node, name))), (now) => replace(state, stateMark(now)));
    const told = hosts
      .map((node) => ({ node: node.name, reason: node.report.capabilities[name].reason }))
      .filter(({ reason }) => reason);
    once('reasons', told, () => replace(reasons, told.map(({ node, reason }) => h('li', { class: 'notice notice-bad' }, h('span', { class: 'sign', 'aria-hidden': 'true' }, '✕'), h('span', null, h('b', null, node), `: ${reason}`)))));
    const sums = sumsOf(hosts, all, name);
    once('figures', sums, () => replace(figures, sums.map(figure)));
    showRows(hosts);
    drawDatabases(hosts);
    drawOwn(hosts);
    return undefined;
  }

  function nobody(nodes) {
    const unknown = nodes.filter((node) => !node.report).map((node) => node.name);
    const text =
      unknown.length > 0
        ? `No node that answers hosts it. Nothing is known of ${unknown.join(', ')}.`
        : 'No node hosts a capability of this name: see the topology for those that there are.';
    once('empty', text, () => replace(empty, emptyState({ title: `Nobody hosts ${name} now`, text })));
    replace(state);
  }

  function refused(message) {
    body.hidden = true;
    empty.hidden = false;
    replace(empty, emptyState({ title: 'The console does not tell', text: message, actions: [['Load again', () => location.reload()]] }));
  }

  function drawDatabases(hosts) {
    const found = hosts.map((node) => ({ node: node.name, ...node.report.capabilities[name].database })).filter((one) => one.kind);
    databases.hidden = found.length === 0;
    once('databases', found, () => {
      const row = (one) =>
        h(
          'tr',
          null,
          h('th', { scope: 'row' }, one.node),
          h('td', null, one.kind),
          h('td', { class: 'wide' }, one.place, one.note && h('div', { class: 'quiet' }, one.note)),
          h('td', null, one.schema_version === null ? '–' : `${one.schema_version}`, one.schema_version !== one.binary_version && h('span', { class: 'is-note' }, ` (the program knows ${one.binary_version})`)),
          h('td', null, count(one.connections_in_use)),
          h('td', { class: one.problem ? 'wide is-bad' : '' }, one.problem ? `✕ ${one.problem}` : h('span', { class: 'outcome' }, '✓ works')),
        );
      replace(databases, h('h2', null, 'Database'), table(['Node', 'Kind', 'Place', 'Schema', 'Connections in use', 'State'], h('tbody', null, found.map(row)), 'databases'));
    });
  }

  function drawOwn(hosts) {
    const found = hosts.map((node) => [node.name, node.report.capabilities[name].figures]).filter(([, one]) => one && Object.keys(one).length > 0);
    own.hidden = found.length === 0;
    once('own', found, () =>
      replace(
        own,
        h('h2', null, 'Its own figures'),
        h('div', { class: 'own-figures' }, found.map(([node, one]) => table([node, 'Value'], h('tbody', null, flat(one).map(([key, value]) => h('tr', null, h('th', { scope: 'row' }, key), h('td', { class: 'wide' }, value)))), 'own'))),
      ),
    );
  }

  function drawLedger(lines) {
    ledger.hidden = lines.length === 0;
    once('ledger', lines, () =>
      replace(
        ledger,
        h('h2', null, 'Partitions, and what became of their messages'),
        h('p', { class: 'quiet' }, balance(lines)),
        scrolled(table(LEDGER_HEADS, h('tbody', null, lines.map(ledgerRow)), 'ledger'), 'The ledger of its partitions'),
      ),
    );
  }

  return {
    update: messages.choose,
    close() {
      stream.close();
      messages.close();
      ledgers.close();
    },
  };
}

function links(name) {
  const link = (text, path, values) => h('a', { class: 'button', href: address(path, values) }, text);
  return [
    link('Messages', '/traces', { q: `capability=${name}`, since: '15m' }),
    link('Failures', '/traces', { q: [`capability=${name}`, 'outcome!=ok', 'outcome!=rejected'], since: '1h' }),
    link('Slow ones', '/traces', { q: [`capability=${name}`, 'took>=100ms'], since: '1h' }),
    link('Log lines', '/logs', { q: `capability=${name}` }),
    link('Dead letters', '/dead', { capability: name }),
    link('Parked', '/parked', { capability: name }),
  ];
}

const GRAVITY = ['running', 'starting', 'no_database', 'failed'];

function worst(states) {
  return states.reduce((a, b) => (GRAVITY.indexOf(b) > GRAVITY.indexOf(a) ? b : a));
}

function sumsOf(hosts, all, name) {
  const mine = hosts.map((node) => node.rows.find((row) => row.capability === name)).filter(Boolean);
  const sum = (of, list = all) => list.reduce((total, one) => total + (of(one) ?? 0), 0);
  const most = (field) => mine.reduce((max, row) => Math.max(max, row[field] ?? -1), -1);
  const times = (p50, p99) => (most(p50) < 0 ? ['–', ''] : [duration(most(p50)), duration(most(p99))]);
  const errors = sum((row) => row.errors, mine);
  const durable = all.map((one) => one.durable).filter(Boolean);
  const shared = (of) => durable.reduce((max, one) => Math.max(max, of(one)), 0);
  return [
    ['Messages', rate(sum((row) => row.rate, mine)), errors > 0 ? `✕ ${rate(errors)} fail` : '', errors > 0 ? 'is-bad' : ''],
    ['Queued, p50 and p99', ...times('waited_p50', 'waited_p99')],
    ['Ran, p50 and p99', ...times('ran_p50', 'ran_p99')],
    ['Queue', count(sum((one) => one.admitted)), `of ${count(sum((one) => one.limit))}`],
    ['Instances up', count(sum((one) => one.up)), `of ${count(sum((one) => one.instances))}`, all.some((one) => one.up < one.instances) ? 'is-note' : ''],
    ['Restarts', count(sum((one) => one.restarts)), `${many(sum((one) => one.panics), 'panic')}`, all.some((one) => one.panics > 0) ? 'is-bad' : ''],
    ['Missed deadlines', count(sum((one) => one.missed_deadlines)), '', all.some((one) => one.missed_deadlines > 0) ? 'is-note' : ''],
    durable.length > 0 && ['Waiting in the log', count(shared((one) => one.waiting)), `${count(sum((one) => one.outbox, durable))} in outboxes`],
    durable.length > 0 && ['Parked', count(shared((one) => one.parked)), '', shared((one) => one.parked) > 0 ? 'is-note' : ''],
    durable.length > 0 && ['Dead', count(shared((one) => one.dead)), '', shared((one) => one.dead) > 0 ? 'is-bad' : ''],
  ].filter(Boolean);
}

function figure([label, value, more, kind = '']) {
  return h('div', null, h('dt', null, label), h('dd', { class: kind }, value, more && h('small', null, ` ${more}`)));
}

const NODE_HEADS = ['Node', 'State', 'Messages', 'Queue', 'Queued p50 · p99', 'Ran p50 · p99', 'Up', 'Restarts', 'Panics', 'Missed', 'Partitions'];

function nodeRow(first, name) {
  const [state, messages, waited, ran, up, restarts, panics, missed, partitions] = Array.from({ length: 9 }, () => h('td'));
  const bar = queueBar({});
  const queue = h('span');
  const element = h(
    'tr',
    null,
    h('th', { scope: 'row' }, h('a', { href: address('/logs', { q: [`node=${first.name}`, `capability=${name}`] }), title: 'Its log lines' }, first.name)),
    state,
    messages,
    h('td', { class: 'queue-cell' }, bar.element, queue),
    waited,
    ran,
    up,
    restarts,
    panics,
    missed,
    partitions,
  );
  [...element.cells].forEach((cell, at) => (cell.dataset.label = NODE_HEADS[at]));
  const once = changed();
  const update = (node) => {
    const one = node.report.capabilities[name];
    const row = node.rows.find((row) => row.capability === name) ?? {};
    once('state', capabilityState(node, name), (now) => replace(state, stateMark(now)));
    say(messages, `${rate(row.rate)}${row.errors > 0 ? ` · ✕ ${rate(row.errors)}` : ''}`);
    messages.className = row.errors > 0 ? 'is-bad' : '';
    bar.update(one);
    say(queue, `${count(one.admitted)} of ${count(one.limit)}`);
    say(waited, both(row.waited_p50, row.waited_p99));
    say(ran, both(row.ran_p50, row.ran_p99));
    say(up, `${count(one.up)} of ${count(one.instances)}`);
    counted(restarts, one.restarts, 'is-note');
    counted(panics, one.panics, 'is-bad');
    counted(missed, one.missed_deadlines, 'is-note');
    say(partitions, one.durable ? ranges(one.durable.partitions) || 'none' : '–');
  };
  update(first);
  return { element, update };
}

function both(p50, p99) {
  return (p50 ?? null) === null ? '–' : `${duration(p50)} · ${duration(p99)}`;
}

function counted(cell, value, kind) {
  say(cell, count(value));
  cell.className = value > 0 ? kind : 'quiet';
}

/** `0–3, 5`. */
function ranges(numbers) {
  const found = [];
  for (const number of [...numbers].sort((a, b) => a - b)) {
    if (found.length > 0 && found.at(-1)[1] === number - 1) found.at(-1)[1] = number;
    else found.push([number, number]);
  }
  return found.map(([from, to]) => (from === to ? `${from}` : `${from}–${to}`)).join(', ');
}

const LEDGER_HEADS = ['Partition', 'Owner', 'Appended', 'Handled', 'Duplicates', 'Dead', 'Expired', 'Waiting', 'Parked', 'Difference'];

/** Messages that are accounted for, less those that were appended: 0 where the ledger balances. */
function difference(line) {
  return line.handled + line.duplicates + line.dead + line.expired + line.waiting + line.parked - line.appended - line.before;
}

function balance(lines) {
  const inFlight = lines.reduce((sum, line) => sum + line.waiting + line.parked, 0);
  const off = lines.filter((line) => difference(line) !== 0).length;
  if (off === 0) return `Every message is accounted for; ${inFlight === 0 ? 'none is' : many(inFlight, 'message')} on the way.`;
  return inFlight > 0
    ? `${many(inFlight, 'message')} on the way, and each number is measured where it is kept, so sums are only about right.`
    : `✕ ${many(off, 'partition')} ${off === 1 ? 'does' : 'do'} not balance: messages are missing or too many.`;
}

function ledgerRow(line) {
  const off = difference(line);
  const cell = (value, kind = '') => h('td', { class: value > 0 ? kind : 'quiet' }, count(value));
  const [node] = (line.owner ?? '').split('/');
  return h(
    'tr',
    null,
    h('th', { scope: 'row' }, String(line.partition)),
    h('td', { class: line.owner ? '' : 'is-note', title: line.owner ?? 'Nobody works on it now' }, line.owner ? node : '! nobody'),
    cell(line.appended),
    cell(line.handled),
    cell(line.duplicates),
    cell(line.dead, 'is-bad'),
    cell(line.expired, 'is-note'),
    cell(line.waiting, 'is-note'),
    cell(line.parked, 'is-note'),
    h('td', { class: off === 0 ? 'quiet' : 'is-note' }, off === 0 ? '0' : `${off > 0 ? '+' : '−'}${count(Math.abs(off))}`),
  );
}

/** Figures of any shape as lines: `requests.failed`, `3`. */
function flat(value, path = '') {
  if (value === null || typeof value !== 'object') return [[path || 'value', typeof value === 'number' ? number(value) : String(value)]];
  const entries = Object.entries(value);
  if (entries.length === 0) return [[path, Array.isArray(value) ? 'none' : '–']];
  return entries.flatMap(([key, one]) => flat(one, path ? `${path}.${key}` : key));
}

function number(value) {
  return Number.isInteger(value) ? count(value) : String(value);
}

/** A table that is too wide for a narrow window: the keyboard reaches it, and so can scroll it. */
function scrolled(element, label) {
  set(element, 'tabindex', '0');
  set(element, 'role', 'region');
  set(element, 'aria-label', label);
  return element;
}

/** Calls back if what it is given is not what it was: elements are made anew only then. */
function changed() {
  const known = new Map();
  return (key, value, run) => {
    const text = JSON.stringify(value);
    if (known.get(key) === text) return;
    known.set(key, text);
    run(value);
  };
}
