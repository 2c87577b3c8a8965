/**
 * What can be sent. Strings are sent as their UTF-8 bytes. Shared and resizable
 * memory, as a wasm heap's, is copied first.
 */
export type Message = string | ArrayBufferLike | ArrayBufferView;

/**
 * The step of connecting that failed. `webrtc` is before all others: there is no
 * working `RTCPeerConnection`, and no websocket was opened. `upgrade`, `accept`
 * and `answer` are the server's own, when it says that it refused there: at
 * `accept` a failed login, the page's origin or a limit.
 */
export type Stage = 'webrtc' | 'websocket' | 'upgrade' | 'accept' | 'signalling' | 'answer' | 'ice' | 'dtls' | 'channel';

export interface ConnectOptions {
  /**
   * Milliseconds until `connect` gives up. Default 15,000. The time for which
   * the browser asks the user for the local network does not count, up to
   * `PERMISSION_TIMEOUT`.
   */
  timeout?: number;
  /**
   * How often a server that closes with 1013 (try again later) is tried again,
   * the attempts in the compatible form not counted. Default 4: after about half
   * a second, then after twice as long each time, within the timeout.
   */
  retries?: number;
  /** Aborts connecting; `connect` then rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Subprotocols for the websocket. Default none. */
  protocols?: string | string[];
  /** Settings for the `RTCPeerConnection`. Default none: no other server is needed. */
  rtc?: RTCConfiguration;
}

/**
 * Connects both paths; the result can send and receive at once.
 *
 * When an attempt fails at `dtls` or `channel`, or has been there for half of
 * the time that is left, a second one asks the server for the compatible form
 * of its offer (`net=compatible` in the query, which the application does not
 * see). If the server says of that too that DTLS failed, as when somebody
 * speaks in the page's name, both forms are tried again, `retries` times.
 *
 * A browser that hides all of its own addresses from WebRTC (settings and
 * extensions for privacy) gets up to four more attempts, every other one with
 * the server's UDP address as STUN server.
 *
 * @param url `ws:`, `wss:`, `http:` or `https:`, absolute or relative to the page. Default: the page's own host and port.
 * @throws ConnectError naming the step that failed, always within the timeout.
 */
export function connect(url?: string | URL, options?: ConnectOptions): Promise<Net>;

export class ConnectError extends Error {
  readonly name: 'ConnectError';
  readonly stage: Stage;
  /** What did not happen and what to look at; the server's own words where it gave any. */
  readonly reason: string;
  /**
   * The websocket's close code, when that is what ended the attempt: 1008 for a
   * refusal that stands, 1013 for one that is temporary and was tried again.
   */
  readonly code?: number;
}

export class NetMessageEvent extends Event {
  readonly type: 'message';
  /** The message; `data.buffer` holds exactly its bytes. */
  readonly data: Uint8Array<ArrayBuffer>;
  /** True for the websocket, false for the data channel. */
  readonly reliable: boolean;
}

export class NetCloseEvent extends Event {
  readonly type: 'close';
  /** The websocket's close code; 1006 when there was none, 1001 when the page is left, 4000 to 4999 for the server's own. */
  readonly code: number;
  /** The reason that the server gave, as in `server.close_with(id, 4001, "kicked")`. */
  readonly reason: string;
  /**
   * Who ended it. `network` also where Firefox closes the websocket because a
   * link to a file was followed: give such links the attribute `download`.
   */
  readonly by: 'client' | 'server' | 'network';
}

export interface NetEventMap {
  message: NetMessageEvent;
  close: NetCloseEvent;
}

export class Net extends EventTarget {
  private constructor();

  /**
   * Called for each message. Messages that arrive before a handler is set are
   * kept, up to `HELD_MESSAGES`, and given to the first one.
   */
  onmessage: ((event: NetMessageEvent) => void) | null;

  /** Called once, as the last event. A close before the handler is set is kept. */
  onclose: ((event: NetCloseEvent) => void) | null;

  /** True while both paths are open. */
  readonly open: boolean;

  /** The websocket underneath; `socket.bufferedAmount` tells how much is unsent. */
  readonly socket: WebSocket;
  /** The peer connection underneath, for `getStats()`. */
  readonly connection: RTCPeerConnection;
  /** The data channel underneath. */
  readonly channel: RTCDataChannel;

  /** Bytes of the longest message that the server takes, its `Config::max_message_size`. */
  readonly maxMessageSize: number;

  /**
   * Sends over the websocket: everything arrives, in order. With more than
   * `RELIABLE_BACKLOG` unsent the connection closes.
   *
   * @returns false when the connection is closed.
   * @throws TypeError for what is no message or detached; RangeError, before
   * anything is sent, for one over `maxMessageSize`.
   */
  sendReliable(data: Message): boolean;

  /**
   * Sends over the data channel: fresh or not at all, in any order.
   *
   * @returns false when it was dropped at once, because the connection is
   * closed, more than `UNRELIABLE_BACKLOG` is unsent, or nothing of that has
   * left for `UNRELIABLE_PATIENCE`.
   * @throws as `sendReliable`.
   */
  sendUnreliable(data: Message): boolean;

  /**
   * Closes both paths. Reliable messages sent before still arrive.
   *
   * @param code 1000 (default) or 3000 to 4999.
   * @param reason Up to 41 characters for the server.
   */
  close(code?: number, reason?: string): void;

  addEventListener<K extends keyof NetEventMap>(
    type: K,
    listener: (event: NetEventMap[K]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<K extends keyof NetEventMap>(
    type: K,
    listener: (event: NetEventMap[K]) => void,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | EventListenerOptions,
  ): void;
}

/** 15,000 ms. */
export const CONNECT_TIMEOUT: number;
/** 2. */
export const CONNECT_RETRIES: number;
/** 4,096 messages kept while nobody listens. */
export const HELD_MESSAGES: number;
/** 64 KiB. */
export const UNRELIABLE_BACKLOG: number;
/** 100 ms. */
export const UNRELIABLE_PATIENCE: number;
/** 16 MiB. */
export const RELIABLE_BACKLOG: number;
/** 60,000 ms. */
export const PERMISSION_TIMEOUT: number;
