// Light and dark: as the system says, until somebody chooses.

const KEY = 'essaim.theme';
const dark = matchMedia('(prefers-color-scheme: dark)');

/** @returns {'light' | 'dark'} what is seen now */
export function theme() {
  return document.documentElement.dataset.theme ?? (dark.matches ? 'dark' : 'light');
}

/** Changes to the other; back to what the system says if that is the same. */
export function toggleTheme() {
  const wanted = theme() === 'dark' ? 'light' : 'dark';
  const system = dark.matches ? 'dark' : 'light';
  try {
    if (wanted === system) localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, wanted);
  } catch {
    // It holds until the page is loaded anew.
  }
  if (wanted === system) delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = wanted;
  dispatchEvent(new Event('themechange'));
}
