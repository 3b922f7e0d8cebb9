// The frame around the views: navigation, what is live, theme, who is here; and the keys that work everywhere.

import { announcer } from './announce.js';
import { postJson } from './api.js';
import { connection, onConnection } from './connection.js';
import { h, replace, s, say } from './dom.js';
import { showHelp } from './help.js';
import { bind } from './keys.js';
import { openPalette } from './palette.js';
import { currentView, go, onRoute, route, start } from './router.js';
import { theme, toggleTheme } from './theme.js';
import { VIEWS, viewOf } from './views.js';

/** Builds the frame in the page and starts the views in it. @param {{ user: string | null, open: boolean, node: string }} me */
export function showShell(me) {
  const main = h('main', { id: 'main', tabindex: '-1' });
  const nav = navigation();
  replace(
    document.body,
    h('a', { class: 'skip', href: '#main', onclick: (event) => skip(event, main) }, 'Skip to the content'),
    h(
      'header',
      { class: 'top' },
      h('a', { class: 'brand', href: '/', 'aria-label': 'Essaim, first page' }, mark(), h('span', null, 'Essaim')),
      liveness(me.node),
      h('div', { class: 'top-tools' }, paletteButton(), themeButton(), helpButton(), ...who(me)),
    ),
    nav,
    offlineBanner(),
    main,
    announcer(),
  );
  for (const view of VIEWS) route(view.pattern, view.load, view.name);
  onRoute(() => markCurrent(nav));
  bindGlobalKeys();
  start(main);
}

/** The sign of the project: a few cells. */
export function mark() {
  const cell = (x, y, opacity) => s('path', { d: `M${x} ${y}l4.2 2.4v4.9l-4.2 2.4-4.2-2.4V${y + 2.4}z`, opacity });
  return s(
    'svg',
    { class: 'mark', viewBox: '0 0 24 24', 'aria-hidden': 'true' },
    cell(12, 1.6, 1),
    cell(7, 11.6, 0.75),
    cell(17, 11.6, 0.5),
  );
}

function skip(event, main) {
  event.preventDefault();
  main.focus();
}

function navigation() {
  const link = (view) =>
    h('a', { href: view.href ?? view.pattern, data: { view: view.name }, title: view.key && `Keys: g ${view.key}` }, view.title);
  const part = ([name, views]) =>
    h(
      'li',
      { class: 'nav-group' },
      name && h('span', { class: 'nav-head' }, name),
      h(
        'ul',
        null,
        views.map((view) => h('li', null, link(view))),
      ),
    );
  return h('nav', { class: 'side', 'aria-label': 'Views' }, h('ul', null, Object.entries(byGroup()).map(part)));
}

function byGroup() {
  const groups = {};
  for (const view of VIEWS.filter((one) => one.title)) (groups[view.group ?? ''] ??= []).push(view);
  return groups;
}

function markCurrent(nav) {
  const view = viewOf(currentView());
  for (const link of nav.querySelectorAll('a')) {
    const isCurrent = link.dataset.view === (view?.part ?? view?.name);
    if (isCurrent) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
}

const STATE_WORDS = {
  idle: ['not live', 'This view does not change by itself.'],
  live: ['live', 'What you see changes as it happens.'],
  reconnecting: ['reconnecting', 'It begins again where it ended.'],
  offline: ['offline', 'What you see is old. It goes on by itself.'],
};

function liveness(node) {
  const word = h('span', { class: 'live-word' });
  const element = h(
    'div',
    { class: 'live', role: 'status' },
    h('span', { class: 'live-sign', 'aria-hidden': 'true' }),
    word,
    h('span', { class: 'live-node' }, ' at ', node),
  );
  const show = () => {
    const { state, why } = connection();
    element.dataset.state = state;
    element.title = [why, STATE_WORDS[state][1]].filter(Boolean).join(': ');
    say(word, STATE_WORDS[state][0]);
  };
  onConnection(show);
  show();
  return element;
}

/** Says that all is old, where nobody can overlook it. */
function offlineBanner() {
  const words = h('span');
  const element = h('div', { class: 'banner', role: 'alert' }, h('span', { class: 'sign', 'aria-hidden': 'true' }, '✕'), words);
  const show = () => {
    const { state, why } = connection();
    element.hidden = state !== 'offline';
    say(
      words,
      state === 'offline' ? `What you see is old, and goes on by itself when it can: ${why || 'the console does not answer'}.` : '',
    );
  };
  onConnection(show);
  show();
  return element;
}

function paletteButton() {
  const isMac = /Mac|iPhone|iPad/.test(navigator.platform);
  return h(
    'button',
    { class: 'button find-button', type: 'button', onclick: () => openPalette() },
    h('span', { class: 'find-words' }, 'Find or go to '),
    h('kbd', null, isMac ? '⌘K' : 'Ctrl K'),
  );
}

function themeButton() {
  const button = h('button', { class: 'button icon-button', type: 'button', onclick: toggleTheme });
  const show = () => {
    const other = theme() === 'dark' ? 'light' : 'dark';
    button.setAttribute('aria-label', `Change to the ${other} theme`);
    button.title = `Change to the ${other} theme`;
    replace(
      button,
      s(
        'svg',
        { viewBox: '0 0 16 16', 'aria-hidden': 'true' },
        s('circle', { cx: 8, cy: 8, r: 6, fill: 'none', stroke: 'currentColor', 'stroke-width': 1.5 }),
        s('path', { d: 'M8 2a6 6 0 0 1 0 12z', fill: 'currentColor' }),
      ),
    );
  };
  addEventListener('themechange', show);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', show);
  show();
  return button;
}

function helpButton() {
  return h('button', { class: 'button icon-button', type: 'button', title: 'Keys (?)', 'aria-label': 'Keys', onclick: showHelp }, '?');
}

function who(me) {
  if (me.open) return [h('span', { class: 'who', title: 'Dev mode on loopback: open without a login' }, 'dev mode')];
  const leave = async () => {
    await postJson('/api/logout', {}).catch(() => null);
    location.assign('/');
  };
  return [
    h('span', { class: 'who', title: me.user }, me.user),
    h('button', { class: 'button', type: 'button', onclick: leave }, 'Log out'),
  ];
}

function bindGlobalKeys() {
  bind('mod+k', 'Find or go to', () => openPalette(), 'Everywhere');
  bind('?', 'These keys', showHelp, 'Everywhere');
  bind('/', 'Search or filter', focusSearch, 'Everywhere');
  bind('Escape', 'Close, or leave a field', () => {}, 'Everywhere');
  bind('t t', 'Light or dark', toggleTheme, 'Everywhere');
  for (const view of VIEWS) if (view.key) bind(`g ${view.key}`, view.title, () => go(view.href ?? view.pattern), 'Go to');
}

/** A view marks its field for `/` with `data-search`; without one it is the palette. */
function focusSearch() {
  const field = document.querySelector('main [data-search]');
  if (!field) return openPalette();
  field.focus();
  field.select?.();
  return undefined;
}
