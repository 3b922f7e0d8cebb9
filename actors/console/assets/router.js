// Addresses. Each view has a path, and all that it shows by choice stands in the query, so every state can be linked and the back
// button goes back to it.

/** @typedef {{ pattern: string, load: () => Promise<{ show: Function }> }} Route */

const routes = [];
let outlet = null;
let shown = null;
let turn = 0;
/** The last address of each view. */
const visited = new Map();
const changes = new EventTarget();

/** Declares a view: a pattern such as `/traces/:id`, and its module. */
export function route(pattern, load, name) {
  const names = [];
  const text = pattern.replace(/:([a-z]+)/g, (_, name) => {
    names.push(name);
    return '([^/]+)';
  });
  routes.push({ pattern, expression: new RegExp(`^${text}/?$`), names, load, name });
}

/** Begins: views appear in this element. */
export function start(element) {
  outlet = element;
  addEventListener('popstate', follow);
  document.addEventListener('click', onClick);
  follow();
}

export function onRoute(callback) {
  changes.addEventListener('change', callback);
}

/** The name of the view that is shown. */
export function currentView() {
  return shown?.route.name ?? null;
}

/** Where a view was when it was last shown; `byDefault` if it was not. */
export function lastAddress(name, byDefault) {
  return visited.get(name) ?? byDefault;
}

/** The query of the address. */
export function query() {
  return new URLSearchParams(location.search);
}

/** An address with this path and query; values may be lists, and what is empty is left out. */
export function address(path, values = {}) {
  const text = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    for (const one of [value].flat()) if (one !== null && one !== undefined && one !== false) text.append(name, one);
  }
  const search = text.toString();
  return search === '' ? path : `${path}?${search}`;
}

/** Goes to an address; `replace`: in the place of the current one, so that the back button does not come here. */
export function go(to, { replace = false } = {}) {
  if (to === location.pathname + location.search) return follow();
  history[replace ? 'replaceState' : 'pushState'](null, '', to);
  return follow();
}

/** Changes the query: names with `null` go. */
export function setQuery(changed, options) {
  const now = query();
  for (const [name, value] of Object.entries(changed)) {
    now.delete(name);
    for (const one of [value].flat()) if (one !== null && one !== undefined) now.append(name, one);
  }
  const search = now.toString();
  return go(location.pathname + (search ? `?${search}` : ''), options);
}

async function follow() {
  const path = location.pathname;
  const found = match(path);
  if (!found) return go('/', { replace: true });
  visited.set(found.route.name, path + location.search);
  if (shown && shown.route === found.route && shown.path === path && shown.view?.update) {
    shown.view.update(query());
    changes.dispatchEvent(new Event('change'));
    return;
  }
  turn += 1;
  const mine = turn;
  const module = await found.route.load();
  // Somebody has gone elsewhere while the module came.
  if (mine !== turn) return;
  shown?.view?.close?.();
  outlet.replaceChildren();
  shown = { route: found.route, path, view: null };
  shown.view = module.show(outlet, found.parameters, query());
  outlet.scrollTop = 0;
  // Who uses a screen reader, or the keyboard, goes on in the new view.
  if (turn > 1 && !outlet.contains(document.activeElement)) outlet.focus({ preventScroll: true });
  changes.dispatchEvent(new Event('change'));
}

function match(path) {
  for (const route of routes) {
    const hit = route.expression.exec(path);
    if (!hit) continue;
    try {
      const values = hit.slice(1).map(decodeURIComponent);
      return { route, parameters: Object.fromEntries(route.names.map((name, at) => [name, values[at]])) };
    } catch {
      return null;
    }
  }
  return null;
}

/** Links within the console do not load the page anew. */
function onClick(event) {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = event.target.closest?.('a[href]');
  if (!link || link.target || link.hasAttribute('download') || link.origin !== location.origin) return;
  if (link.pathname.startsWith('/api/') || link.pathname.startsWith('/assets/')) return;
  if (link.hash && link.pathname === location.pathname) return;
  event.preventDefault();
  go(link.pathname + link.search);
}
