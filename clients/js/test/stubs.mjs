// A browser without a browser: time that passes when told, websockets and peer
// connections that do what a test says, and `connect` under these.
import { connect } from '../net.js';

/** Virtual time for everything in net.js. */
export class Clock {
  now = 0;
  #timers = new Map();
  #next = 1;

  constructor() {
    const set = (repeat) => (action, delay = 0) => {
      // As platforms have it: what is over 31 bits fires at once.
      const wait = delay > 2 ** 31 - 1 ? 0 : delay;
      this.#timers.set(this.#next, { action, at: this.now + wait, every: repeat ? wait : undefined });
      return this.#next++;
    };
    const clear = (timer) => this.#timers.delete(timer);
    const performance = { now: () => this.now };
    Object.assign(globalThis, { setTimeout: set(false), setInterval: set(true), clearTimeout: clear, clearInterval: clear });
    Object.defineProperty(globalThis, 'performance', { value: performance, configurable: true, writable: true });
  }

  /** Lets time pass, and what is due happen in order. */
  async pass(milliseconds) {
    const end = this.now + milliseconds;
    await settled();
    for (;;) {
      const due = [...this.#timers].filter(([, { at }]) => at <= end).sort(([, one], [, other]) => one.at - other.at)[0];
      if (!due) break;
      const [id, timer] = due;
      this.now = Math.max(this.now, timer.at);
      if (timer.every === undefined) this.#timers.delete(id);
      else timer.at += timer.every;
      timer.action();
      await settled();
    }
    this.now = end;
  }

  /** How many timers run: none once everything is over. */
  get running() {
    return this.#timers.size;
  }
}

/** All promises that can settle now have. */
export const settled = () => new Promise((resolve) => setImmediate(resolve));

const event = (type, fields = {}) => Object.assign(new Event(type), fields);

export class FakeSocket extends EventTarget {
  static all = [];
  readyState = 0;
  bufferedAmount = 0;
  sent = [];

  constructor(url) {
    super();
    this.url = url;
    FakeSocket.all.push(this);
  }

  open() {
    this.readyState = 1;
    this.dispatchEvent(event('open'));
  }

  text(message) {
    this.dispatchEvent(event('message', { data: JSON.stringify(message) }));
  }

  error() {
    this.readyState = 3;
    this.dispatchEvent(event('error'));
  }

  end(code, reason = '') {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.dispatchEvent(event('close', { code, reason }));
  }

  send(data) {
    this.sent.push(data);
  }

  close(code, reason) {
    this.closed = { code, reason };
    this.end(code ?? 1005, reason);
  }
}

export class FakeChannel extends EventTarget {
  readyState = 'connecting';
  bufferedAmount = 0;
  sent = [];

  constructor(options) {
    super();
    Object.assign(this, options);
  }

  open() {
    this.readyState = 'open';
    this.dispatchEvent(event('open'));
  }

  send(data) {
    this.sent.push(data);
  }

  close() {
    this.readyState = 'closed';
  }
}

export const ANSWER = 'v=0\r\na=candidate:0 1 udp 1 abc.local 5000 typ host\r\n';

export class FakeConnection extends EventTarget {
  static all = [];
  /** The candidates of the answer, as a browser's. */
  static answer = ANSWER;
  signalingState = 'stable';
  connectionState = 'new';
  iceConnectionState = 'new';
  iceGatheringState = 'new';
  localDescription = null;
  sctp = { transport: Object.assign(new EventTarget(), { state: 'new' }), maxMessageSize: 262_144 };
  channel;

  constructor(configuration) {
    super();
    this.configuration = configuration;
    FakeConnection.all.push(this);
  }

  createDataChannel(label, options) {
    return (this.channel = new FakeChannel(options));
  }

  async setRemoteDescription(description) {
    this.remoteDescription = description;
  }

  async createAnswer() {
    return { type: 'answer', sdp: FakeConnection.answer };
  }

  async setLocalDescription(description) {
    this.localDescription = description;
  }

  async addIceCandidate() {}

  close() {
    this.connectionState = 'closed';
  }

  /** Sets a state and says so, as `iceConnectionState`. */
  become(name, value) {
    this[name] = value;
    this.dispatchEvent(event(name.toLowerCase() + 'change'));
  }

  dtls(state) {
    this.sctp.transport.state = state;
    this.sctp.transport.dispatchEvent(event('statechange'));
  }
}

export const OFFER = offer('203.0.113.5', '10.0.0.3');

/** What a server of these addresses offers. */
export function offer(...addresses) {
  const lines = addresses.map((address, index) => `a=candidate:${index} 1 udp 1 ${address} 3000 typ host\r\n`);
  return { type: 'offer', sdp: `v=0\r\na=max-message-size:65536\r\n${lines.join('')}`, negotiated: true };
}

/** A page: globals that net.js looks at, and one `connect()`. */
export class Page {
  clock = new Clock();
  requests = [];
  outcome;

  /** `location`, `fetch`, `permission` and the like. */
  constructor({ location, fetch = () => Promise.reject(new TypeError('refused')), permission, ...globals } = {}) {
    FakeSocket.all = [];
    FakeConnection.all = [];
    FakeConnection.answer = ANSWER;
    const events = new EventTarget();
    const query = async ({ name }) => {
      if (name !== permission?.name) throw new TypeError(name);
      return permission;
    };
    const page = {
      WebSocket: FakeSocket,
      RTCPeerConnection: FakeConnection,
      document: {},
      WorkerGlobalScope: undefined,
      location: location && new URL(location),
      navigator: permission ? { permissions: { query } } : {},
      addEventListener: events.addEventListener.bind(events),
      fetch: (url, options) => {
        this.requests.push(url);
        return fetch(url, options);
      },
      ...globals,
    };
    for (const [name, value] of Object.entries(page)) {
      Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
    }
    this.events = events;
  }

  /** Begins to connect; `outcome` is the connection or the error once there is one. */
  async connect(url = 'ws://203.0.113.5:3000/', options) {
    connect(url, options).then(
      (net) => (this.outcome = net),
      (error) => (this.outcome = error),
    );
    await settled();
  }

  /** The last websocket, peer connection. */
  get socket() {
    return FakeSocket.all.at(-1);
  }

  get connection() {
    return FakeConnection.all.at(-1);
  }

  /** The server offers, and the page has answered. */
  async offered(message = OFFER) {
    this.socket.open();
    this.socket.text(message);
    await settled();
  }

  /** Both paths are open. */
  async opened(message = OFFER) {
    await this.offered(message);
    this.connection.become('iceConnectionState', 'connected');
    this.connection.channel.open();
    await settled();
    return this.outcome;
  }

  violates(fields) {
    this.events.dispatchEvent(event('securitypolicyviolation', fields));
  }
}
