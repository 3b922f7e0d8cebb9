// Rules of accessibility, those that tell most: `rules.broken()` says which the page that is shown breaks, one line each. They follow
// WCAG 2.2 AA and what assistive technology needs of ARIA.

window.rules = (() => {
  const TAKES_FOCUS = 'a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex]';
  const ACTS = 'a[href], button, input, select, textarea, summary, [role=button], [role=link], [role=tab], [role=option]';
  /** A role, and those around it of which one must be. */
  const WITHIN = {
    tab: ['tablist'],
    option: ['listbox'],
    row: ['table', 'grid', 'treegrid', 'rowgroup'],
    cell: ['row'],
    columnheader: ['row'],
    rowgroup: ['table', 'grid', 'treegrid'],
    listitem: ['list'],
    menuitem: ['menu', 'menubar'],
    treeitem: ['tree', 'group'],
  };
  const ROLES = new Set(
    ('alert alertdialog application article banner button cell checkbox columnheader combobox complementary contentinfo dialog ' +
      'document figure form grid gridcell group heading img link list listbox listitem log main marquee math menu menubar menuitem ' +
      'meter navigation none note option presentation progressbar radio radiogroup region row rowgroup rowheader scrollbar search ' +
      'searchbox separator slider spinbutton status switch tab table tablist tabpanel term textbox timer toolbar tooltip tree ' +
      'treegrid treeitem').split(' '),
  );
  const POINTING = ['aria-labelledby', 'aria-describedby', 'aria-controls', 'aria-owns', 'aria-activedescendant'];

  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const isSeen = (element) => look.isSeen(element);
  /** For who listens: not hidden from them, whether it is seen or not. */
  const isHeard = (element) => element.checkVisibility({ visibilityProperty: true }) && !element.closest('[aria-hidden=true]');
  const shown = (element) => {
    const text = element.cloneNode(false).outerHTML.replace(/<\/.*$/, '');
    return `${text.slice(0, 140)} ${(element.textContent ?? '').trim().slice(0, 40)}`;
  };

  /** The accessible name, by and large. */
  function nameOf(element) {
    const by = (element.getAttribute('aria-labelledby') ?? '').split(/\s+/).filter(Boolean);
    const pointed = by.map((id) => document.getElementById(id)?.textContent ?? '').join(' ').trim();
    const labels = [...(element.labels ?? [])].map((label) => heardText(label, element)).join(' ').trim();
    return (
      pointed || element.getAttribute('aria-label')?.trim() || labels || element.alt?.trim() || heardText(element) || element.title?.trim() || ''
    );
  }

  function heardText(element, except) {
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(element.tagName)) return '';
    const parts = [...element.childNodes].map((node) => {
      if (node.nodeType === Node.TEXT_NODE) return node.data;
      if (node.nodeType !== Node.ELEMENT_NODE || node === except || node.getAttribute('aria-hidden') === 'true') return '';
      return node.getAttribute('aria-label') ?? (node.tagName === 'title' ? node.textContent : heardText(node, except));
    });
    return parts.join('').trim();
  }

  function* page() {
    if (!document.documentElement.lang) yield 'the page has no language';
    if (!document.title.trim()) yield 'the page has no title';
    if (/user-scalable\s*=\s*no|maximum-scale/.test(document.querySelector('meta[name=viewport]')?.content)) yield 'nobody can zoom';
    const mains = all('main, [role=main]').filter(isHeard);
    if (mains.length !== 1) yield `there are ${mains.length} main parts`;
    const ids = all('[id]').map((element) => element.id);
    for (const id of new Set(ids.filter((one, at) => ids.indexOf(one) !== at))) yield `the id \`${id}\` is there twice`;
  }

  function* headings() {
    const levels = all('h1, h2, h3, h4, h5, h6, [role=heading]').filter(isHeard);
    const level = (element) => Number(element.getAttribute('aria-level') ?? element.tagName[1]);
    const first = levels.filter((one) => level(one) === 1);
    if (first.length !== 1) yield `there are ${first.length} headings of the first level`;
    levels.forEach((one, at) => {
      one.before = at === 0 ? 0 : level(levels[at - 1]);
    });
    for (const one of levels) {
      if (level(one) > one.before + 1) yield `a heading skips a level: ${shown(one)}`;
      if (!one.textContent.trim()) yield `a heading says nothing: ${shown(one)}`;
    }
  }

  function* names() {
    const named = `${ACTS}, [role=dialog], dialog, [role=img], [role=region], [role=listbox], [role=tablist], [role=table], [role=combobox], nav, th, img`;
    for (const one of all(named).filter(isHeard)) if (!nameOf(one)) yield `it has no name: ${shown(one)}`;
    for (const one of all('svg').filter(isHeard))
      if (!one.closest(ACTS) && !nameOf(one)) yield `a picture has neither a name nor is it hidden: ${shown(one)}`;
    // What is read on it must be in what it is called, or nobody can say it to the machine.
    for (const one of all('a[href][aria-label], button[aria-label]').filter(isHeard)) {
      const seen = one.innerText.trim().toLowerCase();
      if (/[a-z]{2}/.test(seen) && !nameOf(one).toLowerCase().includes(seen)) yield `it is called otherwise than it reads: ${shown(one)}`;
    }
  }

  function* roles() {
    for (const one of all('[role]')) {
      const role = one.getAttribute('role');
      if (!ROLES.has(role)) yield `no such role: ${shown(one)}`;
      if (!WITHIN[role] || !isHeard(one)) continue;
      let around = one.parentElement;
      while (around && /^(presentation|none|null)$/.test(String(around.getAttribute('role')))) around = around.parentElement;
      if (!WITHIN[role].includes(around?.getAttribute('role'))) yield `a ${role} stands outside of ${WITHIN[role]}: ${shown(one)}`;
    }
    for (const name of POINTING)
      for (const one of all(`[${name}]`).filter(isHeard))
        for (const id of one.getAttribute(name).split(/\s+/).filter(Boolean))
          if (!document.getElementById(id)) yield `${name} points at nothing: ${shown(one)}`;
    for (const one of all('ul, ol').filter(isHeard))
      for (const child of one.children) if (!/^(LI|SCRIPT|TEMPLATE)$/.test(child.tagName)) yield `a list has something else: ${shown(child)}`;
    for (const one of all('li').filter(isHeard)) if (!one.parentElement.matches('ul, ol, menu')) yield `an item has no list: ${shown(one)}`;
    for (const one of all('dt, dd').filter(isHeard)) if (!one.closest('dl')) yield `a term has no list: ${shown(one)}`;
  }

  function* focus() {
    for (const one of all(TAKES_FOCUS)) {
      if (one.tabIndex > 0) yield `it jumps the queue of the focus: ${shown(one)}`;
      if (one.closest('[aria-hidden=true]') && one.tabIndex >= 0 && one.checkVisibility()) yield `it takes the focus, and is hidden from who listens: ${shown(one)}`;
      if (one.matches('a[href], button') && one.parentElement.closest('a[href], button')) yield `one acts within another: ${shown(one)}`;
    }
    for (const one of all('body *').filter(isSeen)) {
      const style = getComputedStyle(one);
      const scrolls = (overflow, has, room) => /auto|scroll/.test(overflow) && has > room + 1;
      if (!scrolls(style.overflowX, one.scrollWidth, one.clientWidth) && !scrolls(style.overflowY, one.scrollHeight, one.clientHeight)) continue;
      if (one.tabIndex < 0 && !one.matches('textarea') && !all(TAKES_FOCUS, one).some((inner) => inner.tabIndex >= 0 && isSeen(inner)))
        yield `nobody can scroll it by the keyboard: ${shown(one)}`;
    }
  }

  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  /** Any colour of CSS as red, green, blue and alpha. */
  function rgba(colour) {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [red, green, blue, alpha] = canvas.getImageData(0, 0, 1, 1).data;
    return [red, green, blue, alpha / 255];
  }
  const over = (top, below) => [0, 1, 2].map((at) => top[at] * top[3] + below[at] * (1 - top[3]));
  function behind(element) {
    const layers = [];
    for (let one = element; one; one = one.parentElement) {
      const style = getComputedStyle(one);
      if (style.backgroundImage !== 'none') return null;
      const layer = rgba(style.backgroundColor);
      layers.push(layer);
      if (layer[3] === 1) break;
      if (one.matches('dialog') || style.position === 'fixed') continue;
    }
    const page = rgba(getComputedStyle(document.documentElement).backgroundColor);
    return layers.reverse().reduce((below, layer) => over(layer, below), page[3] === 1 ? page : [255, 255, 255]);
  }
  function light(colour) {
    const [red, green, blue] = colour.map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  }

  /** How much the text of an element stands out, from 1 to 21; `null` where that cannot be told. */
  function contrast(element) {
    const ground = behind(element);
    if (ground === null) return null;
    const style = getComputedStyle(element);
    let opacity = 1;
    for (let one = element; one; one = one.parentElement) opacity *= Number(getComputedStyle(one).opacity);
    const ink = rgba(element instanceof SVGElement ? style.fill : style.color);
    const [a, b] = [light(over([...ink.slice(0, 3), ink[3] * opacity], ground)), light(ground)];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  }

  function* contrasts() {
    const texts = all('body *').filter((one) => [...one.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim()));
    const told = new Set();
    for (const one of texts.filter((text) => isSeen(text) && !text.closest(':disabled, .unseen, noscript, option, title'))) {
      const style = getComputedStyle(one);
      const size = parseFloat(style.fontSize);
      const least = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
      const ratio = contrast(one);
      const kind = `${one.tagName}.${one.className?.baseVal ?? one.className}`;
      if (ratio === null || ratio >= least - 0.01 || told.has(kind)) continue;
      told.add(kind);
      yield `its text does not stand out (${ratio.toFixed(2)}, wanted ${least}): ${shown(one)}`;
    }
  }

  return {
    contrast,
    /** How light it is behind an element, from 0 to 1. */
    ground: (element) => light(behind(element)),
    /** Whether somebody sees that the element with the focus has it. */
    focusIsShown() {
      const style = getComputedStyle(document.activeElement);
      const around = document.activeElement.parentElement && getComputedStyle(document.activeElement.parentElement);
      const isOutlined = ({ outlineStyle, outlineWidth }) => outlineStyle !== 'none' && parseFloat(outlineWidth) >= 1;
      return document.activeElement !== document.body && (isOutlined(style) || isOutlined(around));
    },
    broken: () => [page, headings, names, roles, focus, contrasts].flatMap((rule) => [...rule()]),
  };
})();
