// The browser's side of `net`: a websocket for what must arrive, a WebRTC data
// channel for what must be fresh. No dependencies, no build step.
//
//     import { connect } from './net.js';
//     const net = await connect('ws://127.0.0.1:3000');
//     net.onmessage = ({ data, reliable }) => console.log(data, reliable);
//     net.onclose = ({ code, reason }) => console.log('closed', code, reason);
//     net.sendReliable('hello!');
//     net.sendUnreliable(new Uint8Array([1, 2, 3]));

/** Milliseconds from `connect()` to a working connection, unless `timeout` says otherwise. */
export const CONNECT_TIMEOUT = 15_000;

/** Messages kept while nobody listens for them. Over it the oldest unreliable one is dropped; if there is none, the connection closes. */
export const HELD_MESSAGES = 4096;

/** Bytes the data channel may have unsent before `sendUnreliable` drops instead of building up latency. */
export const UNRELIABLE_BACKLOG = 64 * 1024;

/** Milliseconds in which the data channel may send nothing of what it has before `sendUnreliable` drops. */
export const UNRELIABLE_PATIENCE = 100;

/** Bytes the websocket may have unsent before `sendReliable` closes the connection as too slow. */
export const RELIABLE_BACKLOG = 16 * 1024 * 1024;

/** How often a server that says "try again later" (close code 1013) is tried again, unless `retries` says otherwise; that it is once asked for the compatible form does not count. */
export const CONNECT_RETRIES = 4;

const TRY_AGAIN_LATER = 1013;
const RETRY_PAUSE = 300; // ms before the first time, then twice as long each time; plus as much again at random
const LAST_WORDS = 500; // ms to wait for the server's close frame, which has the reason
const DRAIN = 2000; // ms in which reliable messages sent before `close()` may still leave

// The road to an open connection, in order.
const STAGES = ['websocket', 'signalling', 'ice', 'dtls', 'channel'];
// How the server begins its reason: with the step that failed, as it sees it.
const SERVER_WORDS = /^(upgrade|accept|answer|ice|dtls|channel): (.+)$/s;
// Steps after whose failure the server is asked for an offer in an older form.
const RETRIED = ['dtls', 'channel'];
const COMPATIBLE = 'net=compatible';
// The channel, if the server lets us open it: as it would itself.
const CHANNEL = { negotiated: true, id: 0, ordered: false, maxRetransmits: 0 };
const ADOPT = Symbol('adopt');
// ms without messages until the server is given a sign, from then on how often, and for how long.
const SIGN_AFTER = 400;
const SIGN_EVERY = 200;
const SIGN_FOR = 5000;

/** Why `connect()` was in vain; `stage` is the step that failed. */
export class ConnectError extends Error {
  constructor(stage, reason, { code, cause } = {}) {
    super(`could not connect: ${stage}: ${reason}`, { cause });
    this.name = 'ConnectError';
    this.stage = stage;
    this.reason = reason;
    this.code = code;
  }
}

/** A message that arrived. */
export class NetMessageEvent extends Event {
  constructor(data, reliable) {
    super('message');
    this.data = data;
    this.reliable = reliable;
  }
}

/** The end of a connection; the last event. */
export class NetCloseEvent extends Event {
  constructor({ code, reason, by }) {
    super('close');
    this.code = code;
    this.reason = reason;
    this.by = by;
  }
}

/**
 * Connects both paths. Rejects with a `ConnectError`, or with the signal's
 * reason when aborted, and always within the timeout.
 */
export async function connect(url, options = {}) {
  const { timeout = CONNECT_TIMEOUT, retries = CONNECT_RETRIES } = options;
  const deadline = performance.now() + timeout;
  options.signal?.throwIfAborted();
  let tried = 0;
  let compatible = false;
  for (;;) {
    const handshake = new Handshake(url, { ...options, timeout, deadline, compatible });
    try {
      return await handshake.done;
    } catch (error) {
      const stuck = RETRIED.includes(error?.stage) || handshake.unanswerable;
      const pause = RETRY_PAUSE * 2 ** tried * (1 + Math.random());
      const time = deadline - performance.now();
      if (stuck && !compatible && time > 0) {
        compatible = true;
      } else if (error?.code === TRY_AGAIN_LATER && tried < retries && time > pause) {
        tried++;
        // Where somebody speaks in our name each form withstands what the other does not.
        compatible &&= !stuck;
        await sleep(pause, options.signal);
      } else {
        throw error;
      }
    }
  }
}

/** One connection: both paths, open until either closes. Made by `connect()`. */
export class Net extends EventTarget {
  #socket;
  #connection;
  #channel = null;
  #drain = new Drain();
  #sign;
  #onmessage = null;
  #onclose = null;
  // Events nobody listens to yet, and the types that have a listener.
  #held = [];
  #heard = new Set();
  #ended = false;

  constructor(socket, connection) {
    super();
    this.#socket = socket;
    this.#connection = connection;
    socket.addEventListener('message', ({ data }) => this.#receive(data, true));
    socket.addEventListener('close', ({ code, reason }) => this.#end({ code, reason, by: code === 1006 ? 'network' : 'server' }));
    connection.addEventListener('connectionstatechange', () => {
      if (connection.connectionState === 'failed') this.#pathLost('webrtc failed');
    });
  }

  /** The websocket underneath. */
  get socket() {
    return this.#socket;
  }

  /** The `RTCPeerConnection` underneath. */
  get connection() {
    return this.#connection;
  }

  /** The `RTCDataChannel` underneath. */
  get channel() {
    return this.#channel;
  }

  /** True until either path closed or `close()` was called. */
  get open() {
    return !this.#ended && this.#channel?.readyState === 'open' && this.#socket.readyState === 1;
  }

  get onmessage() {
    return this.#onmessage;
  }

  set onmessage(handler) {
    this.#onmessage = this.#replace('message', this.#onmessage, handler);
  }

  get onclose() {
    return this.#onclose;
  }

  set onclose(handler) {
    this.#onclose = this.#replace('close', this.#onclose, handler);
  }

  addEventListener(type, listener, options) {
    super.addEventListener(type, listener, options);
    // Later, so that no handler runs inside the assignment that sets it.
    queueMicrotask(() => this.#release(type));
  }

  /** Sends over the websocket. False when the connection is closed. */
  sendReliable(data) {
    if (!this.open) return false;
    const bytes = toBytes(data);
    if (this.#socket.bufferedAmount > RELIABLE_BACKLOG) {
      this.#end({ code: 1013, reason: 'too slow for what is sent', by: 'client' });
      return false;
    }
    this.#socket.send(bytes);
    return true;
  }

  /** Sends over the data channel. False when it was dropped: closed, or what was sent before does not leave. */
  sendUnreliable(data) {
    if (!this.open) return false;
    const bytes = toBytes(data);
    if (!this.#drain.admits(this.#channel.bufferedAmount, bytes.byteLength, performance.now())) return false;
    this.#channel.send(bytes);
    this.#sign?.spoke();
    return true;
  }

  /** Closes both paths. What was sent reliably before still arrives; nothing is received any more. */
  close(code = 1000, reason = '') {
    this.#end({ code, reason, by: 'client' });
  }

  /** Takes the channel as soon as there is one; for `connect()` only. */
  [ADOPT](channel) {
    this.#channel = channel;
    channel.binaryType = 'arraybuffer';
    channel.addEventListener('message', ({ data }) => this.#receive(data, false));
    if (channel.negotiated) this.#sign = new Sign(channel);
    channel.addEventListener('close', () => this.#pathLost('data channel closed'));
  }

  #receive(data, reliable) {
    // Text frames on the websocket are signalling.
    if (this.#ended || typeof data === 'string') return;
    this.#emit(new NetMessageEvent(new Uint8Array(data), reliable));
  }

  #emit(event) {
    if (this.#heard.has(event.type)) {
      this.dispatchEvent(event);
      return;
    }
    this.#held.push(event);
    if (this.#held.length > HELD_MESSAGES && event.type === 'message') this.#dropHeld();
  }

  #dropHeld() {
    const oldest = this.#held.findIndex((event) => event.reliable === false);
    if (oldest >= 0) this.#held.splice(oldest, 1);
    else this.#end({ code: 1013, reason: 'nobody listens for messages', by: 'client' });
  }

  #replace(type, before, handler) {
    const after = typeof handler === 'function' ? handler : null;
    if (before) this.removeEventListener(type, before);
    if (after) this.addEventListener(type, after);
    return after;
  }

  // Gives out what was held, in the order of arrival.
  #release(type) {
    this.#heard.add(type);
    const ready = this.#held.filter((event) => this.#heard.has(event.type));
    this.#held = this.#held.filter((event) => !this.#heard.has(event.type));
    for (const event of ready) this.dispatchEvent(event);
  }

  // The server closes both paths at once; only the websocket's close frame
  // says why, so it gets a moment to arrive.
  #pathLost(reason) {
    if (this.#ended) return;
    setTimeout(() => this.#end({ code: 1006, reason, by: 'network' }), LAST_WORDS);
  }

  #end(cause) {
    if (this.#ended) return;
    this.#ended = true;
    this.#sign?.end();
    shut(this.#socket, this.#connection, cause.by === 'client' ? cause : undefined);
    queueMicrotask(() => this.#emit(new NetCloseEvent(cause)));
  }
}

/** Whether the channel takes a message: fresh or not at all. */
class Drain {
  #level = 0; // bytes unsent when it was looked at last, and what was sent then
  #moved = 0; // when it was seen to send, or was empty

  /**
   * A channel that sends nothing for `UNRELIABLE_PATIENCE` is blocked, as by an
   * outage: what it has grows old, and nothing is added to it. One whole
   * message is always admitted to an empty one, whatever its size.
   */
  admits(unsent, size, now) {
    if (unsent === 0 || unsent < this.#level) this.#moved = now;
    const blocked = now - this.#moved > UNRELIABLE_PATIENCE;
    const admitted = unsent === 0 || (!blocked && unsent + size <= UNRELIABLE_BACKLOG);
    this.#level = unsent + (admitted ? size : 0);
    return admitted;
  }
}

/**
 * A sign of life, an empty text, when messages have stopped coming: perhaps
 * because this page is seen at another address now and says nothing that would
 * tell the server. Browsers themselves check their path only every few seconds.
 */
class Sign {
  #channel;
  #timer;
  #heard = -Infinity;
  #spoke = -Infinity;
  #gap = SIGN_AFTER; // how long it usually is from one message to the next

  constructor(channel) {
    this.#channel = channel;
    this.#timer = setInterval(() => this.#look(performance.now()), SIGN_EVERY);
    channel.addEventListener('message', () => this.#hear(performance.now()));
  }

  spoke() {
    this.#spoke = performance.now();
  }

  end() {
    clearInterval(this.#timer);
  }

  #hear(now) {
    const gap = Math.min(now - this.#heard, SIGN_FOR);
    this.#gap += (gap - this.#gap) / 8;
    this.#heard = now;
  }

  #look(now) {
    const silent = now - this.#heard;
    const missed = silent > Math.max(SIGN_AFTER, 4 * this.#gap) && silent < SIGN_FOR;
    const ready = this.#channel.readyState === 'open' && this.#channel.bufferedAmount === 0;
    if (missed && ready && now - this.#spoke >= SIGN_EVERY) this.#channel.send('');
  }
}

/** One attempt to connect. Ends exactly once: `done` resolves or rejects. */
class Handshake {
  #stage = STAGES[0];
  #options;
  #offer = null;
  #url;
  #net;
  #socket;
  #connection;
  #channel = null;
  #stuck;
  #settle;
  // Whether there is an offer and the browser has no answer to it: Chromium 87 to 94 refuse their own to `a=setup:active`.
  unanswerable = false;

  constructor(url, options) {
    this.#options = options;
    this.done = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    this.#watch(options);
    try {
      this.#start(url, options);
    } catch (error) {
      this.#fail(error.message, { cause: error });
    }
  }

  #watch({ signal, deadline, timeout }) {
    const late = () => this.#fail(`${this.#missing()} within ${timeout} ms${this.#hint()}`);
    const timer = setTimeout(late, Math.max(0, deadline - performance.now()));
    const abort = () => this.#settle.reject(signal.reason);
    signal?.addEventListener('abort', abort);
    const stop = () => {
      clearTimeout(timer);
      clearTimeout(this.#stuck);
      signal?.removeEventListener('abort', abort);
    };
    this.done.then(stop, () => {
      stop();
      shut(this.#socket, this.#connection);
    });
  }

  #start(url, { protocols = [], rtc, compatible }) {
    this.#url = webSocketUrl(url, compatible);
    this.#socket = new WebSocket(this.#url, protocols);
    this.#socket.binaryType = 'arraybuffer';
    this.#connection = new RTCPeerConnection(rtc);
    this.#net = new Net(this.#socket, this.#connection);
    this.#followSocket(this.#socket);
    this.#followConnection(this.#connection);
  }

  #followSocket(socket) {
    socket.addEventListener('open', () => this.#reach('signalling'));
    socket.addEventListener('close', ({ code, reason }) => {
      const [, stage, words] = SERVER_WORDS.exec(reason) ?? [];
      if (stage) this.#stage = stage;
      const refused = this.#stage === 'websocket' ? this.#missing() + this.#hint() : `the websocket closed with code ${code}`;
      this.#fail(words || reason || refused, { code });
    });
    socket.addEventListener('message', ({ data }) => {
      if (typeof data === 'string') this.#signal(data).catch((cause) => this.#fail(cause.message, { cause }));
    });
  }

  #followConnection(connection) {
    connection.addEventListener('icecandidate', ({ candidate }) => {
      if (candidate) this.#tell({ type: 'candidate', candidate });
    });
    connection.addEventListener('iceconnectionstatechange', () => {
      if (['connected', 'completed'].includes(connection.iceConnectionState)) this.#reach('dtls');
    });
    connection.addEventListener('connectionstatechange', () => {
      if (connection.connectionState === 'failed') this.#failSoon(this.#missing() + this.#hint());
    });
    connection.addEventListener('datachannel', ({ channel }) => {
      this.#reach('channel');
      this.#follow(channel);
    });
  }

  #follow(channel) {
    if (this.#channel) return;
    this.#channel = channel;
    this.#net[ADOPT](channel);
    channel.addEventListener('close', () => this.#failSoon('the data channel closed'));
    channel.addEventListener('open', () => this.#succeed());
    if (channel.readyState === 'open') this.#succeed();
  }

  #followDtls(dtls) {
    const look = () => {
      if (dtls.state === 'connected') this.#reach('channel');
      if (dtls.state === 'failed') this.#failSoon('the DTLS handshake failed');
    };
    dtls?.addEventListener('statechange', look);
    if (dtls) look();
  }

  async #signal(text) {
    const message = JSON.parse(text);
    if (message?.type === 'offer' && !this.#offer) await this.#answer(message);
    // The offer holds every candidate already; a bad one here costs nothing.
    else if (message?.candidate) await this.#connection.addIceCandidate(message.candidate).catch(() => {});
  }

  async #answer(offer) {
    this.#offer = offer;
    this.unanswerable = true;
    const negotiated = offer.negotiated === true && !this.#options.compatible;
    await this.#connection.setRemoteDescription({ type: 'offer', sdp: offer.sdp });
    if (negotiated) this.#follow(this.#connection.createDataChannel('unreliable', CHANNEL));
    await this.#connection.setLocalDescription();
    this.unanswerable = false;
    const { type, sdp } = this.#connection.localDescription;
    this.#tell(negotiated ? { type, sdp, negotiated } : { type, sdp });
    this.#reach('ice');
    this.#followDtls(this.#connection.sctp?.transport);
  }

  #tell(message) {
    if (this.#socket.readyState === 1) this.#socket.send(JSON.stringify(message));
  }

  #reach(stage) {
    if (STAGES.indexOf(stage) <= STAGES.indexOf(this.#stage)) return;
    this.#stage = stage;
    if (RETRIED.includes(stage)) this.#leaveTime();
  }

  // What is stuck from here on may do in the older form: half of the time that is left is for that.
  #leaveTime() {
    const { deadline, compatible } = this.#options;
    if (compatible || this.#stuck) return;
    const half = (deadline - performance.now()) / 2;
    this.#stuck = setTimeout(() => this.#fail(`${this.#missing()} within ${Math.round(half)} ms`), half);
  }

  // What did not happen at this stage.
  #missing() {
    switch (this.#stage) {
      case 'websocket':
        return `no websocket at ${this.#url}`;
      case 'signalling':
        return 'no offer from the server';
      case 'ice':
        return `no answer from UDP ${addresses(this.#offer.sdp).join(', ')}`;
      case 'dtls':
        return 'no DTLS handshake';
      default:
        return 'no open data channel';
    }
  }

  // What can be done about it.
  #hint() {
    switch (this.#stage) {
      case 'websocket':
        return ': is the server running, is its TCP port open?';
      case 'ice':
        return this.#iceHint();
      default:
        return '';
    }
  }

  #iceHint() {
    const { iceGatheringState, localDescription } = this.#connection;
    if (iceGatheringState === 'complete' && addresses(localDescription?.sdp).length === 0) {
      return ': this browser has no address for WebRTC; is there a network, does a setting or an extension forbid it?';
    }
    if (addresses(this.#offer.sdp).every((address) => /^(127\.|\[::1\])/.test(address))) {
      return ': that is this very machine, and Firefox does not go there; is it to be bound to 0.0.0.0, is public_addr right?';
    }
    return ': is the UDP port open, is public_addr set?';
  }

  #succeed() {
    this.#settle.resolve(this.#net);
  }

  // The server closes both paths at once; only the websocket's close frame
  // says why, so it gets a moment to arrive.
  #failSoon(reason) {
    setTimeout(() => this.#fail(reason), LAST_WORDS);
  }

  // After success this does nothing: a promise settles once, and closing is
  // the business of `Net`.
  #fail(reason, details) {
    this.#settle.reject(new ConnectError(this.#stage, reason, details));
  }
}

// The websocket goes first and takes what it still has to send along; the
// WebRTC side follows, because its end would end the whole connection.
function shut(socket, connection, { code = 1000, reason = '' } = {}) {
  const finish = () => connection?.close();
  if (!socket || socket.readyState === 3) return finish();
  socket.addEventListener('close', finish);
  setTimeout(finish, DRAIN);
  // The platform allows a page these codes and 123 bytes of reason.
  const allowed = code === 1000 || (code >= 3000 && code <= 4999);
  socket.close(allowed ? code : 4000, reason.slice(0, 41));
}

function webSocketUrl(url, compatible) {
  const parsed = new URL(url ?? '', globalThis.location?.href);
  parsed.protocol = parsed.protocol.replace(/^http/, 'ws');
  parsed.hash = '';
  if (compatible) parsed.search += (parsed.search ? '&' : '?') + COMPATIBLE;
  return parsed.href;
}

// The addresses of a description's candidates, each with its port.
function addresses(sdp = '') {
  const lines = sdp.matchAll(/^a=candidate:\S+ \d+ udp \d+ (\S+) (\d+) /gim);
  return Array.from(lines, ([, ip, port]) => (ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`));
}

function toBytes(data) {
  if (typeof data === 'string') return new TextEncoder().encode(data);
  if (data instanceof ArrayBuffer || ArrayBuffer.isView(data)) return data;
  throw new TypeError('a message is a string, an ArrayBuffer or a view of one');
}

function sleep(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', abort);
      resolve();
    }, milliseconds);
    signal?.addEventListener('abort', abort, { once: true });
  });
}
