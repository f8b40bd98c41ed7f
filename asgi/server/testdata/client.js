// What the "ws" package of Node, as a client, demands of a server. usage: node client.js URL compressed|plain
'use strict';
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
const assert = require('assert');
const WebSocket = require('ws');
const [url, mode] = process.argv.slice(2);
const options = { perMessageDeflate: mode === 'compressed' };

// open connects, and keeps what comes until somebody asks for it.
function open(path, protocols = []) {
  return new Promise((resolve, reject) => {
    const ws = new WebSocket(url + path, protocols, options);
    const waiting = [], events = [];
    const put = (event) => (waiting.length ? waiting.shift()(event) : events.push(event));
    ws.next = () => new Promise((done) => (events.length ? done(events.shift()) : waiting.push(done)));
    ws.on('message', (data, binary) => put({ data, binary }));
    ws.on('pong', (data) => put({ pong: data.toString() }));
    ws.on('close', (code, reason) => put({ code, reason: reason.toString() }));
    ws.on('open', () => resolve(ws));
    ws.on('unexpected-response', (request, response) => {
      request.destroy();
      reject(new Error(response.statusCode));
    });
    ws.on('error', reject);
  });
}

const checks = {
  async echo() {
    const ws = await open('/ws/');
    assert.strictEqual(ws.extensions !== '', mode === 'compressed', 'compression');
    for (const text of ['', 'a', 'é🚣🏽', 'x'.repeat(125), 'x'.repeat(126), 'y'.repeat(65536), 'z'.repeat(1 << 20)]) {
      ws.send(text);
      const got = await ws.next();
      assert.ok(!got.binary && got.data.toString() === text, `text of ${text.length}`);
      const bytes = Buffer.from(text + '\u00ff\u0000', 'latin1').subarray(-(1 << 20));
      ws.send(bytes);
      const back = await ws.next();
      assert.ok(back.binary && back.data.equals(bytes), `binary of ${bytes.length}`);
    }
    ws.close();
    assert.strictEqual((await ws.next()).code, 1005);
  },
  async fragments() {
    const ws = await open('/ws/');
    ws.send('one, ', { fin: false });
    ws.ping('between');
    ws.send('two, ', { fin: false });
    ws.send('three', { fin: true });
    assert.strictEqual((await ws.next()).pong, 'between');
    assert.strictEqual((await ws.next()).data.toString(), 'one, two, three');
    ws.terminate();
  },
  async ping() {
    const ws = await open('/ws/');
    ws.ping('are you there?');
    assert.strictEqual((await ws.next()).pong, 'are you there?');
    ws.close(4002, 'from Node');
    assert.strictEqual((await ws.next()).code, 4002); // the server returns the code (RFC 6455 section 5.5.1)
  },
  async closedByServer() {
    const ws = await open('/ws/');
    ws.send('close 4001 bye');
    assert.deepStrictEqual(await ws.next(), { code: 4001, reason: 'bye' });
  },
  async tooBig() {
    const ws = await open('/ws/');
    ws.send('x'.repeat((1 << 20) + 1), { compress: false });
    assert.strictEqual((await ws.next()).code, 1009);
  },
  async subprotocols() {
    const ws = await open('/ws/', ['chat.v1', 'chat.v2']);
    assert.strictEqual(ws.protocol, 'chat.v2');
    ws.terminate();
  },
  async refused() {
    await assert.rejects(open('/refused'), /403/);
  },
};

(async () => {
  for (const [name, check] of Object.entries(checks)) {
    await check().catch((err) => { throw new Error(`${name}: ${err.message}`); });
    console.log('passed', name);
  }
  process.exit(0);
})().catch((err) => { console.error(err.message); process.exit(1); });
