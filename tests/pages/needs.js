// What becomes of connect() where this runs.
import { connect } from './net.js';

export async function attempt(server, timeout = 6000) {
  const began = performance.now();
  try {
    (await connect(server, { timeout })).close();
    return { stage: 'connected' };
  } catch ({ name, stage, reason, message }) {
    return { name, stage, reason, message, took: performance.now() - began };
  }
}

if (!globalThis.document) onmessage = async ({ data }) => postMessage(await attempt(data));
