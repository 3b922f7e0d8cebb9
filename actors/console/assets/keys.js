// The keyboard: single keys and sequences such as `g t`, each with words for the help dialog. Nothing happens while somebody types.

/** @typedef {{ keys: string, what: string, group: string, run: (event: KeyboardEvent) => void }} Binding */

/** @type {Set<Binding>} */
const bindings = new Set();
const SEQUENCE_MS = 1_200;
let begun = { key: '', at: 0 };

/** Binds keys (`j`, `g t`, `mod+k` for Ctrl or Cmd) until the function that this returns is called. */
export function bind(keys, what, run, group = 'Here') {
  const binding = { keys, what, run, group };
  bindings.add(binding);
  return () => bindings.delete(binding);
}

/** Binds several: `[keys, what, run]`. Returns what unbinds all. */
export function bindAll(list, group) {
  const undo = list.map(([keys, what, run]) => bind(keys, what, run, group));
  return () => undo.forEach((unbind) => unbind());
}

/** All that is bound now, by group. */
export function boundKeys() {
  const groups = new Map();
  for (const binding of bindings) groups.set(binding.group, [...(groups.get(binding.group) ?? []), binding]);
  return groups;
}

export function startKeys() {
  document.addEventListener('keydown', onKey);
}

function onKey(event) {
  const mod = event.ctrlKey || event.metaKey;
  if (event.defaultPrevented || event.isComposing || event.altKey) return;
  if (mod) return run(`mod+${event.key.toLowerCase()}`, event);
  if (document.querySelector('dialog[open]')) return undefined;
  if (isTyping(event.target)) {
    if (event.key === 'Escape') event.target.blur();
    return undefined;
  }
  const sequence = event.timeStamp - begun.at < SEQUENCE_MS ? `${begun.key} ${event.key}` : '';
  begun = { key: event.key, at: event.timeStamp };
  if (sequence && run(sequence, event)) {
    begun = { key: '', at: 0 };
    return undefined;
  }
  // The key that ends a sequence which is none does nothing, rather than something else.
  if (sequence && [...bindings].some((binding) => binding.keys.startsWith(`${sequence[0]} `))) return undefined;
  return run(event.key, event);
}

/** The binding that came last wins: a view's own before the shell's. */
function run(keys, event) {
  const found = [...bindings].reverse().find((binding) => binding.keys === keys);
  if (!found) return false;
  // A link or a button takes Enter and the space bar itself.
  if ((keys === 'Enter' || keys === ' ') && event.target.closest?.('a, button, summary, [role=tab]')) return false;
  event.preventDefault();
  found.run(event);
  return true;
}

export function isTyping(target) {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable ||
      /^(TEXTAREA|SELECT)$/.test(target.tagName) ||
      (target.tagName === 'INPUT' && !/^(checkbox|radio|button|submit|range)$/.test(target.type)))
  );
}
