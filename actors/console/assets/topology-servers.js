// The servers at the edge of the topology, on which several nodes depend: the bridge, and databases that are no files.

import { h, replace } from './dom.js';
import { many } from './format.js';
import { databaseProblem } from './states.js';

const KINDS = { postgres: 'PostgreSQL' };

/** Shows them in an element. */
export function showServers(edge, nodes) {
  const all = [bridge(nodes), ...databases(nodes)].filter(Boolean);
  const text = JSON.stringify(all);
  if (edge.dataset.shown === text) return;
  edge.dataset.shown = text;
  replace(edge, all.map(server));
}

function bridge(nodes) {
  const joined = nodes.filter(({ report }) => report && report.epoch !== null);
  if (joined.length === 0) return null;
  const out = joined.flatMap(({ name, report }) => report.outages.filter(({ shared, dependency }) => shared && !/`/.test(dependency)).map((outage) => ({ name, ...outage })));
  const causes = new Map();
  for (const { name, cause } of out) causes.set(cause, [...(causes.get(cause) ?? []), name]);
  const problem = [...causes].map(([cause, names]) => `${[...new Set(names)].join(', ')}: ${cause}`).join('; ');
  return { kind: 'Bridge', name: '', what: `joins ${many(joined.length, 'node')}`, problem };
}

/** One server for all schemas of a database. */
function databases(nodes) {
  const found = new Map();
  for (const node of nodes) {
    for (const [name, { database }] of Object.entries(node.report?.capabilities ?? {})) {
      if (!database || database.kind === 'sqlite') continue;
      const place = database.place.replace(/^[a-z]+:\/\/([^@/]*@)?/, '').replace(/ \(schema .*\)$/, '');
      const known = found.get(place) ?? { kind: KINDS[database.kind] ?? database.kind, name: place, users: new Set(), problem: '' };
      known.users.add(name);
      known.problem ||= databaseProblem(node, name) ?? '';
      found.set(place, known);
    }
  }
  return [...found.values()].map(({ users, ...one }) => ({ ...one, what: `holds ${[...users].sort().join(', ')}` }));
}

function server({ kind, name, what, problem }) {
  return h(
    'div',
    { class: `server${problem ? ' is-bad' : ''}` },
    h('span', { class: kind === 'Bridge' ? 'bridge-sign' : 'cylinder' }),
    h('b', null, kind),
    name && h('span', { class: 'server-name' }, name),
    h('span', { class: 'server-what' }, problem ? `✕ does not work, ${what}: ${problem}` : what),
  );
}
