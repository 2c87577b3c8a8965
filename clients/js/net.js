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

/** Milliseconds for which a browser's question for the local network may stop the clock of `connect()`. */
export const PERMISSION_TIMEOUT = 60_000;

const TRY_AGAIN_LATER = 1013;
const GOING_AWAY = 1001;
const RETRY_PAUSE = 300; // ms before the first time, then twice as long each time; plus as much again at random
const LAST_WORDS = 500; // ms to wait for the server's close frame, which has the reason
const DRAIN = 2000; // ms in which reliable messages sent before `close()` may still leave

const LONGEST_TIMER = 2 ** 31 - 1; // ms; what is longer fires at once
const HIDDEN_RETRIES = 4; // of a browser that hides its addresses
const LOOK = 250; // ms between two looks for what holds a handshake up
const HTTP_AFTER = 6; // looks until the port of a silent websocket is asked by HTTP
const MESSAGE_SIZE = 65_536; // bytes, where an offer has no `a=max-message-size` (RFC 8841)

// The road to an open connection, in order.
const STAGES = ['webrtc', 'websocket', 'signalling', 'ice', 'dtls', 'channel'];
// How the server begins its reason: with the step that failed, as it sees it.
const SERVER_WORDS = /^(upgrade|accept|answer|ice|dtls|channel): (.+)$/s;
// Steps after whose failure the server is asked for an offer in an older form.
const RETRIED = ['dtls', 'channel'];
const COMPATIBLE = 'net=compatible';
// The channel, if the server lets us open it: as it would itself.
const CHANNEL = { negotiated: true, id: 0, ordered: false, maxRetransmits: 0 };
const ADOPT = Symbol('adopt');
// Ports that browsers refuse, in base 36 (https://fetch.spec.whatwg.org/#port-blocking).
const BLOCKED_PORTS =
  '0 1 7 9 b d f h j k l m n p 11 16 17 1h 1x 25 27 2f 2n 2t 2u 2v 2w 31 32 33 35 37 39 3b 3f 3r 3t 3v 3z 4h 4z at bv cx e8 e9 ea eb em eq er es f0 f8 fe fg fn gb gp ho rh ri rl rn 1br 1bs 1bv 1kx 2tn 34d 38e 3wk 3wl 4mo 52e 555 556 557 558 559 55j 561 7s0';
// Hosts on this machine, and those of private networks.
const LOOPBACK = /^((.+\.)?localhost$|127\.|\[::1\])/;
const PRIVATE = /^(10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|169\.254\.|100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.|\[f[cde]|.+\.local$)/;
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
  const deadline = new Deadline(timeout);
  options.signal?.throwIfAborted();
  let tried = 0;
  let compatible = false;
  let found = {};
  for (;;) {
    const handshake = new Handshake(url, { ...options, timeout, deadline, compatible, ...found });
    try {
      return await handshake.done;
    } catch (error) {
      const stuck = RETRIED.includes(error?.stage) || handshake.unanswerable;
      const pause = RETRY_PAUSE * 2 ** tried * (1 + Math.random());
      const time = deadline.left;
      if (handshake.found && time > 0) {
        found = { ...found, ...handshake.found };
      } else if (stuck && !compatible && time > 0) {
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
  #limit = MESSAGE_SIZE; // bytes of a message that the server takes
  #channelLimit = MESSAGE_SIZE; // and that the browser's channel takes, too
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
    socket.addEventListener('close', ({ code, reason }) => {
      // Servers give a reason. Firefox has none where the page is left, or a link followed to a download.
      const left = code === GOING_AWAY && !reason;
      if (left) reason = 'the page was left, or a link without the attribute download was followed to a file';
      this.#end({ code, reason, by: left || code === 1006 ? 'network' : 'server' });
    });
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

  /** Bytes of the longest message that the server takes. */
  get maxMessageSize() {
    return this.#limit;
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
    const bytes = toBytes(data, this.#limit);
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
    const bytes = toBytes(data, this.#channelLimit);
    if (!this.#drain.admits(this.#channel.bufferedAmount, bytes.byteLength, performance.now())) return false;
    if (!attempt(() => this.#channel.send(bytes))) return false;
    this.#sign?.spoke();
    return true;
  }

  /** Closes both paths. What was sent reliably before still arrives; nothing is received any more. */
  close(code = 1000, reason = '') {
    this.#end({ code, reason, by: 'client' });
  }

  /** Takes the channel as soon as there is one; for `connect()` only. */
  [ADOPT](channel, limit) {
    this.#channel = channel;
    this.#limit = this.#channelLimit = limit;
    channel.binaryType = 'arraybuffer';
    channel.addEventListener('open', () => {
      this.#channelLimit = Math.min(limit, this.#connection.sctp?.maxMessageSize || limit);
    });
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
    if (missed && ready && now - this.#spoke >= SIGN_EVERY) attempt(() => this.#channel.send(''));
  }
}

/** The time left to connect. */
class Deadline {
  /** For how long it may still stand still. */
  spare = PERMISSION_TIMEOUT;
  #end;

  constructor(timeout) {
    this.#end = performance.now() + Math.min(timeout, LONGEST_TIMER);
  }

  get left() {
    return this.#end - performance.now();
  }

  /** The last so many milliseconds do not count. */
  pause(milliseconds) {
    const pause = Math.min(milliseconds, this.spare);
    this.spare -= pause;
    this.#end += pause;
  }
}

/** One attempt to connect. Ends exactly once: `done` resolves or rejects. */
class Handshake {
  /** Options with which another attempt promises more. */
  found;
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
  #over = new AbortController();
  #looks = 0; // in this stage
  #looked = performance.now();
  #permission; // the browser's, for the local network
  #answersHttp = false; // the port of the websocket
  #hasAddress = false;
  #held; // the failure while a question of the browser stands

  constructor(url, options) {
    this.#options = options;
    this.done = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    this.#watch(options);
    try {
      this.#start(url, options);
    } catch (error) {
      // An event may still say more of a websocket that was refused.
      if (this.#url) this.#failSoon(words(error) + this.#ownHint());
      else this.#fail(words(error), { cause: error });
    }
  }

  #watch({ signal, deadline }) {
    const until = { signal: this.#over.signal };
    const abort = () => this.#settle.reject(signal.reason);
    signal?.addEventListener('abort', abort, until);
    globalThis.addEventListener?.('securitypolicyviolation', (event) => this.#violated(event), until);
    const looking = setInterval(() => this.#look(performance.now()), LOOK);
    let timer;
    const late = () => {
      if (deadline.left > 0) timer = setTimeout(late, deadline.left);
      else this.#fail(this.#why(` within ${this.#options.timeout} ms`));
    };
    timer = setTimeout(late, Math.max(0, deadline.left));
    const stop = () => {
      clearInterval(looking);
      clearTimeout(timer);
      clearTimeout(this.#stuck);
      this.#over.abort();
    };
    this.done.then(stop, () => {
      stop();
      shut(this.#socket, this.#connection);
    });
  }

  #start(url, { protocols = [], rtc, compatible, stun }) {
    const iceServers = stun && [...(rtc?.iceServers ?? []), { urls: stun }];
    this.#connection = peerConnection(stun ? { ...rtc, iceServers } : rtc);
    this.#reach('websocket');
    this.#url = webSocketUrl(url, compatible);
    this.#socket = new WebSocket(this.#url, protocols);
    this.#socket.binaryType = 'arraybuffer';
    this.#net = new Net(this.#socket, this.#connection);
    this.#followSocket(this.#socket);
    this.#followConnection(this.#connection);
  }

  #followSocket(socket) {
    socket.addEventListener('open', () => this.#reach('signalling'));
    // A page's policy is all that ends in this event alone.
    socket.addEventListener('error', () => this.#failSoon());
    socket.addEventListener('close', async ({ code, reason }) => {
      const [, stage, told] = SERVER_WORDS.exec(reason) ?? [];
      if (stage) this.#stage = stage;
      if (this.#stage === 'websocket') await this.#askPermission();
      const refused = this.#stage === 'websocket' ? this.#why() : `the websocket closed with code ${code}`;
      this.#fail(told || reason || refused, { code });
    });
    socket.addEventListener('message', ({ data }) => {
      if (typeof data === 'string') this.#signal(data).catch((cause) => this.#fail(words(cause), { cause }));
    });
  }

  #followConnection(connection) {
    connection.addEventListener('icecandidate', ({ candidate }) => {
      this.#hasAddress ||= addresses(`a=${candidate?.candidate}`).length > 0;
      if (candidate) this.#tell({ type: 'candidate', candidate });
    });
    connection.addEventListener('iceconnectionstatechange', () => {
      if (['connected', 'completed'].includes(connection.iceConnectionState)) this.#reach('dtls');
    });
    connection.addEventListener('connectionstatechange', () => {
      if (connection.connectionState === 'failed') this.#failSoon();
    });
    connection.addEventListener('datachannel', ({ channel }) => {
      this.#reach('channel');
      this.#follow(channel);
    });
  }

  #follow(channel) {
    if (this.#channel) return;
    this.#channel = channel;
    const size = /^a=max-message-size:(\d+)/im.exec(this.#offer.sdp)?.[1] ?? MESSAGE_SIZE;
    this.#net[ADOPT](channel, +size || Infinity);
    channel.addEventListener('close', () => this.#failSoon('the data channel closed'));
    channel.addEventListener('open', () => this.#succeed());
    if (channel.readyState === 'open') this.#succeed();
  }

  #followDtls(dtls) {
    const look = () => {
      if (dtls.state === 'connected') this.#reach('channel');
      // Firefox says so first of ICE.
      if (dtls.state === 'failed') this.#failSoon(this.#stage === 'dtls' ? 'the DTLS handshake failed' : undefined);
    };
    dtls?.addEventListener('statechange', look);
    if (dtls) look();
  }

  // What holds the handshake up, other than the server?
  #look(now) {
    const passed = now - this.#looked;
    this.#looked = now;
    this.#looks++;
    if (this.#looks === 2) this.#askPermission();
    if (this.#looks >= 2 && this.#isHidden()) this.#tryHidden();
    if (this.#stage === 'websocket' && this.#looks >= HTTP_AFTER && this.#looks % 4 === 2) this.#askHttp();
    const state = this.#question();
    if (state === 'prompt') this.#options.deadline.pause(passed);
    if (state === 'denied') this.#fail(this.#why());
    // It has failed while the browser asked; is there an answer?
    if (this.#held && !this.#isAsked()) {
      if (state === 'granted') this.found = {};
      this.#settle.reject(this.#held);
    }
  }

  // The state of the browser's permission for the local network, where nothing goes on without it.
  #question() {
    const waits =
      this.#stage === 'websocket'
        ? this.#socket?.readyState === 0 && this.#isNearer()
        : this.#isIdle() && this.#isSomewhere() && this.#offered().some((address) => space(address) < space(this.#host()));
    return waits ? this.#permission?.state : undefined;
  }

  #isAsked() {
    return this.#question() === 'prompt' && this.#options.deadline.spare > 0;
  }

  async #askPermission() {
    for (const name of [space(this.#host()) ? 'local-network' : 'loopback-network', 'local-network-access']) {
      this.#permission ??= await globalThis.navigator?.permissions?.query({ name }).catch(() => {});
    }
  }

  // Firefox holds websockets back, requests not.
  #askHttp() {
    const options = { mode: 'no-cors', cache: 'no-store', credentials: 'omit', signal: this.#over.signal };
    const answered = (yes) => () => (this.#answersHttp = yes);
    globalThis.fetch?.(this.#url.replace(/^ws/, 'http').replace(/\?.*/, ''), options).then(answered(true), answered(false));
  }

  #violated({ disposition, effectiveDirective, blockedURI }) {
    if (disposition !== 'enforce' || !this.#url.startsWith(blockedURI) || this.#stage !== 'websocket') return;
    this.#fail(`the page's Content-Security-Policy forbids it: ${effectiveDirective} must allow ${new URL(this.#url).origin}`);
  }

  // Whether there is no pair of candidates to check.
  #isIdle() {
    return this.#stage === 'ice' && this.#connection.iceConnectionState === 'new';
  }

  // Whether the browser tells none of its addresses.
  #isHidden() {
    const told = this.#options.stun ? this.#looks >= 4 : !this.#isSomewhere() && this.#connection.iceGatheringState === 'complete';
    return this.#isIdle() && told;
  }

  // In Firefox it is then chance whether it makes any pair of candidates; an address that the
  // server tells can help.
  #tryHidden() {
    const { hidden = 0 } = this.#options;
    const stun = hidden % 2 ? undefined : this.#offered().map((address) => `stun:${address}`);
    if (hidden < HIDDEN_RETRIES) this.found = { hidden: hidden + 1, stun };
    this.#fail(this.#why());
  }

  // Whether the browser has an address of its own, as it told by either way.
  #isSomewhere() {
    return this.#hasAddress || addresses(this.#connection.localDescription?.sdp).length > 0;
  }

  // The addresses of the server.
  #offered() {
    return addresses(this.#offer?.sdp);
  }

  #host() {
    return new URL(this.#url).hostname;
  }

  // Whether the websocket leads out of the page's address space.
  #isNearer() {
    return space(this.#host()) < space(globalThis.location?.hostname);
  }

  async #signal(text) {
    const message = JSON.parse(text);
    if (message?.type === 'offer' && !this.#offer) await this.#answer(message);
    // The offer holds every candidate already; a bad one here costs nothing.
    else if (message?.candidate) await this.#connection.addIceCandidate(message.candidate)?.catch(() => {});
  }

  async #answer(offer) {
    this.#offer = offer;
    this.unanswerable = true;
    const negotiated = offer.negotiated === true && !this.#options.compatible;
    await this.#connection.setRemoteDescription({ type: 'offer', sdp: offer.sdp });
    if (negotiated) this.#follow(this.#connection.createDataChannel('unreliable', CHANNEL));
    await this.#connection.setLocalDescription(await this.#connection.createAnswer());
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
    this.#looks = 0;
    this.#permission = undefined;
    if (RETRIED.includes(stage)) this.#leaveTime();
  }

  // What is stuck from here on may do in the older form: half of the time that is left is for that.
  #leaveTime() {
    const { deadline, compatible } = this.#options;
    if (compatible || this.#stuck) return;
    const half = deadline.left / 2;
    this.#stuck = setTimeout(() => this.#fail(`${this.#missing()} within ${Math.round(half)} ms`), half);
  }

  #why(within = '') {
    return this.#missing() + within + this.#hint();
  }

  // What did not happen at this stage.
  #missing() {
    switch (this.#stage) {
      case 'websocket':
        return `no websocket at ${this.#url}`;
      case 'signalling':
        return 'no offer from the server';
      case 'ice':
        return `no answer from UDP ${this.#offered().join(', ')}`;
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
        return this.#ownHint() || this.#websocketHint();
      case 'ice':
        return this.#iceHint();
      default:
        return '';
    }
  }

  // Why a browser opens no such websocket.
  #ownHint() {
    const { protocol, port, hostname } = new URL(this.#url);
    if (port && BLOCKED_PORTS.split(' ').includes((+port).toString(36))) return `: browsers refuse port ${port}; the server must listen on another`;
    if (protocol === 'ws:' && globalThis.location?.protocol === 'https:' && space(hostname)) return ': a page from https needs wss:';
    return '';
  }

  #websocketHint() {
    if (this.#answersHttp) {
      return ': it answers HTTP. Firefox delays websockets, by up to a minute, after some that ended badly; if it is not that, is a proxy or Config::accept slow?';
    }
    return ': is the server running, is its TCP port open?' + this.#permissionHint();
  }

  #permissionHint() {
    const { state, name = 'local-network' } = this.#permission ?? {};
    if (state !== 'denied' && !this.#question()) return '';
    return ` It may be in the local network, and this site has no permission for that (${name}: ${state})`;
  }

  #iceHint() {
    if (!this.#isSomewhere()) return ': this browser has no address for WebRTC; is there a network, does a setting or an extension forbid it?';
    if (this.#question()) return '.' + this.#permissionHint();
    if (!space(this.#host())) {
      return ': if the websocket is forwarded (WSL2, a container, ssh), UDP is not: connect to the server itself; is it bound to 0.0.0.0, is a network up?';
    }
    if (!this.#offered().some(space)) return ': that is this very machine; is the server to be bound to 0.0.0.0, is public_addrs right?';
    return ': is the UDP port open, is public_addrs set?';
  }

  #succeed() {
    this.#settle.resolve(this.#net);
  }

  // The server closes both paths at once; only the websocket's close frame
  // says why, so it gets a moment to arrive.
  #failSoon(reason = this.#why()) {
    setTimeout(() => this.#fail(reason), LAST_WORDS);
  }

  // After success this does nothing: a promise settles once, and closing is
  // the business of `Net`.
  #fail(reason, details) {
    const error = new ConnectError(this.#stage, reason, details);
    if (this.#isAsked()) this.#held ??= error;
    else this.#settle.reject(error);
  }
}

// Without a working one nothing else is begun.
function peerConnection(rtc) {
  const { RTCPeerConnection, document } = globalThis;
  try {
    const connection = new RTCPeerConnection(rtc);
    if (connection.signalingState === 'stable') return connection;
  } catch (cause) {
    if (RTCPeerConnection) throw new Error(`RTCPeerConnection cannot be made: ${words(cause)}`, { cause });
  }
  const where = document ? 'a setting, an extension or Lockdown Mode took it away' : 'workers have none; connect on the page';
  throw new Error(`no working RTCPeerConnection: ${where}`);
}

// What anything that was thrown says.
function words(error) {
  return error?.message || error?.name || (error && String(error)) || 'no reason was given';
}

// How far off a host or an address is: 0 this machine, 1 a private network, 2 the internet (the
// address spaces of Local Network Access).
function space(host) {
  return LOOPBACK.test(host) ? 0 : PRIVATE.test(host) ? 1 : 2;
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
  socket.close(allowed ? code : 4000, String(reason ?? '').slice(0, 41));
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

function toBytes(data, limit) {
  const bytes = typeof data === 'string' ? new TextEncoder().encode(data) : view(data);
  if (bytes.length > limit) {
    throw new RangeError(`a message of ${bytes.length} bytes, and the limit is ${limit} (Config::max_message_size, or the browser's)`);
  }
  return bytes;
}

function view(data) {
  const buffer = ArrayBuffer.isView(data) ? data.buffer : data;
  const kind = buffer?.[Symbol.toStringTag];
  const shared = kind === 'SharedArrayBuffer';
  if (!shared && kind !== 'ArrayBuffer') throw new TypeError('a message is a string, a buffer or a view of one');
  const bytes = new Uint8Array(buffer, data.byteOffset ?? 0, data.byteLength);
  // The platform refuses memory that may change under it, as a wasm heap's.
  return shared || buffer.resizable ? bytes.slice() : bytes;
}

// Whether it threw nothing.
function attempt(action) {
  try {
    action();
    return true;
  } catch {
    return false;
  }
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
