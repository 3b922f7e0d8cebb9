// The views: their addresses, their places in the navigation, and their keys (after `g`). A view's module exports
// `show(main, parameters, query)`, which fills `main` and returns `{ update?(query), close?() }`: `update` when only the query changed.

import { address } from './router.js';

/** What the list of messages begins with: timers tick all the time, and are seldom what somebody looks for. */
const NO_TIMERS = 'kind!=timer';

/**
 * @typedef {object} View
 * @property {string} name
 * @property {string} pattern
 * @property {() => Promise<any>} load
 * @property {string} [title] in the navigation; without one it is not there
 * @property {string} [href] where the navigation leads
 * @property {string} [key] after `g`
 * @property {string} [group] the part of the navigation
 * @property {string} [part] the view whose place in the navigation it shares
 */

/** @type {View[]} */
export const VIEWS = [
  { name: 'home', pattern: '/', load: () => import('./topology.js'), part: 'topology' },
  { name: 'topology', pattern: '/topology', load: () => import('./topology.js'), title: 'Topology', key: 't', group: 'Nodes' },
  { name: 'capability', pattern: '/capabilities/:name', load: () => import('./capability.js'), part: 'topology' },
  {
    name: 'traces',
    pattern: '/traces',
    load: () => import('./traces.js'),
    title: 'Traces',
    href: address('/traces', { q: NO_TIMERS, since: '15m' }),
    key: 'r',
    group: 'Messages',
  },
  { name: 'trace', pattern: '/traces/:id', load: () => import('./trace.js'), part: 'traces' },
  { name: 'logs', pattern: '/logs', load: () => import('./logs.js'), title: 'Logs', href: '/logs', key: 'l', group: 'Nodes' },
  { name: 'config', pattern: '/config', load: () => import('./config.js'), title: 'Configuration', href: '/config', key: 'c', group: 'Nodes' },
  { name: 'dead', pattern: '/dead', load: () => import('./dead.js'), title: 'Dead letters', key: 'd', group: 'Delivery' },
  { name: 'letter', pattern: '/dead/:id', load: () => import('./letter.js'), part: 'dead' },
  { name: 'parked', pattern: '/parked', load: () => import('./parked.js'), title: 'Parked', key: 'p', group: 'Delivery' },
  { name: 'schedules', pattern: '/schedules', load: () => import('./schedules.js'), title: 'Schedules', href: '/schedules', key: 'e', group: 'Delivery' },
  {
    name: 'subscriptions',
    pattern: '/subscriptions',
    load: () => import('./subscriptions.js'),
    title: 'Subscriptions',
    key: 's',
    group: 'Delivery',
  },
  { name: 'audit', pattern: '/audit', load: () => import('./audit.js'), title: 'Audit', key: 'a', group: 'Operators' },
];

/** The view of this name. */
export function viewOf(name) {
  return VIEWS.find((view) => view.name === name);
}
