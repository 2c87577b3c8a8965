// A client with a WebRTC stack that is not a browser's build: libwebrtc (@roamhq/wrtc) or
// libdatachannel (node-datachannel), each through the platform's own interface.
//
//     node client.mjs ws://127.0.0.1:3000 --stack wrtc --echoes 200 --flow 10000 --rate 1000
//
// It speaks to the program `tally-server`, and says in a line of JSON each what came of it: it
// connects and has messages echoed on both paths (`echoed`), waits for a line of its input, sends
// numbered messages over the data channel while as many of `--bytes` come back (`flowed`), and closes
// (`closed`): the websocket first, or with `--close channel` the peer connection. The packages are
// those of the folder NET_TESTS_NODE, which tests/all fills.

import { once } from 'node:events';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

const packages = createRequire(`${process.env.NET_TESTS_NODE}/`);
const { WebSocket } = packages('ws');
const STACKS = { wrtc: '@roamhq/wrtc', datachannel: 'node-datachannel/polyfill' };

const SIZE = 200; // bytes of a message that it sends
const ECHO_PACE = 10; // ms between two messages to be echoed
const PATIENCE = 10_000; // ms for whatever must come
const QUIET = 500; // ms without a message after which no more come

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    stack: { type: 'string', default: 'wrtc' },
    echoes: { type: 'string', default: '200' },
    flow: { type: 'string', default: '10000' },
    rate: { type: 'string', default: '1000' },
    bytes: { type: 'string', default: '200' },
    close: { type: 'string', default: 'websocket' },
  },
});

/** What was to be echoed on one path, and what was. */
class Echoes {
  sent = [];
  echoed = [];

  constructor(name) {
    this.name = name;
  }

  next(number) {
    const message = `${this.name} ${number} `.padEnd(SIZE, '#');
    this.sent.push(message);
    return message;
  }

  get complete() {
    return this.echoed.length >= this.sent.length;
  }

  result() {
    const [sent, echoed] = [new Set(this.sent), new Set(this.echoed)];
    return {
      sent: this.sent.length,
      echoed: this.echoed.filter((message) => sent.has(message)).length,
      duplicates: this.echoed.length - echoed.size,
      strange: [...echoed].filter((message) => !sent.has(message)).length,
      inOrder: this.echoed.every((message, index) => message === this.sent[index]),
    };
  }
}

/** The numbers that arrived. */
class Numbers {
  arrived = 0;
  seen = new Set();
  last = performance.now();
  longest = 0; // ms between two

  take(message) {
    const now = performance.now();
    if (this.arrived > 0) this.longest = Math.max(this.longest, now - this.last);
    this.arrived++;
    this.seen.add(Number(message.split(' ', 2)[1]));
    this.last = now;
  }

  result() {
    return { arrived: this.arrived, distinct: this.seen.size, longestMs: Math.round(this.longest) };
  }
}

class Client {
  reliable = new Echoes('reliable');
  unreliable = new Echoes('unreliable');
  numbers = new Numbers();
  tally = withResolvers();
  channel = withResolvers();
  over = withResolvers();

  constructor(url, stack) {
    this.peer = new stack.RTCPeerConnection({ iceServers: [] });
    this.peer.addEventListener('datachannel', ({ channel }) => this.#adopt(channel));
    this.peer.addEventListener('icecandidate', ({ candidate }) => this.#send({ type: 'ice', candidate }));
    this.socket = new WebSocket(url, { perMessageDeflate: false });
    this.socket.on('message', (data, binary) => {
      if (binary) this.#reliable(data.toString());
      else this.#signal(JSON.parse(data.toString())).catch(this.over.reject);
    });
    this.socket.on('error', this.over.reject);
    this.socket.on('close', (code, reason) => this.over.resolve({ code, reason: reason.toString() }));
  }

  #send(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  async #signal(message) {
    if (message.type === 'offer') {
      await this.peer.setRemoteDescription({ type: 'offer', sdp: message.sdp });
      const answer = await this.peer.createAnswer();
      await this.peer.setLocalDescription(answer);
      this.#send({ type: 'answer', sdp: answer.sdp });
    } else if (message.type === 'candidate') {
      await this.peer.addIceCandidate(message.candidate);
    }
  }

  #adopt(channel) {
    channel.binaryType = 'arraybuffer';
    channel.addEventListener('message', ({ data }) => this.#fresh(Buffer.from(data).toString()));
    channel.addEventListener('close', () => this.over.resolve({ code: 0, reason: 'channel closed' }));
    if (channel.readyState === 'open') this.channel.resolve(channel);
    else channel.addEventListener('open', () => this.channel.resolve(channel));
  }

  #reliable(message) {
    if (message.startsWith('tally ')) this.tally.resolve(JSON.parse(message.slice(6)));
    else this.reliable.echoed.push(message);
  }

  #fresh(message) {
    if (message.startsWith('numbered ')) this.numbers.take(message);
    else this.unreliable.echoed.push(message);
  }

  async echo(count) {
    const channel = await this.channel.promise;
    for (let number = 0; number < count; number++) {
      this.socket.send(Buffer.from(this.reliable.next(number)));
      channel.send(Buffer.from(this.unreliable.next(number)));
      await sleep(ECHO_PACE);
    }
    const end = performance.now() + PATIENCE;
    const complete = () => this.reliable.complete && this.unreliable.complete;
    while (!complete() && performance.now() < end) await sleep(ECHO_PACE);
    const { ordered, maxRetransmits, maxPacketLifeTime, label } = channel;
    // node-datachannel shows the defaults for a channel that the other side has opened.
    const told = options.stack !== 'datachannel';
    const found = { told, ordered, maxRetransmits, maxPacketLifeTime, label };
    return { channel: found, reliable: this.reliable.result(), unreliable: this.unreliable.result() };
  }

  async flow(count, rate, bytes) {
    const channel = await this.channel.promise;
    this.socket.send(Buffer.from(`begin ${count} ${rate} ${bytes}`));
    const began = performance.now();
    for (let number = 0; number < count; ) {
      const due = Math.min(count, Math.ceil(((performance.now() - began) * rate) / 1000));
      for (; number < due; number++) channel.send(Buffer.from(`numbered ${number} `.padEnd(SIZE, '#')));
      await sleep(2);
    }
    const sentMs = Math.round(performance.now() - began);
    while (performance.now() - this.numbers.last < QUIET) await sleep(ECHO_PACE);
    this.socket.send(Buffer.from('tally'));
    const up = await this.tally.promise;
    return { sentMs, buffered: channel.bufferedAmount, up, down: this.numbers.result() };
  }

  async close(first) {
    if (first === 'channel') this.peer.close();
    else this.socket.close(1000);
    const end = await this.over.promise;
    this.socket.close(1000);
    this.peer.close();
    return end;
  }
}

function withResolvers() {
  const parts = {};
  parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }));
  return parts;
}

function say(what) {
  process.stdout.write(`${JSON.stringify(what)}\n`);
}

/** What the work gives, unless the connection ends or the time is up before. */
async function within(client, work) {
  const ended = client.over.promise.then((end) => Promise.reject(new Error(`closed: ${JSON.stringify(end)}`)));
  const late = sleep(6 * PATIENCE, null, { ref: false }).then(() => Promise.reject(new Error('too late')));
  return Promise.race([work, ended, late]);
}

async function main() {
  const input = createInterface({ input: process.stdin });
  const client = new Client(positionals[0], packages(STACKS[options.stack]));
  client.over.promise.catch(() => {});
  say({ echoed: await within(client, client.echo(Number(options.echoes))) });
  await once(input, 'line');
  const load = [options.flow, options.rate, options.bytes].map(Number);
  say({ flowed: await within(client, client.flow(...load)) });
  say({ closed: await client.close(options.close) });
}

main().then(
  () => process.exit(0),
  (error) => {
    say({ error: String(error?.stack ?? error) });
    process.exit(1);
  },
);
