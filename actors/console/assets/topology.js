// The first page: all nodes as a picture and as a table, and above them what does not work. It changes each second.

import { announce } from './announce.js';
import { emptyState } from './bits.js';
import { h, replace, say } from './dom.js';
import { count, many } from './format.js';
import { bindAll } from './keys.js';
import { rate, stateOf } from './states.js';
import { openStream } from './stream.js';
import { createPicture } from './topology-picture.js';
import { createTable } from './topology-table.js';
import { createTroubles, troublesOf } from './troubles.js';

export function show(main) {
  document.title = 'Topology · Essaim';
  let states = null;
  const tally = h('p', { class: 'tally' }, 'Reading …');
  const troubles = createTroubles();
  const picture = createPicture();
  const table = createTable();
  const calm = h('p', { class: 'quiet calm', hidden: true });
  const body = h('div', { class: 'topology-body', hidden: true }, picture.element, table.element);
  const empty = h('div', { hidden: true });
  main.append(
    h(
      'div',
      { class: 'view view-topology' },
      h('div', { class: 'view-head' }, h('h1', null, 'Topology'), picture.tools, tally),
      troubles.element,
      calm,
      empty,
      body,
    ),
  );
  const unbind = bindAll(
    [
      ['+', 'Nearer', () => picture.zoom(1)],
      ['-', 'Farther', () => picture.zoom(-1)],
      ['0', 'All of the picture', () => picture.zoom(0)],
    ],
    'Topology',
  );
  const stream = openStream('/api/overview', { onPage: draw, onRefused: refused });

  function draw(overview) {
    const found = troublesOf(overview);
    const isQuiet = overview.links.length === 0;
    body.hidden = false;
    empty.hidden = true;
    say(tally, tallyOf(overview));
    troubles.show(found);
    const isFailing = overview.links.some((link) => link.errors > 0);
    calm.hidden = !isQuiet && (found.length > 0 || isFailing);
    say(
      calm,
      isQuiet
        ? 'No message was sent in the last minute, so there are no arrows. Send a request to the gateway, such as GET /products.'
        : 'Nothing is wrong that a node knows of.',
    );
    picture.show(overview);
    table.show(overview);
    tellChanges(overview);
  }

  /** Who listens to the page hears of nodes that come and go, once. */
  function tellChanges({ nodes }) {
    const now = new Map(nodes.map((node) => [node.name, node.state]));
    const changes = states === null ? [] : [...now].filter(([name, state]) => states.get(name) !== state);
    if (changes.length > 0) announce(changes.map(([name, state]) => `node ${name}: ${stateOf(state).word}`).join(', '));
    states = now;
  }

  function refused(error) {
    body.hidden = true;
    empty.hidden = false;
    say(tally, '');
    replace(
      empty,
      emptyState({ title: 'The console does not tell', text: error.message, actions: [['Load again', () => location.reload()]] }),
    );
  }

  return {
    update() {},
    close() {
      stream.close();
      picture.close();
      unbind();
    },
  };
}

function tallyOf({ nodes, links }) {
  const by = new Map();
  for (const { state } of nodes) by.set(state, (by.get(state) ?? 0) + 1);
  const standing = [...by].map(([state, number]) => `${count(number)} ${stateOf(state).word}`).join(', ');
  const fromOutside = links.filter((link) => link.from.node === null).reduce((sum, link) => sum + link.rate, 0);
  return `${many(nodes.length, 'node')}: ${standing} · ${rate(fromOutside)} from clients`;
}
