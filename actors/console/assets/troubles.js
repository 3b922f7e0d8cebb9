// What does not work, the worst first: which node or capability, why, and where to look on.

import { h, replace, withCode } from './dom.js';
import { count, duration, many } from './format.js';
import { notice } from './bits.js';
import { address } from './router.js';
import { keyed } from './keyed.js';
import { fullness, rate } from './states.js';

/** @typedef {{ key: string, kind: 'bad' | 'warn', who: string, text: any, more: [string, string][] }} Trouble */

/** Numbers of a ledger are read one after the other: what differs for so many looks is no matter of moments. */
const LASTING = 4;

/** Below this share of failures a capability is left in peace. */
const FAILING = 0.02;
/** As many stand above the picture until somebody asks for all. */
const SHOWN = 6;

export const capabilityHref = (name) => `/capabilities/${encodeURIComponent(name)}`;
const logsOf = (node) => ['log lines', address('/logs', { q: [`node=${node}`, 'level>=warn'] })];
const failuresOf = (name) => ['failures', address('/traces', { q: [`capability=${name}`, 'outcome!=ok', 'outcome!=rejected'], since: '15m' })];

/** @returns {Trouble[]} */
export function troublesOf(overview) {
  const found = [];
  const tell = (kind, key, who, text, ...more) => found.push({ kind, key, who, text, more });
  for (const node of overview.nodes) ofNode(node, tell);
  ofCapabilities(overview, tell);
  // What the server says beside that: it is of no node.
  const names = overview.nodes.map((node) => `${node.name}: `);
  for (const text of overview.troubles) if (!names.some((name) => text.startsWith(name))) tell('warn', text, '', text);
  return found.sort((a, b) => (a.kind === b.kind ? 0 : a.kind === 'bad' ? -1 : 1));
}

function ofNode(node, tell) {
  const { name, report } = node;
  const hosting = node.hosted.length > 0 ? `with ${node.hosted.join(', ')} ` : '';
  if (node.state === 'gone' || node.state === 'refused')
    return tell('bad', `gone ${name}`, name, `${hosting}is ${node.state} for ${duration(node.heard_ms_ago * 1_000)}: ${node.problem}`, logsOf(name));
  if (!report)
    return tell('bad', `silent ${name}`, name, `${hosting}does not answer: ${node.problem ?? 'it gives no report'}`, logsOf(name));
  for (const { arbiter, handler, blocked_ms } of report.blocking ?? []) {
    const own = handler.split('.')[0];
    const more = report.capabilities[own] ? [[own, capabilityHref(own)]] : [];
    tell('bad', `blocking ${name} ${arbiter}`, name, `the handler of \`${handler}\` blocks its thread for ${duration(blocked_ms * 1_000)}: all on arbiter ${arbiter} waits`, ...more, logsOf(name));
  }
  const told = new Set();
  for (const { dependency, cause } of report.outages) told.add(`${dependency} does not work: ${cause}`);
  for (const { dependency, cause, since_ms, verb } of byCause(report.outages)) {
    const own = /`([^`]+)`/.exec(dependency)?.[1];
    const more = own && report.capabilities[own] ? [[own, capabilityHref(own)]] : [];
    tell('bad', `outage ${name} ${dependency}`, name, `${dependency} ${verb} not work for ${duration(since_ms * 1_000)}: ${cause}`, ...more, logsOf(name));
  }
  for (const reason of report.reasons) {
    if (told.has(reason)) continue;
    const [, own, isFailed] = /^`([^`]+)` (has failed)?/.exec(reason) ?? [];
    const more = own && report.capabilities[own] ? [[own, capabilityHref(own)]] : [];
    tell(isFailed ? 'bad' : 'warn', `reason ${name} ${reason}`, name, reason, ...more, logsOf(name));
  }
  for (const task of report.tasks ?? [])
    if (task.last_panic && task.state !== 'running')
      tell('bad', `task ${name} ${task.owner} ${task.name}`, name, `its task ${task.owner}/${task.name} has panicked: ${task.last_panic}`, logsOf(name));
  return undefined;
}

/** What goes out for one cause is told once. */
function byCause(outages) {
  const found = new Map();
  for (const { dependency, cause, since_ms } of outages) {
    const known = found.get(cause);
    if (!known) found.set(cause, { dependency, cause, since_ms, verb: 'does' });
    else found.set(cause, { ...known, dependency: `${known.dependency} and ${dependency}`, since_ms: Math.max(known.since_ms, since_ms), verb: 'do' });
  }
  return [...found.values()];
}

function ofCapabilities({ nodes, links }, tell) {
  for (const { from, to, rate: all, errors } of links) {
    if (from.node !== null || errors / all < FAILING || !(all > 0)) continue;
    const failed = ['failed requests', address('/traces', { q: ['kind=request', 'outcome!=ok', 'outcome!=rejected'], since: '15m' })];
    tell('bad', `requests ${to.capability}@${to.node}`, `${to.capability}@${to.node}`, `${rate(errors)} of ${rate(all)} requests fail`, failed);
  }
  /** What is of a capability in all nodes is told once. */
  const shared = new Map();
  for (const node of nodes) {
    for (const [name, one] of Object.entries(node.report?.capabilities ?? {})) {
      const who = `${name}@${node.name}`;
      const row = node.rows.find((row) => row.capability === name) ?? {};
      const own = [name, capabilityHref(name)];
      const full = fullness(one);
      const queue = `its queue is ${Math.round(full * 100)} % full: ${one.admitted} of ${one.limit} messages`;
      if (full >= 0.8) tell('bad', `full ${who}`, who, queue, own, failuresOf(name));
      else if (full >= 0.5) tell('warn', `full ${who}`, who, queue, own);
      const isTold = node.report.outages.some(({ dependency }) => dependency === `the database of \`${name}\``);
      if (one.database?.problem && !isTold) tell('bad', `database ${who}`, who, `its database: ${one.database.problem}`, own);
      if (row.rate > 0 && row.errors / row.rate >= FAILING)
        tell('bad', `errors ${who}`, who, `${rate(row.errors)} of ${rate(row.rate)} messages fail`, failuresOf(name), own);
      for (const why of one.durable?.stalled ?? []) tell('warn', `stalled ${who} ${why}`, who, `messages do not leave its outbox: ${why}`, own);
      if (one.durable) shared.set(name, mergeDurable(shared.get(name), one.durable));
    }
  }
  for (const [name, durable] of shared) {
    const full = durable.full ?? [];
    if (full.length > 0) tell('bad', `room ${name}`, name, `has no room for messages in partition ${full.join(', ')}: its senders wait`, [name, capabilityHref(name)]);
    if (durable.dead > 0) tell('bad', `dead ${name}`, name, `has ${many(durable.dead, 'dead letter')}`, ['dead letters', address('/dead', { capability: name })]);
    if (durable.parked > 0)
      tell('warn', `parked ${name}`, name, `has ${many(durable.parked, 'message')} that ${durable.parked === 1 ? 'waits' : 'wait'} for another attempt`, ['parked', address('/parked', { capability: name })]);
    if (durable.ledger && !durable.ledger.balances && !durable.ledger.approximate)
      tell('bad', `ledger ${name}`, name, `its ledger does not balance: ${durable.ledger.difference} messages`, [name, capabilityHref(name)]);
    if (durable.ledger?.gaps > 0)
      tell('warn', `gaps ${name}`, name, `its log was found to be older than its database in ${many(durable.ledger.gaps, 'partition')}`, [name, capabilityHref(name)]);
  }
}

/** Nodes tell the same of a capability's messages, each a moment apart. */
function mergeDurable(known, durable) {
  if (!known) return durable;
  return { ...durable, dead: Math.max(known.dead, durable.dead), parked: Math.max(known.parked, durable.parked), waiting: Math.max(known.waiting, durable.waiting) };
}

export function createTroubles() {
  const list = h('ul', { class: 'notices troubles' });
  const element = h('section', { 'aria-label': 'What does not work', hidden: true }, list);
  const show = keyed(list, (trouble) => trouble.key, line);
  const button = h('button', { class: 'button trouble-all', type: 'button', onclick: toggle });
  element.append(button);
  let [all, isLong] = [[], false];
  const looks = new Map();

  function toggle() {
    isLong = !isLong;
    draw();
  }

  function draw() {
    element.hidden = all.length === 0;
    button.hidden = all.length <= SHOWN;
    button.textContent = isLong ? 'Show the worst ones' : `Show all ${count(all.length)}`;
    button.setAttribute('aria-expanded', String(isLong));
    show(isLong ? all : all.slice(0, SHOWN));
  }

  return {
    element,
    show(troubles) {
      for (const key of looks.keys()) if (!troubles.some((one) => one.key === key)) looks.delete(key);
      for (const { key } of troubles) looks.set(key, (looks.get(key) ?? 0) + 1);
      all = troubles.filter(({ key }) => !key.startsWith('ledger ') || looks.get(key) >= LASTING);
      draw();
    },
  };
}

function line(first) {
  const who = h('b');
  const text = h('span');
  const more = h('span', { class: 'trouble-more' });
  const element = notice(first.kind, first.kind === 'bad' ? '✕' : '!', who, ' ', text, ' ', more);
  let told = '';
  const update = (now) => {
    element.className = `notice notice-${now.kind}`;
    who.textContent = now.who;
    const all = JSON.stringify([now.text, now.more]);
    if (all === told) return;
    told = all;
    replace(text, withCode(now.text));
    if (more.childElementCount !== now.more.length || told === '') replace(more, now.more.map(([name, href]) => [h('a', { href }, name), ' ']));
  };
  update(first);
  return { element, update };
}
