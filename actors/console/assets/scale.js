// The time axis of a waterfall. Where nobody did anything for long, such as between two attempts, the axis is cut: what took milliseconds
// would be too small to see beside the seconds of waiting.

import { duration } from './format.js';
import { axisStep, beginOf, extent, partsOf, recordOf } from './spans.js';

/** A time without work is cut if it is so much longer than all work together. */
const LONG = 2;
/** Bounded by so many cuts: the longest. */
const MOST_CUTS = 8;
/** Percent of the width that a cut takes. */
const CUT = 6;
const MARKS = 5;
/** Percent that marks are apart at least, and where the last one may stand, so that their words have room. */
const APART = 21;
const LAST = 80;

/** @typedef {{ begin: number, x: (us: number) => number, marks: { x: number, text: string }[], cuts: { x: number }[] }} Scale */

/** The axis for these messages; `x` is in percent. @returns {Scale} */
export function timeScale(spans) {
  const { begin, end } = extent(spans);
  const cuts = idleTimes(spans, begin);
  const shown = end - begin - cuts.reduce((sum, { from, to }) => sum + to - from, 0);
  const perUs = (100 - CUT * cuts.length) / shown;
  const x = (us) => {
    let at = Math.max(0, Math.min(us, end) - begin) * perUs;
    for (const { from, to } of cuts) {
      if (us >= to) at += CUT - (to - from) * perUs;
      else if (us > from) at += (CUT * (us - from)) / (to - from) - (us - from) * perUs;
    }
    return at;
  };
  return {
    begin,
    x,
    marks: marksOf({ begin, end, shown, cuts }, x),
    cuts: cuts.map(({ from }) => ({ x: x(from) })),
  };
}

/** Times in which no message waited in a queue or was worked on; what lies in a log or is parked only waits. */
function idleTimes(spans, begin) {
  const busy = spans.flatMap(busyTimes).sort((a, b) => a.from - b.from);
  const idle = [];
  let [until, work] = [begin, 0];
  for (const { from, to } of busy) {
    if (from > until) idle.push({ from: until, to: from });
    work += Math.max(0, to - Math.max(from, until));
    until = Math.max(until, to);
  }
  const length = ({ from, to }) => to - from;
  const long = idle.filter((one) => length(one) > LONG * Math.max(work, 1)).sort((a, b) => length(b) - length(a));
  return long.slice(0, MOST_CUTS).sort((a, b) => a.from - b.from);
}

function busyTimes(span) {
  const isStored = recordOf(span).id !== undefined;
  const parts = partsOf(span).filter(({ part }) => part !== 'wire' || !isStored);
  const begin = beginOf(span);
  return [{ from: begin, to: begin }, ...parts];
}

function marksOf({ begin, end, shown, cuts }, x) {
  const step = Math.max(1, axisStep(shown, MARKS));
  const isCut = (us) => cuts.some(({ from, to }) => us > from && us < to);
  const marks = [{ x: 0, text: '0' }];
  const stretches = [begin, ...cuts.map(({ to }) => to)].map((from, at) => ({ from, to: cuts[at]?.from ?? end }));
  for (const { from, to } of stretches) {
    for (let at = Math.ceil((from - begin) / step) * step; begin + at <= to; at += step) {
      const place = x(begin + at);
      if (!isCut(begin + at) && place - marks.at(-1).x >= APART && place <= LAST) marks.push({ x: place, text: duration(at) });
    }
  }
  return marks;
}

/** The axis as a background: a line for each mark, a band for each cut. */
export function gridOf({ marks, cuts }) {
  const lines = marks.map(({ x }) => ({ from: `${x}%`, to: `calc(${x}% + 1px)`, at: x }));
  const bands = cuts.map(({ x }) => ({ from: `${x}%`, to: `${x + CUT}%`, at: x }));
  const stops = [...lines, ...bands]
    .sort((a, b) => a.at - b.at)
    .map(({ from, to }) => `transparent ${from}, var(--line) ${from} ${to}, transparent ${to}`);
  return `linear-gradient(to right, ${stops.join(', ')})`;
}
