// The arrows of the topology: how they run between boxes, and where their words find room.

/** @typedef {import('./arrange.js').Box} Box */

const BULGE = 44;
const LABEL = { height: 17, letter: 6.4, margin: 10 };
/** Where along an arrow its words may stand, the best first. */
const PLACES = [0.5, 0.4, 0.6, 0.3, 0.7, 0.22, 0.78];
/** Above or below it, where there is no room on it. */
const ASIDE = [0, -20, 20, -40, 40, -60, 60];
/** Words keep so far from others. */
const APART = 2;

/**
 * @template T
 * @param {{ link: T, from: Box, to: Box, words: string }[]} ends
 * @param {Box[]} boxes what words must not cover
 * @returns {{ link: T, path: string, head: string, label: Box, middle: [number, number] }[]}
 */
export function route(ends, boxes) {
  const sides = ends.map(({ from, to }) => sidesOf(from, to));
  const ports = spreadPorts(ends, sides);
  const taken = [...boxes];
  return ends.map(({ link, words }, at) => {
    const curve = curveOf(ports[at], sides[at]);
    const label = labelAt(curve, words.length * LABEL.letter + LABEL.margin, taken);
    taken.push(label);
    return { link, ...drawn(curve), label };
  });
}

/** At which side an arrow leaves and enters: 1 is the right one. */
function sidesOf(from, to) {
  if (to.x >= from.x + from.width - 1) return [1, -1];
  if (from.x >= to.x + to.width - 1) return [-1, 1];
  return [1, 1];
}

/** Those that meet at one side of a box do not meet in one point. */
function spreadPorts(ends, sides) {
  const middle = (box) => box.y + box.height / 2;
  const bySide = new Map();
  ends.forEach(({ from, to }, at) => {
    for (const [end, box, other] of [
      [0, from, to],
      [1, to, from],
    ]) {
      const key = `${box.x} ${box.y} ${sides[at][end]}`;
      bySide.set(key, [...(bySide.get(key) ?? []), { at, end, box, other: middle(other) }]);
    }
  });
  const ports = ends.map(() => [null, null]);
  for (const all of bySide.values()) {
    all.sort((a, b) => a.other - b.other || a.end - b.end);
    all.forEach(({ at, end, box }, index) => {
      const x = sides[at][end] > 0 ? box.x + box.width : box.x;
      ports[at][end] = [x, box.y + (box.height * (index + 1)) / (all.length + 1)];
    });
  }
  return ports;
}

function curveOf([a, b], [out, into]) {
  const by = out === into ? BULGE + Math.abs(a[1] - b[1]) / 8 : Math.max(28, Math.abs(b[0] - a[0]) / 2);
  return [a, [a[0] + out * by, a[1]], [b[0] + into * by, b[1]], b];
}

function pointAt([a, b, c, d], t) {
  const u = 1 - t;
  const of = (i) => u * u * u * a[i] + 3 * u * u * t * b[i] + 3 * u * t * t * c[i] + t * t * t * d[i];
  return [of(0), of(1)];
}

function drawn(curve) {
  const [a, b, c, d] = curve;
  const towards = Math.sign(d[0] - c[0]) || 1;
  const [x, y] = d;
  return {
    path: `M${a} C${b} ${c} ${[x - towards * 6, y]}`,
    head: `M${x} ${y}l${-towards * 9} -5v10z`,
    middle: pointAt(curve, 0.5),
  };
}

function labelAt(curve, width, taken) {
  const boxAt = (t, aside) => {
    const [x, y] = pointAt(curve, t);
    return { x: x - width / 2, y: y - LABEL.height / 2 + aside, width, height: LABEL.height };
  };
  const all = ASIDE.flatMap((aside) => PLACES.map((t) => boxAt(t, aside)));
  const free = (box, far) => !taken.some((other) => covers(box, other, far));
  return all.find((box) => free(box, APART)) ?? all.find((box) => free(box, 0)) ?? all[0];
}

function covers(a, b, far) {
  return a.x < b.x + b.width + far && b.x < a.x + a.width + far && a.y < b.y + b.height + far && b.y < a.y + a.height + far;
}
