// How tests look at a page: with the eyes of who sits in front of it.

window.look = {
  /** Whether somebody sees it. */
  isSeen(element) {
    return element.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && element.getClientRects().length > 0;
  },

  /** Whether that text can be seen; what is in a field counts. */
  sees(text) {
    const fields = [...document.querySelectorAll('input, textarea, select')].filter(look.isSeen).map((field) => field.value);
    return document.body.innerText.includes(text) || fields.some((value) => value.includes(text));
  },

  /** The first element of the selector that is seen and bears the text; `null` if there is none. */
  find(selector, text) {
    const bears = (element) => element.innerText?.includes(text) || element.getAttribute('aria-label')?.includes(text);
    return [...document.querySelectorAll(selector)].find((one) => look.isSeen(one) && (text === '' || bears(one))) ?? null;
  },

  /** Elements that make the page wider than the window. */
  tooWide() {
    const [width, wide] = [document.documentElement.clientWidth, []];
    if (document.documentElement.scrollWidth > width) wide.push(`the page: ${document.documentElement.scrollWidth} > ${width}`);
    for (const one of document.querySelectorAll('body, header, nav, main, main > *'))
      if (one.scrollWidth > one.clientWidth + 1 && !/^inline/.test(getComputedStyle(one).display) && one.clientWidth > 0) {
        if (one.tagName !== 'NAV') wide.push(`${one.tagName} ${one.className}: ${one.scrollWidth} > ${one.clientWidth}`);
      }
    return wide;
  },

  /** Pairs of elements of the selector that lie over each other. */
  covered(selector) {
    const all = [...document.querySelectorAll(selector)].filter(look.isSeen).map((one) => one.getBoundingClientRect());
    const covers = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
    return all.flatMap((a, at) => all.slice(at + 1).filter((b) => covers(a, b)).map((b) => [a.x, a.y, b.x, b.y].map(Math.round)));
  },

  /** What came from outside and became markup. */
  injected: () => [...document.querySelectorAll('img, iframe, object, embed, body script, [onerror], [onload], [onclick]')].map((one) => one.outerHTML),
};
