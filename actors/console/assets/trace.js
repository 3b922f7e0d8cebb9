// One trace: as waterfall, sequence diagram, overview graph and log lines; and in sentences where something was slow or stuck.

import { announce } from './announce.js';
import { getJson } from './api.js';
import { copyButton, createNotices, emptyState, outcomeMark, shortId } from './bits.js';
import { h, replace, withCode } from './dom.js';
import { duration, graver, many, moment, utc } from './format.js';
import { overviewGraph } from './graph.js';
import { bindAll } from './keys.js';
import { address, go, lastAddress, query as currentQuery, setQuery } from './router.js';
import { sequence } from './sequence.js';
import { extent, lastAttempts, outcomeOfSpan, recordOf } from './spans.js';
import { openStream } from './stream.js';
import { createTabs } from './tabs.js';
import { traceLogs } from './trace-logs.js';
import { viewOf } from './views.js';
import { waterfall } from './waterfall.js';

const TABS = ['waterfall', 'sequence', 'graph', 'logs'];

export function show(main, { id }) {
  document.title = `Trace ${id} · Essaim`;
  const view = h('div', { class: 'view view-trace' }, h('p', { class: 'quiet', role: 'status' }, 'Reading the trace …'));
  main.append(view);
  let known = null;
  let shown = null;
  let tabs = null;
  let stream = null;
  const whyPlace = h('div');
  const asking = new AbortController();
  const unbind = bindAll(
    [
      ...TABS.map((name, at) => [String(at + 1), `${name[0].toUpperCase()}${name.slice(1)}`, () => setQuery({ tab: name })]),
      ['r', 'Read again', read],
      ['u', 'Back to the list', () => go(lastAddress('traces', viewOf('traces').href))],
      ['j', 'Next message', () => step(1)],
      ['k', 'Message before', () => step(-1)],
    ],
    'Trace',
  );
  read();

  async function read() {
    try {
      known = await getJson(`/api/traces/${encodeURIComponent(id)}`, { signal: asking.signal });
    } catch (error) {
      if (error.name !== 'AbortError')
        replace(
          view,
          heading(`Trace of ${id}`),
          emptyState({ title: 'The trace could not be read', text: error.message, actions: [['Read again', read]] }),
        );
      return;
    }
    shown = null;
    draw(currentQuery());
    follow();
  }

  /** What is not done yet is shown as it goes on. */
  function follow() {
    stream?.close();
    stream = null;
    if (!known.unfinished) return;
    stream = openStream(`/api/traces/${encodeURIComponent(id)}`, {
      onPage(found) {
        const isSame = JSON.stringify(found.traces) === JSON.stringify(known.traces);
        known = found;
        if (found.ended) stream.close();
        if (isSame) return replace(whyPlace, why());
        shown = null;
        announce(`${many(known.traces.reduce((sum, one) => sum + one.tree.spans.length, 0), 'message')} now`);
        return draw(currentQuery());
      },
    });
  }

  function draw(now) {
    const { traces } = known;
    const trace = traces.find((one) => traceId(one) === now.get('trace')) ?? traces[0];
    if (!trace || trace.tree.spans.length === 0) return replace(view, heading(`Trace of ${id}`), noticesOf(), replace(whyPlace, why()), nothing());
    if (trace !== shown) frame(trace);
    const tab = TABS.includes(now.get('tab')) ? now.get('tab') : TABS[0];
    tabs.show(tab, trace !== shown);
    shown = trace;
    return undefined;
  }

  function frame(trace) {
    const { spans } = trace.tree;
    tabs = createTabs(
      'Ways to look at the trace',
      [
        ['waterfall', 'Waterfall', () => waterfall(spans, currentQuery().get('span'), (span) => setQuery({ span }, { replace: true }))],
        ['sequence', 'Sequence', () => sequence(trace.steps, view.clientWidth)],
        ['graph', 'Overview', () => overviewGraph(trace.graph)],
        ['logs', 'Log lines', () => traceLogs(traceId(trace))],
      ],
      (tab) => setQuery({ tab }),
    );
    replace(view, summary(trace), others(trace), noticesOf(), replace(whyPlace, why()), h('div', { class: 'tab-line' }, tabs.list, tools(trace)), tabs.panel);
    view.querySelector('.span-row.is-open')?.scrollIntoView({ block: 'nearest' });
  }

  function summary(trace) {
    const { spans } = trace.tree;
    const { begin, end } = extent(spans);
    const nodes = [...new Set(spans.flatMap((span) => [span.handled?.node, span.sent?.node]).filter(Boolean))].sort();
    const outcome = lastAttempts(spans)
      .map(outcomeOfSpan)
      .map((name) => (name === 'sent' ? 'ok' : name))
      .reduce(graver, 'ok');
    const key = spans.map((span) => recordOf(span).key).find(Boolean);
    const fact = (name, ...value) => h('div', null, h('dt', null, name), h('dd', null, value));
    document.title = `${recordOf(spans[0]).name} · Essaim`;
    return [
      heading(recordOf(spans[0]).name),
      h(
        'dl',
        { class: 'facts' },
        fact('took', duration(end - begin)),
        fact('outcome', outcomeMark(outcome)),
        fact('messages', String(spans.length)),
        fact(nodes.length === 1 ? 'node' : 'nodes', nodes.join(', ')),
        fact('began', h('time', { datetime: utc(begin), title: utc(begin) }, moment(begin))),
        key &&
          fact(
            'key',
            h(
              'a',
              { href: address('/traces', { q: `key=${key}`, since: 'all' }), title: `All messages with the key ${key}` },
              shortId(key),
            ),
          ),
        fact('trace', h('span', { class: 'id' }, traceId(trace))),
      ),
    ];
  }

  /** A key may belong to several traces. */
  function others(trace) {
    if (known.traces.length < 2) return null;
    const option = (one) =>
      h(
        'option',
        { value: traceId(one) },
        `${moment(extent(one.tree.spans).begin)} · ${recordOf(one.tree.spans[0]).name} · ${many(one.tree.spans.length, 'message')}`,
      );
    const choice = h(
      'select',
      { class: 'input', onchange: () => setQuery({ trace: choice.value, span: null }) },
      known.traces.filter((one) => one.tree.spans.length > 0).map(option),
    );
    choice.value = traceId(trace);
    return h('label', { class: 'others' }, `${id} belongs to ${many(known.traces.length, 'trace')}, the latest first:`, choice);
  }

  function noticesOf() {
    const notices = createNotices();
    notices.show({ away: known.away });
    return notices.element;
  }

  function why() {
    if (known.why.length === 0) return null;
    return h(
      'section',
      { class: 'why', 'aria-label': 'Why it is slow or stuck' },
      h('h2', null, 'Why'),
      h(
        'ul',
        null,
        known.why.map((sentence) => h('li', null, withCode(sentence, linkOf))),
      ),
    );
  }

  function tools(trace) {
    const otlp = `/api/traces/${encodeURIComponent(traceId(trace))}/otlp`;
    return h(
      'div',
      { class: 'tools' },
      copyButton('Copy link', () => location.href),
      copyButton('Copy Mermaid', trace.mermaid),
      h('a', { class: 'button', href: otlp, download: `trace-${traceId(trace)}.json` }, 'OTLP JSON'),
      h('button', { class: 'button', type: 'button', onclick: read }, 'Read again'),
    );
  }

  function nothing() {
    return emptyState({
      title: 'Nothing is known of it',
      text: 'No node has a record with this trace id, message id or key. It may be older than what is kept, in a trace that was not sampled, or never have come here. Check the id, and that no node is away.',
      actions: [
        ['Read again', read],
        ['Look into the log lines', () => go(address('/logs', { q: `text~${id}` }))],
      ],
    });
  }

  function step(by) {
    const rows = [...view.querySelectorAll('.tree-name')];
    const at = rows.indexOf(document.activeElement);
    rows[at < 0 ? 0 : Math.max(0, Math.min(rows.length - 1, at + by))]?.focus();
  }

  return {
    update: (now) => known && draw(now),
    close() {
      asking.abort();
      stream?.close();
      unbind();
    },
  };
}

function heading(text) {
  const back = lastAddress('traces', viewOf('traces').href);
  return h(
    'div',
    { class: 'view-head' },
    h('a', { class: 'back', href: back }, h('span', { 'aria-hidden': 'true' }, '‹ '), 'Traces'),
    h('h1', { class: 'trace-title' }, text),
  );
}

/** Where the command that a sentence names has its page. */
function linkOf(code) {
  const [, letter] = /^essaim dead show (\S+)$/.exec(code) ?? [];
  if (letter) return `/dead/${encodeURIComponent(letter)}`;
  return /^essaim parked retry /.test(code) ? '/parked' : null;
}

function traceId({ tree }) {
  return tree.spans.length > 0 ? recordOf(tree.spans[0]).trace : '';
}
