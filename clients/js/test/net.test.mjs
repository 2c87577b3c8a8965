// net.js with a browser that does what the test says, in virtual time:
//
//     node --test clients/js/test/
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ConnectError, CONNECT_TIMEOUT, PERMISSION_TIMEOUT } from '../net.js';
import { FakeConnection, FakeSocket, Page, offer } from './stubs.mjs';

/** The error that `connect()` ended with, by now. */
function failed({ outcome }, stage, ...words) {
  assert.ok(outcome instanceof ConnectError, String(outcome));
  assert.equal(outcome.stage, stage, outcome.message);
  for (const word of words) assert.ok(outcome.reason.includes(word), `${word}: ${outcome.reason}`);
  return outcome;
}

const eight = (buffer) => {
  const view = new Uint8Array(buffer, 0, 8);
  view.fill(7);
  return view;
};

const shared = (buffer) => {
  eight(buffer);
  return buffer;
};

test('eight bytes in any buffer or view leave as a plain view, on both paths', async () => {
  const page = new Page();
  await page.connect();
  const net = await page.opened();
  const growable = { maxByteLength: 64 };
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 2, shared: true });
  const forms = {
    view: eight(new ArrayBuffer(8)),
    buffer: shared(new ArrayBuffer(8)),
    'view of shared memory': eight(new SharedArrayBuffer(8)),
    'shared memory': shared(new SharedArrayBuffer(8)),
    'view of a resizable buffer': eight(new ArrayBuffer(8, growable)),
    'resizable buffer': shared(new ArrayBuffer(8, growable)),
    'view of a growable shared buffer': eight(new SharedArrayBuffer(8, growable)),
    'view of a wasm memory': eight(memory.buffer),
    'DataView of shared memory': new DataView(shared(new SharedArrayBuffer(8))),
    'floats of shared memory': new Float32Array(shared(new SharedArrayBuffer(8))),
    'floats in the middle of a buffer': new Float32Array(shared(new ArrayBuffer(24)), 8, 2).fill(1),
    string: '\u0007'.repeat(8),
  };
  for (const [name, data] of Object.entries(forms)) {
    for (const [send, sent] of [['sendReliable', page.socket.sent], ['sendUnreliable', page.connection.channel.sent]]) {
      assert.equal(net[send](data), true, name);
      const bytes = sent.at(-1);
      assert.ok(bytes instanceof Uint8Array && bytes.length === 8, name);
      assert.ok(bytes.buffer instanceof ArrayBuffer && !bytes.buffer.resizable, name);
      if (!name.includes('middle')) assert.deepEqual([...bytes], Array(8).fill(7), name);
    }
  }
});

test('what is no message, or one that is gone, is a TypeError', async () => {
  const page = new Page();
  await page.connect();
  const net = await page.opened();
  const gone = new ArrayBuffer(8);
  const view = eight(gone);
  structuredClone(gone, { transfer: [gone] });
  for (const data of [undefined, null, 7, {}, [1], new Date(), view, gone]) {
    assert.throws(() => net.sendReliable(data), TypeError);
    assert.throws(() => net.sendUnreliable(data), TypeError);
  }
  assert.equal(net.open, true);
});

test('a message over the limit is refused with the limit, and the connection lives', async () => {
  const page = new Page();
  await page.connect();
  const net = await page.opened();
  assert.equal(net.maxMessageSize, 65_536);
  const sent = page.socket.sent.length;
  for (const data of [new Uint8Array(65_537), 'ä'.repeat(32_769)]) {
    for (const send of ['sendReliable', 'sendUnreliable']) {
      assert.throws(() => net[send](data), (error) => error instanceof RangeError && error.message.includes('65536'));
    }
  }
  assert.equal(net.sendReliable(new Uint8Array(65_536)), true);
  assert.equal(net.sendUnreliable(new Uint8Array(65_536)), true);
  assert.equal(page.socket.sent.length, sent + 1);
  assert.equal(net.open, true);
});

test('the limit is that of the offer, and of the browser where that is less', async () => {
  const page = new Page();
  await page.connect();
  const message = offer('203.0.113.5');
  message.sdp = message.sdp.replace('65536', '1000000');
  const net = await page.opened(message);
  assert.equal(net.maxMessageSize, 1_000_000);
  assert.equal(net.sendReliable(new Uint8Array(1_000_000)), true);
  assert.throws(() => net.sendUnreliable(new Uint8Array(262_145)), /262144/);
});

test('a channel that refuses a message is no exception', async () => {
  const page = new Page();
  await page.connect();
  const net = await page.opened();
  page.connection.channel.send = () => {
    throw new DOMException('closing', 'InvalidStateError');
  };
  assert.equal(net.sendUnreliable('x'), false);
  await page.clock.pass(2_000);
});

test('closing takes any reason', async () => {
  for (const reason of [undefined, null, 7, new Error('x'), 'x'.repeat(200)]) {
    const page = new Page();
    await page.connect();
    (await page.opened()).close(4000, reason);
    assert.ok(page.socket.closed.reason.length <= 41);
  }
});

const noop = () => {};
const DEAF = { setRemoteDescription: noop, setLocalDescription: noop, createDataChannel: noop, createAnswer: noop, addIceCandidate: noop, addEventListener: noop, close: noop };
const stubs = {
  'taken away': undefined,
  null: null,
  'no constructor': {},
  'an arrow': () => {},
  'a constructor that throws': class {
    constructor() {
      throw new DOMException('WebRTC is disabled', 'NotAllowedError');
    }
  },
  'a constructor that throws nothing': class {
    constructor() {
      throw undefined;
    }
  },
  'a constructor that throws without words': class {
    constructor() {
      throw new Error('');
    }
  },
  'without methods': class extends EventTarget {},
  'whose methods give undefined': function () {
    Object.assign(this, DEAF);
  },
  'of a content blocker': function () {
    Object.assign(this, { close: noop, createDataChannel: noop, createOffer: noop, setRemoteDescription: noop });
  }.bind(null),
  'whose promises stay open': function () {
    const never = () => new Promise(noop);
    Object.assign(this, DEAF, { setRemoteDescription: never, createAnswer: never });
  },
  'that gives something else': function () {
    return [];
  },
  'whose states throw': class {
    get signalingState() {
      throw new Error('blocked');
    }
  },
};

for (const [name, RTCPeerConnection] of Object.entries(stubs)) {
  test(`an RTCPeerConnection ${name} is told before a websocket is made`, async () => {
    const page = new Page({ RTCPeerConnection });
    await page.connect();
    const { reason, message } = failed(page, 'webrtc');
    assert.ok(reason && reason !== 'undefined', reason);
    assert.match(message, /webrtc/i);
    assert.equal(FakeSocket.all.length, 0);
    assert.equal(page.clock.running, 0);
  });
}

test('a page without RTCPeerConnection is told of settings, a worker of the page', async () => {
  const onPage = new Page({ RTCPeerConnection: undefined });
  await onPage.connect();
  failed(onPage, 'webrtc', 'no working RTCPeerConnection', 'Lockdown Mode', 'extension');
  const inWorker = new Page({ RTCPeerConnection: undefined, document: undefined, WorkerGlobalScope: class {} });
  await inWorker.connect();
  failed(inWorker, 'webrtc', 'no working RTCPeerConnection', 'worker');
});

test('a policy that ends in an error alone is named at once', async () => {
  const page = new Page();
  await page.connect();
  page.violates({ disposition: 'enforce', effectiveDirective: 'connect-src', blockedURI: 'ws://203.0.113.5:3000/' });
  page.socket.error();
  await page.clock.pass(0);
  failed(page, 'websocket', 'Content-Security-Policy', 'connect-src', 'ws://203.0.113.5:3000');
});

test('a policy that is only reported, or of something else, ends nothing', async () => {
  const page = new Page();
  await page.connect();
  page.violates({ disposition: 'report', effectiveDirective: 'connect-src', blockedURI: 'ws://203.0.113.5:3000/' });
  page.violates({ disposition: 'enforce', effectiveDirective: 'connect-src', blockedURI: 'http://203.0.113.5:3000/' });
  assert.ok((await page.opened()).open);
});

test('an error without a close ends the attempt within a second', async () => {
  const page = new Page();
  await page.connect();
  page.socket.error();
  await page.clock.pass(1_000);
  failed(page, 'websocket', 'no websocket at ws://203.0.113.5:3000/', 'is the server running');
});

test('an exception without words has a reason all the same', async () => {
  const thrown = [Object.create(null, { name: { value: 'NS_ERROR_CONTENT_BLOCKED' }, message: { value: '' } }), '', new Error('')];
  for (const [index, error] of thrown.entries()) {
    const page = new Page({
      WebSocket: function () {
        throw error;
      },
    });
    await page.connect();
    await page.clock.pass(1_000);
    const { reason } = failed(page, 'websocket');
    assert.equal(reason, ['NS_ERROR_CONTENT_BLOCKED', 'no reason was given', 'Error'][index]);
  }
});

test('a port that browsers refuse is named', async () => {
  for (const port of [6000, 5060, 10_080, 1, 6697]) {
    const page = new Page();
    await page.connect(`ws://203.0.113.5:${port}/`);
    page.socket.end(1006);
    await page.clock.pass(0);
    failed(page, 'websocket', `browsers refuse port ${port}`);
  }
  const page = new Page();
  await page.connect('ws://203.0.113.5:3000/');
  page.socket.end(1006);
  await page.clock.pass(0);
  failed(page, 'websocket', 'is the server running');
});

test('a page from https is told of wss:, but not on its own machine', async () => {
  for (const [host, words] of [['203.0.113.5', 'wss:'], ['localhost', 'is the server running'], ['127.0.0.1', 'is the server running']]) {
    const page = new Page({ location: 'https://game.example/' });
    await page.connect(`ws://${host}:3000/`);
    page.socket.end(1006);
    await page.clock.pass(0);
    failed(page, 'websocket', words);
  }
});

test('a websocket that the browser holds back is told from a dead server', async () => {
  for (const timeout of [3_001, CONNECT_TIMEOUT]) {
    const page = new Page({ fetch: async () => ({ type: 'opaque' }) });
    await page.connect('ws://203.0.113.5:3000/game?ticket=1', { timeout });
    await page.clock.pass(timeout);
    failed(page, 'websocket', `within ${timeout} ms`, 'answers HTTP', 'delay', 'Firefox');
    assert.equal(page.requests[0], 'http://203.0.113.5:3000/game');
  }
});

test('a server that comes back during the try is seen', async () => {
  let up = false;
  const page = new Page({ fetch: () => (up ? Promise.resolve({}) : Promise.reject(new TypeError('refused'))) });
  await page.connect();
  await page.clock.pass(10_000);
  up = true;
  await page.clock.pass(CONNECT_TIMEOUT - 10_000);
  failed(page, 'websocket', 'answers HTTP');
});

test('a dead server is told as such, and one that answers soon is not asked', async () => {
  const dead = new Page();
  await dead.connect();
  await dead.clock.pass(CONNECT_TIMEOUT);
  failed(dead, 'websocket', 'is the server running');
  const soon = new Page();
  await soon.connect();
  await soon.clock.pass(1_000);
  await soon.opened();
  assert.deepEqual(soon.requests, []);
});

test('any time to connect is kept', async () => {
  for (const timeout of [Infinity, 2 ** 40]) {
    const page = new Page();
    await page.connect(undefined, { timeout });
    await page.clock.pass(60_000);
    assert.equal(page.outcome, undefined);
    assert.ok((await page.opened()).open);
  }
});

const local = (state) => Object.assign(new EventTarget(), { name: 'local-network', state });

test('a question for the local network stops the clock, and a no is named', async () => {
  const permission = local('prompt');
  const page = new Page({ location: 'https://game.example/', permission });
  await page.connect('ws://203.0.113.5:3000/');
  await page.offered(offer('10.0.0.3'));
  await page.clock.pass(40_000);
  assert.equal(page.outcome, undefined);
  permission.state = 'denied';
  await page.clock.pass(500);
  failed(page, 'ice', 'no answer from UDP 10.0.0.3:3000', 'local network', 'denied');
});

test('a yes leaves the time that there was before the question', async () => {
  const permission = local('prompt');
  const page = new Page({ location: 'https://game.example/', permission });
  await page.connect('wss://192.168.1.5:3000/');
  await page.clock.pass(30_000);
  permission.state = 'granted';
  await page.clock.pass(10_000);
  assert.equal(page.outcome, undefined);
  assert.ok((await page.opened()).open);
});

test('a question without an answer is waited for so long and no longer', async () => {
  const page = new Page({ location: 'https://game.example/', permission: local('prompt') });
  await page.connect('wss://192.168.1.5:3000/');
  await page.clock.pass(CONNECT_TIMEOUT + PERMISSION_TIMEOUT - 1);
  assert.equal(page.outcome, undefined);
  await page.clock.pass(500);
  failed(page, 'websocket', 'local network', 'prompt');
});

test('a server that gives up during the question is tried again after a yes', async () => {
  const permission = local('prompt');
  const page = new Page({ location: 'https://game.example/', permission });
  await page.connect();
  await page.offered(offer('10.0.0.3'));
  await page.clock.pass(15_000);
  page.socket.end(1008, 'ice: took too long');
  await page.clock.pass(5_000);
  assert.equal(page.outcome, undefined);
  permission.state = 'granted';
  await page.clock.pass(500);
  assert.equal(FakeSocket.all.length, 2);
  assert.ok((await page.opened()).open);
});

test('no question is supposed where the browser checks pairs, or within one network', async () => {
  const checking = new Page({ location: 'https://game.example/', permission: local('prompt') });
  await checking.connect();
  await checking.offered(offer('10.0.0.3'));
  checking.connection.become('iceConnectionState', 'checking');
  await checking.clock.pass(CONNECT_TIMEOUT);
  assert.ok(!failed(checking, 'ice').reason.includes('permission'));
  const inside = new Page({ location: 'http://192.168.1.5/', permission: local('prompt') });
  await inside.connect('ws://192.168.1.5:3000/');
  await inside.clock.pass(CONNECT_TIMEOUT);
  assert.ok(!failed(inside, 'websocket').reason.includes('permission'));
});

test('a name that leads into the local network without permission is told', async () => {
  const page = new Page({ location: 'https://game.example/', permission: local('denied') });
  await page.connect('wss://games.lan:3000/');
  page.socket.end(1006);
  await page.clock.pass(0);
  failed(page, 'websocket', 'is the server running', 'local network', 'denied');
});

test('where the websocket goes to this machine and UDP does not arrive, it may be forwarded', async () => {
  for (const url of ['ws://127.0.0.1:3000/', 'ws://localhost:3000/', 'ws://[::1]:3000/']) {
    const page = new Page();
    await page.connect(url);
    await page.offered(offer('172.20.1.2', '127.0.0.1'));
    page.connection.become('iceConnectionState', 'checking');
    await page.clock.pass(CONNECT_TIMEOUT);
    const { reason } = failed(page, 'ice', 'forwarded', 'WSL2');
    assert.ok(!reason.includes('public_addr'), reason);
  }
});

test('ICE that fails in Firefox, which says so of DTLS first, is ICE', async () => {
  const page = new Page();
  await page.connect();
  await page.offered();
  page.connection.become('iceConnectionState', 'checking');
  page.connection.dtls('failed');
  await page.clock.pass(500);
  failed(page, 'ice', 'no answer from UDP 203.0.113.5:3000', 'is the UDP port open');
});

test('a browser without an address is told so, whatever it says of gathering', async () => {
  for (const state of ['new', 'gathering']) {
    const page = new Page();
    FakeConnection.answer = 'v=0\r\n';
    await page.connect();
    await page.offered();
    page.connection.become('iceGatheringState', state);
    await page.clock.pass(CONNECT_TIMEOUT);
    const { reason } = failed(page, 'ice', 'this browser has no address');
    assert.ok(!reason.includes('public_addr'), reason);
  }
});

test('a browser that hides its addresses tries again, every other time with the server for STUN', async () => {
  const page = new Page();
  FakeConnection.answer = 'v=0\r\n';
  const rtc = { iceServers: [{ urls: 'stun:192.0.2.1' }], bundlePolicy: 'balanced' };
  await page.connect(undefined, { rtc });
  await page.offered();
  page.connection.become('iceGatheringState', 'complete');
  await page.clock.pass(500);
  assert.equal(FakeSocket.all.length, 2);
  const { configuration } = page.connection;
  const urls = ['stun:203.0.113.5:3000', 'stun:10.0.0.3:3000'];
  assert.deepEqual(configuration, { ...rtc, iceServers: [...rtc.iceServers, { urls }] });
  for (const stun of [true, false, true, false]) {
    assert.equal((page.connection.configuration.iceServers?.length ?? 0) > 1, stun);
    await page.offered();
    page.connection.become('iceGatheringState', 'complete');
    assert.equal(page.outcome, undefined);
    await page.clock.pass(1_000);
  }
  failed(page, 'ice', 'this browser has no address', 'extension');
  assert.equal(FakeSocket.all.length, 5);
});

test('a browser that connects from a hidden address is left alone', async () => {
  const page = new Page();
  FakeConnection.answer = 'v=0\r\n';
  await page.connect();
  await page.offered();
  page.connection.become('iceGatheringState', 'complete');
  page.connection.become('iceConnectionState', 'checking');
  await page.clock.pass(5_000);
  assert.ok((await page.opened()).open);
  assert.equal(FakeSocket.all.length, 1);
});

test('an ordinary connect names no STUN server and asks nothing', async () => {
  const permission = local('prompt');
  let asked = 0;
  const page = new Page({ navigator: { permissions: { query: async () => (asked++, permission) } } });
  await page.connect();
  await page.opened();
  assert.equal(page.connection.configuration, undefined);
  assert.deepEqual([asked, page.requests.length, FakeSocket.all.length], [0, 0, 1]);
});

test('a websocket that the page closed by being left was not closed by the server', async () => {
  for (const [code, reason, by] of [[1001, '', 'network'], [1001, 'shutdown', 'server'], [1000, '', 'server'], [1006, '', 'network']]) {
    const page = new Page();
    await page.connect();
    const net = await page.opened();
    let closed;
    net.onclose = (event) => (closed = event);
    page.socket.end(code, reason);
    await page.clock.pass(0);
    assert.equal(closed.by, by);
    if (code === 1001 && !reason) assert.match(closed.reason, /download/);
    await page.clock.pass(2_000);
    assert.equal(page.clock.running, 0, 'nothing goes on');
  }
});

test('aborting ends everything with the reason of the signal', async () => {
  const page = new Page();
  const controller = new AbortController();
  await page.connect(undefined, { signal: controller.signal });
  controller.abort(new Error('enough'));
  await page.clock.pass(0);
  assert.equal(page.outcome.message, 'enough');
  await page.clock.pass(2_000);
  assert.equal(page.clock.running, 0);
});
