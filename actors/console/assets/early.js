// Runs before the page is painted, so that a theme that somebody has chosen does not come as a flash.
(() => {
  try {
    const theme = localStorage.getItem('essaim.theme');
    if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
  } catch {
    // A browser that stores nothing follows the system.
  }
})();
