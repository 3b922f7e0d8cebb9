// One trace as a sequence diagram: who sends what to whom, across nodes, from top to bottom.

import { h, s } from './dom.js';
import { duration } from './format.js';

const FIRST_X = 72;
const HEAD = 14;
const STEP = 38;
const [MOST_NARROW, MOST_WIDE] = [150, 320];

/**
 * @param {{ participants: string[], steps: any[] }} all
 * @param {number} room pixels that there are beside each other
 */
export function sequence({ participants, steps }, room) {
  const gap = Math.max(MOST_NARROW, Math.min(MOST_WIDE, (room - FIRST_X - 232) / Math.max(1, participants.length - 1)));
  const x = (index) => FIRST_X + gap * index + 64;
  const width =
    x(participants.length - 1) + 110 + (steps.some(({ from, to }) => from === to && from === participants.length - 1) ? 120 : 0);
  const height = HEAD + steps.length * STEP + 24;
  const begin = steps[0]?.at_us ?? 0;
  const heads = h(
    'div',
    { class: 'sequence-heads', 'aria-hidden': 'true', style: { width: `${width}px` } },
    participants.map((name, index) => head(name, x(index), gap)),
  );
  const picture = s(
    'svg',
    { width, height, viewBox: `0 0 ${width} ${height}`, 'aria-hidden': 'true', class: 'sequence' },
    participants.map((_, index) => s('line', { class: 'lifeline', x1: x(index), x2: x(index), y1: 0, y2: height })),
    steps.map((step, index) => arrow(step, begin, x, HEAD + index * STEP + 20)),
  );
  return h(
    'div',
    { class: 'diagram' },
    h(
      'div',
      { class: 'scroll-both', tabindex: '0', role: 'region', 'aria-label': 'Sequence diagram' },
      heads,
      picture,
      inWords(participants, steps, begin),
    ),
    h(
      'p',
      { class: 'quiet diagram-key', 'aria-hidden': 'true' },
      '▶ asked and waited for · ▷ sent · dashed: the answer · ✕ it did not go well',
    ),
  );
}

function head(name, at, gap) {
  const [capability, node] = name.split(/@(?=[^@]*$)/);
  return h(
    'div',
    { class: 'sequence-head', style: { left: `${at}px`, 'max-width': `${gap - 16}px` }, title: name },
    h('b', null, capability),
    node && h('span', null, `@${node}`),
  );
}

function arrow(step, begin, x, y) {
  const [from, to] = [x(step.from), x(step.to)];
  const kind = `step${step.is_answer ? ' is-answer' : ''}${step.is_well ? '' : ' is-bad'}`;
  const time = s('text', { class: 'step-time', x: 72, y: y + 4, 'text-anchor': 'end' }, `+${duration(step.at_us - begin)}`);
  const text = fitted(step.text, (from === to ? 150 : Math.abs(to - from) - 20) * (step.is_well ? 1 : 0.85));
  if (from === to) {
    const path = `M${from} ${y - 6}h34v12h-26`;
    return s(
      'g',
      { class: kind },
      s('title', null, step.text),
      time,
      s('path', { class: 'shaft', d: path }),
      point(from + 8, y + 6, -1, step),
      s('text', { class: 'step-text', x: from + 42, y: y + 4 }, text),
    );
  }
  const way = Math.sign(to - from);
  const middle = (from + to) / 2;
  return s(
    'g',
    { class: kind },
    s('title', null, step.text),
    time,
    s('line', { class: 'shaft', x1: from, x2: to - way * 7, y1: y, y2: y }),
    point(to, y, way, step),
    s('text', { class: 'step-text', x: middle, y: y - 6, 'text-anchor': 'middle' }, text),
  );
}

/** As much of a text as there is room for, about; all of it is in the title. */
function fitted(text, room) {
  const most = Math.max(8, Math.floor(room / 6.6));
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

/** The head of an arrow: filled where somebody waits, open where nobody does, a cross where it did not go well. */
function point(x, y, way, { is_well: isWell, is_asked: isAsked, is_answer: isAnswer }) {
  const back = x - way * 9;
  if (!isWell) return s('path', { class: 'point-cross', d: `M${back} ${y - 5}L${x - way} ${y + 5}M${back} ${y + 5}L${x - way} ${y - 5}` });
  const isFilled = isAsked && !isAnswer;
  return s('path', {
    class: isFilled ? 'point-filled' : 'point-open',
    d: `M${back} ${y - 4.5}L${x} ${y}L${back} ${y + 4.5}${isFilled ? 'z' : ''}`,
  });
}

/** The same for who does not see it. */
function inWords(participants, steps, begin) {
  const words = (step) => {
    const verb = step.is_answer ? (step.is_well ? 'answers' : 'fails towards') : step.is_asked ? 'asks' : 'sends to';
    return `after ${duration(step.at_us - begin)}: ${participants[step.from]} ${verb} ${participants[step.to]}: ${step.text}`;
  };
  return h(
    'ol',
    { class: 'unseen', 'aria-label': 'The sequence in words' },
    steps.map((step) => h('li', null, words(step))),
  );
}
