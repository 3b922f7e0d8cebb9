// Asks again and again, for as long as somebody looks.

/**
 * @template Found
 * @param {{
 *   ask: (signal: AbortSignal) => Promise<Found>,
 *   draw: (found: Found) => void,
 *   failed: (error: Error) => void,
 *   everyMs: number,
 * }} poll
 */
export function createPoll({ ask, draw, failed, everyMs }) {
  let asking = new AbortController();
  let timer = null;

  /** Asks now, whatever is under way. */
  async function read() {
    asking.abort();
    clearTimeout(timer);
    asking = new AbortController();
    const { signal } = asking;
    try {
      draw(await ask(signal));
    } catch (error) {
      if (error.name === 'AbortError') return;
      failed(error);
    }
    if (!signal.aborted) timer = setTimeout(read, everyMs);
  }

  return {
    read,
    close() {
      asking.abort();
      clearTimeout(timer);
    },
  };
}
