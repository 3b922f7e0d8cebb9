// The log lines of all nodes, as they are written: newest at the bottom, as in a terminal, with all of one line beside them.

import { announce } from './announce.js';
import { createNotices, emptyState, pauseButton } from './bits.js';
import { LOG_FIELDS, parseCondition } from './conditions.js';
import { h, replace, say } from './dom.js';
import { createFilterBar } from './filterbar.js';
import { count, many } from './format.js';
import { bindAll } from './keys.js';
import { createList } from './list.js';
import { levelMark, lineDetail, lineText, lineTime } from './log-line.js';
import { setQuery } from './router.js';
import { openStream } from './stream.js';

/** Bounded by this many lines: the oldest go. */
const MOST_LINES = 20_000;
/** Of each node, to begin with. */
const LAST = 500;
const SHOW_EVERY_MS = 250;
const LEVELS = ['debug', 'info', 'warn', 'error'];

export function show(main, _parameters, query) {
  document.title = 'Logs · Essaim';
  let conditions = null;
  let lines = [];
  let page = { missed: 0, away: [], next: null, isRead: false, error: '', dropped: 0 };
  let number = 0;
  let stream = null;
  let timer = null;
  let isPaused = false;
  let heldBack = [];
  const nodes = new Set();

  const filter = createFilterBar({
    fields: LOG_FIELDS,
    placeholder: 'words to search for, or conditions such as capability=orders',
    onChange: (now) => setQuery({ q: now }),
    onWord: (word) => `text~${word}`,
    valuesOf: (field) =>
      new Set(
        lines
          .slice(-2_000)
          .map((line) => line[field])
          .filter((value) => typeof value === 'string'),
      ),
  });
  const level = select('Level', [
    ['', 'all levels'],
    ...LEVELS.map((name) => [`level>=${name}`, name === 'error' ? 'errors' : `${name} and graver`]),
  ]);
  const node = select('Node', [['', 'all nodes']]);
  const pause = pauseButton(togglePause);
  const newest = h('button', { class: 'button', type: 'button', hidden: true, onclick: () => list.follow() }, '↓ Newest');
  const tally = h('p', { class: 'tally' });
  const notices = createNotices();
  const detail = h('aside', { class: 'drawer', 'aria-label': 'The line in full', hidden: true });
  const list = createList({
    label: 'Log lines',
    kind: 'loglines',
    live: 'bottom',
    columns: ['Time', 'Level', 'Node', 'Capability', 'Line'],
    keyOf: (line) => line.key,
    rowClass: (line) => `is-${line.level}`,
    onOpen: openLine,
    cells: (line) => [
      lineTime(line),
      levelMark(line.level),
      line.node,
      line.capability,
      h('button', { class: 'line-button', type: 'button', onclick: () => openLine(line) }, lineText(line)),
    ],
  });
  const empty = h('div', { class: 'list-empty', hidden: true });
  const table = h('div', { class: 'list-place' }, list.element);
  main.append(
    h(
      'div',
      { class: 'view view-list' },
      h('div', { class: 'view-head' }, h('h1', null, 'Logs'), level, node, pause.element, newest, tally),
      filter.element,
      notices.element,
      table,
      empty,
      detail,
    ),
  );
  const unbind = bindAll(
    [
      ['p', 'Pause or go on', togglePause],
      ['G', 'Newest', () => list.follow()],
      ['Escape', 'Close the line', closeLine],
    ],
    'Logs',
  );
  const follow = setInterval(() => (newest.hidden = list.isFollowing()), 400);
  setPaused(false);
  update(query);

  function select(label, options) {
    const field = label.toLowerCase();
    const element = h(
      'select',
      { class: 'input', 'aria-label': label, onchange: choose },
      options.map(([value, text]) => h('option', { value }, text)),
    );
    function choose() {
      const others = conditions.filter((condition) => parseCondition(condition)?.field !== field);
      setQuery({ q: element.value === '' ? others : [...others, element.value] });
    }
    return element;
  }

  function update(now) {
    const before = conditions;
    conditions = now.getAll('q').filter(Boolean);
    filter.show(conditions);
    showChoices();
    if (JSON.stringify(before) !== JSON.stringify(conditions)) read();
  }

  function showChoices() {
    const chosen = (field) => conditions.find((condition) => parseCondition(condition)?.field === field) ?? '';
    for (const condition of conditions) if (/^node=/.test(condition)) nodes.add(condition.slice(5));
    const known = [...nodes].sort();
    if (node.options.length !== known.length + 1)
      replace(
        node,
        h('option', { value: '' }, 'all nodes'),
        known.map((name) => h('option', { value: `node=${name}` }, name)),
      );
    node.value = chosen('node');
    level.value = chosen('level');
    // Conditions that these cannot say stand as chips alone.
    if (node.selectedIndex < 0) node.value = '';
    if (level.selectedIndex < 0) level.value = '';
  }

  function read() {
    stream?.close();
    lines = [];
    heldBack = [];
    closeLine();
    page = { missed: 0, away: [], next: null, isRead: false, error: '', dropped: 0 };
    filter.tell('');
    const asked = conditions;
    stream = openStream('/api/logs/find', {
      body: () => ({ filter: asked, last: LAST, ...(page.next && { after: page.next }) }),
      onPage,
      onRefused(error) {
        page = { ...page, isRead: true, error: error.message };
        page.isWrong = error.status === 400;
        if (page.isWrong) filter.tell(error.message);
        draw();
      },
    });
    draw();
  }

  function onPage(found) {
    for (const line of found.lines) {
      number += 1;
      line.key = String(number);
      nodes.add(line.node);
    }
    page = { ...page, missed: page.missed + found.missed, away: found.away, next: found.next, isRead: true };
    (isPaused ? heldBack : lines).push(...found.lines);
    timer ??= setTimeout(
      () => {
        timer = null;
        draw();
      },
      lines.length === found.lines.length ? 0 : SHOW_EVERY_MS,
    );
  }

  function draw() {
    if (heldBack.length > MOST_LINES) page.dropped += heldBack.splice(0, heldBack.length - MOST_LINES).length;
    // Nodes' clocks and answers differ a little; a line is put where its moment belongs.
    lines.sort((a, b) => a.at_us - b.at_us);
    if (lines.length > MOST_LINES) page.dropped += lines.splice(0, lines.length - MOST_LINES).length;
    const isEmpty = lines.length === 0;
    table.hidden = isEmpty;
    empty.hidden = !isEmpty;
    list.setItems([...lines]);
    showChoices();
    notices.show({ away: page.away, missed: page.missed, thing: 'line', error: page.isWrong ? '' : page.error });
    say(
      tally,
      isPaused
        ? `paused · ${many(heldBack.length, 'newer line')}`
        : page.dropped > 0
          ? `the newest ${count(MOST_LINES)} lines`
          : many(lines.length, 'line'),
    );
    if (isEmpty) replace(empty, emptyNow());
  }

  function emptyNow() {
    if (page.isWrong) return emptyState({ title: 'A condition cannot be understood', text: 'Choose it above to change it, or remove it.' });
    if (page.error) return emptyState({ title: 'The console does not tell', text: page.error });
    if (!page.isRead) return h('p', { class: 'quiet' }, 'Reading …');
    const text =
      conditions.length > 0
        ? 'None of the last lines of any node fulfils all conditions. What is written from now on appears by itself.'
        : 'The nodes keep no lines: log.ring_bytes may be 0, or the log filter lets nothing through.';
    return emptyState({
      title: 'No log lines',
      text,
      actions: conditions.length > 0 ? [['Remove all conditions', () => setQuery({ q: null })]] : [],
    });
  }

  function openLine(line) {
    detail.hidden = false;
    replace(detail, h('button', { class: 'button drawer-close', type: 'button', onclick: closeLine }, 'Close'), lineDetail(line));
    // What is being read stands still.
    list.hold();
  }

  function closeLine() {
    detail.hidden = true;
    replace(detail);
  }

  function togglePause() {
    setPaused(!isPaused);
    lines.push(...heldBack.splice(0));
    draw();
    announce(isPaused ? 'paused' : 'live again');
  }

  function setPaused(paused) {
    isPaused = paused;
    pause.show(paused);
  }

  return {
    update,
    close() {
      stream?.close();
      list.close();
      clearTimeout(timer);
      clearInterval(follow);
      unbind();
    },
  };
}
