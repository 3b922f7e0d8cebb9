// Where the console begins: who is here, then the login page or the shell around the views.

import { getJson, onLoggedOut } from './api.js';
import { h, replace } from './dom.js';
import { startKeys } from './keys.js';
import { showLogin } from './login.js';
import { showShell } from './shell.js';

let isIn = false;

async function begin() {
  let me;
  try {
    me = await getJson('/api/me');
  } catch (error) {
    return failed(error);
  }
  if (me.user || me.open) enter(me);
  else showLogin(enter);
}

function enter(me) {
  isIn = true;
  showShell(me);
}

function failed(error) {
  const again = h('button', { class: 'button', type: 'button', onclick: () => location.reload() }, 'Try again');
  replace(document.body, h('main', { class: 'alone' }, h('h1', null, 'The console does not answer'), h('p', null, error.message), again));
}

startKeys();
// A session that ends while the page is open: the address stays, so that the login leads back to it.
onLoggedOut(() => {
  if (isIn) location.reload();
});
begin();
