// The live list of messages, or of traces: filtered by the server, newest on top, paused and resumed.

import { announce } from './announce.js';
import { createNotices, emptyState, pauseButton, segments } from './bits.js';
import { RECORD_FIELDS } from './conditions.js';
import { h, replace, say } from './dom.js';
import { createFilterBar } from './filterbar.js';
import { count, many } from './format.js';
import { bindAll } from './keys.js';
import { createList } from './list.js';
import { MESSAGE_LIST, TRACE_LIST } from './record-lists.js';
import { MOST_ROWS, RecordStore } from './records.js';
import { go, setQuery } from './router.js';
import { openStream } from './stream.js';
import { conditionsOf, createTimeRange, rangeOf } from './timerange.js';

const BY_DEFAULT = '15m';
/** Records come many times a second; eyes do not. */
const SHOW_EVERY_MS = 250;

export function show(main, _parameters, query) {
  document.title = 'Traces · Essaim';
  let store = new RecordStore();
  let state = null;
  let stream = null;
  let list = null;
  let shown = [];
  let page = { missed: 0, away: [], next: null, isRead: false, error: '' };
  let isPaused = false;
  let timer = null;

  const filter = createFilterBar({
    fields: RECORD_FIELDS,
    placeholder: 'outcome!=ok, took>=100ms … or an id to find',
    onChange: (conditions) => setQuery({ q: conditions.length > 0 ? conditions : '' }),
    onWord: (word) => void go(`/traces/${encodeURIComponent(word)}`),
    valuesOf: (field) => store.values(field),
  });
  const range = createTimeRange((changed) => setQuery(changed));
  const pause = pauseButton(togglePause);
  const modes = segments(
    'Rows',
    [
      ['messages', 'Messages'],
      ['traces', 'Traces'],
    ],
    (mode) => setQuery({ group: mode === 'traces' ? 'trace' : null }),
  );
  const tally = h('p', { class: 'tally' });
  const notices = createNotices();
  const table = h('div', { class: 'list-place' });
  const empty = h('div', { class: 'list-empty', hidden: true });
  main.append(
    h(
      'div',
      { class: 'view view-list' },
      h('div', { class: 'view-head' }, h('h1', null, 'Traces'), modes.element, range.element, pause.element, tally),
      filter.element,
      notices.element,
      table,
      empty,
    ),
  );
  const unbind = bindAll(
    [
      ['p', 'Pause or go on', togglePause],
      ['m', 'Messages or whole traces', () => setQuery({ group: state.isGrouped ? null : 'trace' })],
    ],
    'Traces',
  );
  update(query);

  function update(now) {
    const before = state;
    state = { conditions: now.getAll('q').filter(Boolean), range: rangeOf(now, BY_DEFAULT), isGrouped: now.get('group') === 'trace' };
    filter.show(state.conditions);
    range.show(state.range);
    modes.show(state.isGrouped ? 'traces' : 'messages');
    if (before?.isGrouped !== state.isGrouped) makeList();
    const question = (of) => JSON.stringify([of?.conditions, of?.range]);
    if (question(before) !== question(state)) read();
    else draw();
  }

  function makeList() {
    list?.close();
    list = createList(state.isGrouped ? TRACE_LIST : MESSAGE_LIST);
    replace(table, list.element);
  }

  function read() {
    stream?.close();
    store = new RecordStore();
    page = { missed: 0, away: [], next: null, isRead: false, error: '' };
    setPaused(false);
    filter.tell('');
    const conditions = [...state.conditions, ...conditionsOf(state.range)];
    stream = openStream('/api/trace/records', {
      body: () => ({ filter: conditions, most: 500, ...(page.next && { after: page.next }) }),
      onPage(found) {
        store.add(found.records);
        page = { ...page, missed: page.missed + found.missed, away: found.away, next: found.next };
        schedule();
        if (!page.isRead && !found.more) settle();
      },
      onRefused(error) {
        page.error = error.message;
        page.isRead = true;
        page.isWrong = error.status === 400;
        if (page.isWrong) filter.tell(error.message);
        draw();
      },
    });
    draw();
  }

  function settle() {
    page.isRead = true;
    draw();
    announce(`${tally.textContent}, and what comes from now on`);
  }

  function schedule() {
    timer ??= setTimeout(
      () => {
        timer = null;
        draw();
      },
      shown.length === 0 ? 0 : SHOW_EVERY_MS,
    );
  }

  function draw() {
    const messages = store.messages();
    notices.show({ away: page.away, missed: page.missed, error: page.isWrong ? '' : page.error });
    if (isPaused) return say(tally, waiting(messages));
    shown = messages;
    const items = state.isGrouped ? RecordStore.traces(messages) : messages;
    const isEmpty = items.length === 0;
    table.hidden = isEmpty;
    empty.hidden = !isEmpty;
    list.setItems(items);
    say(tally, tallyOf(items.length));
    if (isEmpty) replace(empty, emptyNow());
    return undefined;
  }

  function tallyOf(length) {
    const what = state.isGrouped ? many(length, 'trace') : many(length, 'message');
    if (!page.isRead) return `${what} so far, reading …`;
    return store.dropped > 0 ? `the newest ${count(MOST_ROWS)} messages` : what;
  }

  function waiting(messages) {
    const newest = shown[0]?.at ?? 0;
    return `paused · ${many(messages.filter((row) => row.at > newest).length, 'newer message')}`;
  }

  function togglePause() {
    setPaused(!isPaused);
    draw();
    announce(isPaused ? 'paused' : 'live again');
  }

  function setPaused(paused) {
    isPaused = paused;
    pause.show(paused);
  }

  function emptyNow() {
    if (page.isWrong) return emptyState({ title: 'A condition cannot be understood', text: 'Choose it above to change it, or remove it.' });
    if (page.error) return emptyState({ title: 'The console does not tell', text: page.error });
    if (!page.isRead) return h('p', { class: 'quiet' }, 'Reading …');
    const actions = [];
    if (state.conditions.length > 0) actions.push(['Remove all conditions', () => setQuery({ q: '' })]);
    if (state.range.since !== 'all') actions.push(['Look at all that is kept', () => setQuery({ since: 'all', from: null, to: null })]);
    const text =
      state.conditions.length > 0
        ? 'No message fulfils all conditions in this time. What comes from now on appears by itself.'
        : 'Nothing has been sent in this time. Send a request to the gateway, such as GET /products: it appears here as it ends.';
    return emptyState({ title: 'No messages', text, actions });
  }

  return {
    update,
    close() {
      stream?.close();
      list?.close();
      clearTimeout(timer);
      unbind();
    },
  };
}
