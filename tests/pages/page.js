// What every test page needs: where the server is, a way to report, and a
// connection that answers one question at a time.
import { connect } from './net.js';

export const query = new URLSearchParams(location.search);
export const server = `ws://${query.get('host') ?? '127.0.0.1'}:${query.get('port')}`;
export const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

const post = (path, body) => fetch(path, { method: 'POST', body, keepalive: true });

export const log = (line) => post('/log', String(line));
export const report = (result) => post('/report', JSON.stringify(result));

/** Runs a scenario and reports what it returns, or how it failed. */
export async function run(scenario) {
  addEventListener('error', ({ message }) => log(message));
  addEventListener('unhandledrejection', ({ reason }) => log(reason));
  try {
    await report({ ok: true, ...(await scenario()) });
  } catch (error) {
    await report({ ok: false, error: `${error}\n${error.stack}`, stage: error.stage });
  }
}

/** A connection whose messages wait in a list until they are asked for. */
export class Client {
  #messages = [];
  #wanted = null;

  static async open(options) {
    return new Client(await connect(server, options));
  }

  constructor(net) {
    this.net = net;
    this.closed = new Promise((resolve) => {
      net.onclose = ({ code, reason, by }) => resolve({ code, reason, by });
    });
    net.onmessage = (message) => {
      this.#messages.push(message);
      this.#wanted?.();
    };
  }

  /** The next message, or undefined when none comes in time. */
  async next(timeout = 5000) {
    if (this.#messages.length === 0) {
      let timer;
      await new Promise((resolve) => {
        this.#wanted = resolve;
        timer = setTimeout(resolve, timeout);
      });
      clearTimeout(timer);
      this.#wanted = null;
    }
    return this.#messages.shift();
  }

  /** Tells the test's server what to do; it answers `ok`. */
  async command(text) {
    this.net.sendReliable(`command:${text}`);
    for (;;) {
      const message = await this.next();
      if (!message) throw new Error(`no answer to ${text}`);
      if (message.reliable && new TextDecoder().decode(message.data) === 'ok') return;
    }
  }

  send(reliable, data) {
    return reliable ? this.net.sendReliable(data) : this.net.sendUnreliable(data);
  }
}

export function number(index) {
  const data = new Uint8Array(4);
  new DataView(data.buffer).setUint32(0, index, true);
  return data;
}

export const numberIn = (data) => new DataView(data.buffer).getUint32(0, true);
