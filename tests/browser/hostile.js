// Has every answer of the server be hostile: each text in it that a page shows, wherever it came from, ends with markup that would do
// harm. What pages decide by (states, moments, ids that they ask for again) stays as it is.

(() => {
  const TEXT = `"><img src=x onerror="window.isHarmed=1"><script>window.isHarmed=1</script>`;
  const KEPT = new Set(
    'half kind outcome state level next after trace span parent id link at at_us since from to shape node capability kept_by open value source'.split(' '),
  );

  function hostile(value, name) {
    if (typeof value === 'string') return KEPT.has(name) ? value : value + TEXT;
    if (Array.isArray(value)) return value.map((one) => hostile(one, name));
    if (value === null || typeof value !== 'object') return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, hostile(inner, key)]));
  }

  const line = (text) => (text.startsWith('data:') ? `data: ${JSON.stringify(hostile(JSON.parse(text.slice(5))))}` : text);

  function lines() {
    let rest = '';
    return new TransformStream({
      transform(piece, out) {
        const parts = (rest + piece).split('\n');
        rest = parts.pop();
        for (const part of parts) out.enqueue(`${line(part)}\n`);
      },
      flush: (out) => out.enqueue(rest),
    });
  }

  const ask = window.fetch;
  window.fetch = async (...question) => {
    const answer = await ask(...question);
    if (!String(question[0]).startsWith('/api/')) return answer;
    const told = { status: answer.status, headers: answer.headers };
    const kind = answer.headers.get('content-type') ?? '';
    if (kind.includes('event-stream'))
      return new Response(answer.body.pipeThrough(new TextDecoderStream()).pipeThrough(lines()).pipeThrough(new TextEncoderStream()), told);
    const text = await answer.text();
    return new Response(kind.includes('json') && text ? JSON.stringify(hostile(JSON.parse(text))) : text, told);
  };
})();
