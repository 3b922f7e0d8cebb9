// Fifty nodes in the place of those that there are: what the server tells each second, and how long it takes until that is drawn.

window.fiftyNodes = { drawn: [] };

(() => {
  const NODES = 50;
  const CAPABILITIES = ['gateway', 'users', 'orders', 'catalog'];
  const SIZE = { width: 190, height: 64 };
  const rate = (turn, at) => 10 + ((turn * 7 + at * 13) % 50);

  function overview(turn) {
    const nodes = [];
    const layout = { width: 2600, height: 3200, nodes: {}, capabilities: {}, outside: null };
    for (let at = 0; at < NODES; at += 1) {
      const name = `node-${at}`;
      const [x, y] = [(at % 5) * 520, Math.floor(at / 5) * 320];
      layout.nodes[name] = { x, y, width: 440, height: 240 };
      layout.capabilities[name] = Object.fromEntries(
        CAPABILITIES.map((one, of) => [one, { x: x + 18 + (of % 2) * 210, y: y + 40 + Math.floor(of / 2) * 100, ...SIZE }]),
      );
      nodes.push(node(name, at, turn));
    }
    return { at_ms: Date.now(), nodes, links: links(turn), troubles: [], layout };
  }

  function node(name, at, turn) {
    const base = { name, heard_ms_ago: 0, hosted: CAPABILITIES, problem: null };
    if (at === 7) return { ...base, state: 'silent', heard_ms_ago: 4_000, report: null, problem: 'no answer within 2 s', rows: [] };
    const one = { state: 'running', instances: 32, up: 32, admitted: (turn * at) % 900, limit: 1_024, restarts: 0, panics: 0, missed_deadlines: 0, figures: null };
    const durable = { waiting: turn, parked: 0, dead: 0, outbox: 0, stalled: [], partitions: [at % 8], full: [], ledger: { balances: true } };
    const database = { kind: 'postgres', place: 'postgres://shop@db.example:5432/shop (schema `shop`)', problem: null };
    const capabilities = Object.fromEntries(CAPABILITIES.map((capability) => [capability, { ...one, durable, database }]));
    const report = { node: name, epoch: at + 1, version: '0', uptime_ms: 60_000, reasons: [], outages: [], blocking: [], tasks: [], capabilities };
    const rows = CAPABILITIES.map((capability, of) => ({ capability, node: name, rate: rate(turn, at + of), errors: 0, waited_p50: 9, waited_p99: 90, ran_p50: 200, ran_p99: 2_000 }));
    return { ...base, state: 'ready', report, rows };
  }

  /** From each node's gateway to its orders, and on to the catalogue of the next one. */
  function links(turn) {
    const place = (capability, at) => ({ capability, node: `node-${at % NODES}` });
    const link = (from, to, at) => ({ from, to, rate: rate(turn, at), errors: 0, p99_us: 4_000 });
    return Array.from({ length: NODES }, (_, at) => [
      link(place('gateway', at), place('orders', at), at),
      link(place('orders', at), place('catalog', at + 1), at + 1),
    ]).flat();
  }

  const ask = window.fetch;
  window.fetch = async (...question) => {
    if (String(question[0]) !== '/api/overview') return ask(...question);
    if (!String(question[1]?.headers?.accept).includes('event-stream')) return new Response(JSON.stringify(overview(0)));
    const stream = new ReadableStream({
      async start(out) {
        for (let turn = 0; ; turn += 1) {
          const before = turn === 0 ? 0 : performance.now();
          out.enqueue(new TextEncoder().encode(`data: ${JSON.stringify(overview(turn))}\n\n`));
          await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
          if (document.querySelector('.node')) fiftyNodes.drawn.push(performance.now() - before);
          await new Promise((resolve) => setTimeout(resolve, 500));
        }
      },
    });
    return new Response(stream, { headers: { 'content-type': 'text/event-stream' } });
  };
})();
