// The page for who is not logged in. The address stays what it was, so that a deep link leads to its view afterwards.

import { postJson } from './api.js';
import { h, replace, say } from './dom.js';
import { mark } from './shell.js';

/** Shows it; calls back with who has come in. */
export function showLogin(onEntered) {
  document.title = 'Log in · Essaim';
  const error = h('p', { class: 'form-error', role: 'alert', id: 'login-error' });
  const email = field('Email', { type: 'email', name: 'email', autocomplete: 'username', required: true });
  const password = field('Password', { type: 'password', name: 'password', autocomplete: 'current-password', required: true });
  const button = h('button', { class: 'button button-main', type: 'submit' }, 'Log in');
  const form = h(
    'form',
    { class: 'login', onsubmit: submit },
    h('h1', null, mark(), 'Essaim'),
    h('p', { class: 'quiet' }, 'The operators’ console. Administrators only.'),
    email.label,
    password.label,
    error,
    button,
  );
  replace(document.body, h('main', { class: 'alone' }, form));
  email.input.focus();

  async function submit(event) {
    event.preventDefault();
    say(error, '');
    button.disabled = true;
    try {
      onEntered(await postJson('/api/login', { email: email.input.value, password: password.input.value }));
    } catch (refused) {
      button.disabled = false;
      say(error, words(refused));
      password.input.select();
      password.input.focus();
    }
  }
}

function field(name, attributes) {
  const input = h('input', { class: 'input', 'aria-describedby': 'login-error', ...attributes });
  return { input, label: h('label', { class: 'field' }, h('span', null, name), input) };
}

function words(error) {
  const reasons = {
    401: 'Email or password is wrong.',
    403: 'This account is not an administrator’s.',
    // It says for how long.
    429: error.message,
  };
  const known = reasons[error.status];
  return known ?? `Nobody can log in now: ${error.message}`;
}
