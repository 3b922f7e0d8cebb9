// Server-sent events of a question, for as long as somebody reads. A stream that breaks begins again, where its last page ended.

import { ApiError, POST_HEADERS, ask } from './api.js';
import { report } from './connection.js';

const FIRST_PAUSE_MS = 400;
const LONGEST_PAUSE_MS = 5_000;
/** A stream that is this long without a word, not even a comment, is taken for dead: a laptop that slept is not told. */
const SILENCE_MS = 40_000;
/** For so long a stream that is away is only reconnecting. */
const OFFLINE_AFTER_MS = 12_000;

/**
 * Reads a stream until it is closed.
 * @param {string} path
 * @param {object} options
 * @param {() => object | null} options.body the question, made anew for each connection; `null`: a GET
 * @param {(page: any) => void} options.onPage
 * @param {(error: ApiError) => void} options.onRefused the server refuses the question: it is not asked again
 * @returns {{ close(): void }}
 */
export function openStream(path, { body = () => null, onPage, onRefused = () => {} }) {
  const stream = { isClosed: false, abort: null, wake: null };
  const close = () => {
    stream.isClosed = true;
    stream.abort?.abort();
    stream.wake?.();
    removeEventListener('online', wake);
    document.removeEventListener('visibilitychange', wake);
    report(stream, null);
  };
  const wake = () => stream.wake?.();
  addEventListener('online', wake);
  document.addEventListener('visibilitychange', wake);
  run(stream, path, body, onPage).catch((error) => {
    if (stream.isClosed) return;
    close();
    onRefused(error);
  });
  return { close };
}

async function run(stream, path, body, onPage) {
  let pause = FIRST_PAUSE_MS;
  let awaySince = performance.now();
  report(stream, 'reconnecting');
  while (!stream.isClosed) {
    let why = '';
    try {
      const question = body();
      await read(stream, path, question, (page) => {
        pause = FIRST_PAUSE_MS;
        awaySince = null;
        report(stream, 'live');
        onPage(page);
      });
    } catch (error) {
      if (stream.isClosed) return;
      if (error instanceof ApiError && error.status >= 400 && error.status < 500 && error.status !== 429) throw error;
      if (error instanceof ApiError) why = error.message;
      // What the page itself has done wrong is for the browser's console; the stream goes on.
      else if (error.name !== 'AbortError') console.error(error);
    }
    if (stream.isClosed) return;
    awaySince ??= performance.now();
    report(stream, performance.now() - awaySince > OFFLINE_AFTER_MS ? 'offline' : 'reconnecting', why);
    await sleep(stream, pause * (0.75 + Math.random() / 2));
    pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
  }
}

async function read(stream, path, question, onPage) {
  stream.abort = new AbortController();
  let watch = null;
  const heard = () => {
    clearTimeout(watch);
    watch = setTimeout(() => stream.abort.abort(), SILENCE_MS);
  };
  heard();
  try {
    const get = { headers: { accept: 'text/event-stream' }, signal: stream.abort.signal };
    const post = { ...get, method: 'POST', headers: { ...POST_HEADERS, ...get.headers }, body: JSON.stringify(question) };
    const response = await ask(path, question === null ? get : post);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const parse = eventParser(onPage);
    for (;;) {
      const { done, value } = await reader.read().catch(broken);
      if (done || stream.isClosed) return;
      heard();
      parse(value);
    }
  } finally {
    clearTimeout(watch);
  }
}

/** A stream that ends without an end. */
function broken(error) {
  throw error.name === 'AbortError' ? error : new ApiError(0, 'the connection to the console broke off');
}

/** A parser of the text of an event stream, in pieces: each event's data is JSON. */
export function eventParser(onPage) {
  let rest = '';
  let data = [];
  let name = '';
  return (piece) => {
    const lines = (rest + piece).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    for (const line of lines) {
      if (line === '') {
        if (data.length > 0) dispatch(name, data.join('\n'), onPage);
        data = [];
        name = '';
      } else if (line.startsWith('data:')) {
        data.push(line.slice(line[5] === ' ' ? 6 : 5));
      } else if (line.startsWith('event:')) {
        name = line.slice(6).trim();
      }
    }
  };
}

function dispatch(name, data, onPage) {
  const page = JSON.parse(data);
  if (name === 'error' || (page?.error && Object.keys(page).length === 1)) throw new ApiError(503, String(page?.error));
  onPage(page);
}

/** Waits, or less if the browser is online again or the page is looked at again. */
function sleep(stream, ms) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    stream.wake = () => {
      clearTimeout(timer);
      resolve();
    };
  }).finally(() => {
    stream.wake = null;
  });
}
