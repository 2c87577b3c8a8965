// net.js on a WebRTC stack that is not a browser's: `node page.mjs ws://127.0.0.1:3000 wrtc`.
//
// Sends sixteen bytes in several kinds of memory on both paths to an `Answerer`, and says in a
// line of JSON what came back of each. The packages are those of the folder NET_TESTS_NODE.
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';

import { connect } from '../../clients/js/net.js';

const packages = createRequire(`${process.env.NET_TESTS_NODE}/`);
const STACKS = { wrtc: '@roamhq/wrtc', datachannel: 'node-datachannel/polyfill' };
const TRIES = 8; // of an unreliable message

const [url, stack] = process.argv.slice(2);
globalThis.WebSocket = packages('ws').WebSocket;
globalThis.RTCPeerConnection = packages(STACKS[stack]).RTCPeerConnection;

const numbers = [1.5, -2, 300.7, 1e9];
const forms = {
  floats: new Float32Array(numbers),
  'floats in the middle': new Float32Array([0, 0, ...numbers]).subarray(2),
  'view of data': new DataView(new Float32Array(numbers).buffer),
  'shared floats': new Float32Array(new SharedArrayBuffer(16)).fill(1.5),
  'shared memory': new SharedArrayBuffer(16),
};

const hex = (data) => Buffer.from(data.buffer ?? data, data.byteOffset, data.byteLength).toString('hex');

async function returns(net, path, data) {
  for (let tries = 0; tries < TRIES; tries++) {
    net[path](data);
    const signal = AbortSignal.timeout(500);
    const [message] = await once(net, 'message', { signal }).catch(() => []);
    if (message) return hex(message.data) === hex(data);
  }
  return 'nothing came back';
}

const net = await connect(url, { timeout: 8000 });
const seen = {};
for (const path of ['sendReliable', 'sendUnreliable']) {
  for (const [form, data] of Object.entries(forms)) seen[`${path}, ${form}`] = await returns(net, path, data);
}
net.close();
await sleep(100);
console.log(JSON.stringify(seen));
process.exit(0);
