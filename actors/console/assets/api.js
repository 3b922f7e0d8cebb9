// Questions to the server: JSON there and back, errors as text.

/** An answer that is an error, or none at all (`status` 0). */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Told when an answer says that nobody is logged in. */
const loggedOut = new EventTarget();

/** Calls back when an answer says that nobody is logged in. */
export function onLoggedOut(callback) {
  loggedOut.addEventListener('out', callback);
}

/** Every POST says that it comes from the console: a page elsewhere cannot have a browser send this header. */
export const POST_HEADERS = { 'content-type': 'application/json', 'x-essaim-console': '1' };

/** @returns {Promise<any>} the answer; throws an `ApiError` */
export function getJson(path, { signal } = {}) {
  return json(path, { signal });
}

/** @returns {Promise<any>} the answer; throws an `ApiError` */
export function postJson(path, body, { signal } = {}) {
  return json(path, { method: 'POST', headers: POST_HEADERS, body: JSON.stringify(body), signal });
}

async function json(path, options) {
  const response = await ask(path, options);
  const text = await response.text();
  try {
    return text === '' ? null : JSON.parse(text);
  } catch {
    throw new ApiError(response.status, 'the answer of the console is no JSON: is something in between?');
  }
}

/** The response, if it is none of an error; throws an `ApiError` otherwise. */
export async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, { credentials: 'same-origin', ...options });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ApiError(0, 'the console does not answer: its node may be down, or the network');
  }
  if (response.ok) return response;
  if (response.status === 401 && path !== '/api/login') loggedOut.dispatchEvent(new Event('out'));
  throw new ApiError(response.status, await reason(response));
}

async function reason(response) {
  const text = await response.text().catch(() => '');
  try {
    const { error, detail, title } = JSON.parse(text);
    return String(error ?? detail ?? title);
  } catch {
    // What the server's JSON reader says of a condition has the place in the question around it.
    return (
      text.trim().replace(/^Json deserialize error: (.*) at line \d+ column \d+$/s, '$1') ||
      `the console answers with status ${response.status}`
    );
  }
}
