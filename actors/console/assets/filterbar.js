// The filter: conditions as chips, a field to type more, and a form for who does not know their language.

import { fieldOf, mistakeIn, OPERATORS, parseCondition, typed, words } from './conditions.js';
import { h, replace, say, set, uniqueId } from './dom.js';

/**
 * @param {object} options
 * @param {import('./conditions.js').Field[]} options.fields
 * @param {(conditions: string[]) => void} options.onChange
 * @param {(word: string) => string | null} options.onWord a typed word that is no condition: the condition that it stands for, or
 *   `null` if it was taken care of
 * @param {(field: string) => Iterable<string>} options.valuesOf values of a field that were seen, for suggestions
 * @param {string} options.placeholder
 */
export function createFilterBar({ fields, onChange, onWord, valuesOf, placeholder }) {
  let conditions = [];
  const mistakeId = uniqueId('mistake');
  const input = h('input', {
    class: 'filter-input',
    type: 'text',
    placeholder,
    'aria-label': 'Filter: conditions such as outcome!=ok',
    'aria-describedby': mistakeId,
    data: { search: '' },
    autocomplete: 'off',
    autocapitalize: 'off',
    spellcheck: 'false',
    onkeydown: onKey,
  });
  const chips = h('ul', { class: 'chips', 'aria-label': 'Conditions, all of which hold' });
  const mistake = h('p', { class: 'form-error', id: mistakeId, role: 'alert' });
  const builder = conditionForm(fields, valuesOf, (condition) => take([condition]));
  const more = h('button', { class: 'button', type: 'button', 'aria-expanded': 'false', onclick: toggle }, '+ Condition');
  const box = h('div', { class: 'filter-box', onclick: (event) => event.target === box && input.focus() }, chips, input);
  const element = h('div', { class: 'filter', role: 'search' }, h('div', { class: 'filter-line' }, box, more), mistake, builder.element);

  function toggle() {
    builder.element.hidden = !builder.element.hidden;
    set(more, 'aria-expanded', String(!builder.element.hidden));
    if (!builder.element.hidden) builder.focus();
  }

  function onKey(event) {
    if (event.key === 'Enter') {
      event.preventDefault();
      submit();
    } else if (event.key === 'Backspace' && input.value === '' && conditions.length > 0) {
      // The last one comes back to be mended.
      event.preventDefault();
      edit(conditions.length - 1);
    } else if (event.key === 'Escape' && input.value !== '') {
      event.stopPropagation();
      input.value = '';
      say(mistake, '');
    }
  }

  function submit() {
    const meant = [];
    for (const word of words(input.value)) {
      const condition = parseCondition(word) ? word : onWord(word);
      if (condition) meant.push(condition);
    }
    take(meant);
  }

  function take(meant) {
    const wrong = meant.map((condition) => mistakeIn(condition, fields)).find(Boolean);
    say(mistake, wrong ?? '');
    if (wrong) return;
    input.value = '';
    change([...conditions, ...meant.filter((condition) => !conditions.includes(condition))]);
  }

  function change(now) {
    if (now.join('\n') === conditions.join('\n')) return;
    show(now);
    onChange(now);
  }

  function edit(at) {
    input.value = typed(conditions[at]);
    change(conditions.filter((_, index) => index !== at));
    input.focus();
  }

  function show(now) {
    conditions = now;
    replace(
      chips,
      conditions.map((condition, at) =>
        chip(
          condition,
          () => edit(at),
          () => {
            change(conditions.filter((_, index) => index !== at));
            input.focus();
          },
        ),
      ),
    );
  }

  return { element, show, tell: (text) => say(mistake, text), focus: () => input.focus() };
}

function chip(condition, onEdit, onRemove) {
  const parts = parseCondition(condition);
  const text = parts
    ? [h('b', null, parts.field), h('i', null, parts.operator), parts.value === '' ? '(nothing)' : parts.value]
    : condition;
  return h(
    'li',
    { class: 'chip' },
    h('button', { class: 'chip-text', type: 'button', title: `Change ${condition}`, onclick: onEdit }, text),
    h('button', { class: 'chip-x', type: 'button', 'aria-label': `Remove ${condition}`, onclick: onRemove }, '×'),
  );
}

/** A form of field, operator and value. */
function conditionForm(fields, valuesOf, onCondition) {
  const [listId, whatId] = [uniqueId('values'), uniqueId('what')];
  const field = h(
    'select',
    { class: 'input', 'aria-label': 'Field', 'aria-describedby': whatId, onchange: describe },
    fields.map((one) => h('option', { value: one.name }, one.name)),
  );
  const name = h('input', { class: 'input', 'aria-label': 'Name of the value', placeholder: 'NAME', hidden: true, spellcheck: 'false' });
  const operator = h(
    'select',
    { class: 'input', 'aria-label': 'Operator' },
    OPERATORS.map(([sign, meaning]) => h('option', { value: sign }, `${sign}  ${meaning}`)),
  );
  const value = h('input', {
    class: 'input',
    'aria-label': 'Value',
    placeholder: 'value',
    list: listId,
    autocomplete: 'off',
    spellcheck: 'false',
  });
  const suggested = h('datalist', { id: listId });
  const what = h('span', { class: 'quiet', id: whatId });
  const element = h(
    'form',
    { class: 'condition-form', hidden: true, onsubmit: submit },
    field,
    name,
    operator,
    value,
    suggested,
    h('button', { class: 'button button-main', type: 'submit' }, 'Add'),
    what,
  );

  function describe() {
    const one = fields.find((known) => known.name === field.value);
    say(what, one.what);
    name.hidden = one.kind !== 'named';
    if (one.kind === 'duration' || one.kind === 'moment') operator.value = '>=';
    else if (operator.value === '>=') operator.value = '=';
    const values = one.values ?? [...new Set(valuesOf(one.name))].slice(0, 100);
    replace(
      suggested,
      values.map((known) => h('option', { value: known })),
    );
  }

  function submit(event) {
    event.preventDefault();
    const one = fieldOf(field.value, fields) ?? fields.find((known) => known.name === field.value);
    const called = one.kind === 'named' ? one.name.replace('NAME', name.value.trim()) : one.name;
    onCondition(`${called}${operator.value}${value.value.trim()}`);
    value.value = '';
    value.focus();
  }

  return {
    element,
    focus() {
      describe();
      field.focus();
    },
  };
}
