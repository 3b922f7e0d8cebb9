// The log lines of one trace, in the order of their moments.

import { postJson } from './api.js';
import { createNotices, emptyState } from './bits.js';
import { h, replace } from './dom.js';
import { levelMark, lineText, lineTime } from './log-line.js';
import { address } from './router.js';

/** Bounded by this many pages. */
const MOST_PAGES = 10;

export function traceLogs(traceId) {
  const element = h('div', { class: 'trace-logs' }, h('p', { class: 'quiet', role: 'status' }, 'Reading the log lines of all nodes …'));
  read(traceId).then(
    (found) => draw(element, traceId, found),
    (error) => replace(element, emptyState({ title: 'The log lines could not be read', text: error.message })),
  );
  return element;
}

async function read(traceId) {
  const lines = [];
  let page = { next: {}, missed: 0 };
  for (let pages = 0; pages < MOST_PAGES; pages += 1) {
    page = await postJson('/api/logs/find', { filter: [`trace=${traceId}`], after: page.next });
    lines.push(...page.lines);
    if (!page.more) break;
  }
  return { ...page, lines };
}

function draw(element, traceId, { lines, away, missed, more }) {
  const notices = createNotices();
  notices.show({ away, missed, thing: 'line' });
  if (lines.length === 0) {
    return replace(
      element,
      notices.element,
      emptyState({
        title: 'No log lines',
        text: 'Nodes keep their last lines in memory: those of this trace are gone, or its handlers wrote none that the log filter lets through. With log.filter at essaim=debug each handler writes one.',
      }),
    );
  }
  const row = (line) =>
    h(
      'tr',
      null,
      h('td', null, lineTime(line)),
      h('td', null, levelMark(line.level)),
      h('td', null, line.node),
      h('td', null, line.capability ?? ''),
      h('td', { class: 'wide' }, lineText(line)),
    );
  return replace(
    element,
    notices.element,
    h(
      'div',
      { class: 'scroll-x', tabindex: '0', role: 'region', 'aria-label': 'Log lines' },
      h(
        'table',
        { class: 'log-table' },
        h(
          'thead',
          null,
          h(
            'tr',
            null,
            ['Time', 'Level', 'Node', 'Capability', 'Line'].map((text) => h('th', { scope: 'col' }, text)),
          ),
        ),
        h('tbody', null, lines.map(row)),
      ),
    ),
    h(
      'p',
      { class: 'quiet' },
      more && 'There are more. ',
      h('a', { href: address('/logs', { q: `trace=${traceId}` }) }, 'All of them, live'),
    ),
  );
}
