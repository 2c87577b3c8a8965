// When a page gives its channel what it has to send. During an outage the browser's SCTP keeps
// what it is given, has room in flight for one packet at a time, and waits twice as long for
// each; what a page does then decides how soon its messages arrive again.

const SILENCE = 250; // ms without a message from the server that make an outage likely
const LOOK = 100; // ms between two looks at the browser's counters

// Each gives a function that says whether to give the channel a message now.
const policies = {
  // All of it.
  all: () => () => true,
  // Nothing while anything is unsent.
  idle: ({ channel }) => () => channel.bufferedAmount === 0,
  // While anything is unsent, one message for so many milliseconds.
  every100: (net) => seldom(net, 100),
  every200: (net) => seldom(net, 200),
  // Nothing is unsent, and while nothing comes from the server one message for so many ms.
  sparse100: (net) => heard(net, 100),
  sparse200: (net) => heard(net, 200),
  sparse500: (net) => heard(net, 500),
  sparse1000: (net) => heard(net, 1000),
  // Nothing while nothing comes from the server.
  heard: (net) => heard(net, Infinity),
  // The same by the browser's counters, which know of connectivity checks too.
  counted: (net) => counted(net, Infinity),
  counted500: (net) => counted(net, 500),
  // While something is unsent for long, or again soon after that, one message for 200 ms: a
  // `send()` carries the FORWARD-TSN that is due, and its acknowledgement ends the waiting.
  stuck: ({ channel }) => {
    const [STUCK, PROBE, WARY] = [250, 200, 1000]; // ms
    let [clear, stuck, fed] = [0, -Infinity, 0];
    return () => {
      const now = performance.now();
      if (channel.bufferedAmount === 0) clear = now;
      else if (now - clear >= (now - stuck < WARY ? 0 : STUCK)) {
        stuck = now;
        if (now - fed < PROBE) return false;
      }
      fed = now;
      return true;
    };
  },
  // Nothing to a channel that sent nothing for 100 ms, or one message for so many ms.
  drain: (net) => drain(net, Infinity),
  drain200: (net) => drain(net, 200),
  // A tenth of the silence between two messages.
  growing: (net) => {
    const last = lastHeard(net);
    let sent = 0;
    return () => {
      const now = performance.now();
      const pause = now - last.at > SILENCE ? Math.max(50, (now - last.at) / 8) : 0;
      if (net.channel.bufferedAmount > 0 || now - sent < pause) return false;
      sent = now;
      return true;
    };
  },
};

function seldom({ channel }, pause) {
  let sent = 0;
  return () => {
    const now = performance.now();
    if (channel.bufferedAmount > 0 && now - sent < pause) return false;
    sent = now;
    return true;
  };
}

function drain({ channel }, probe) {
  let [level, moved, fed] = [0, 0, 0];
  return (size) => {
    const [now, unsent] = [performance.now(), channel.bufferedAmount];
    if (unsent === 0 || unsent < level) moved = now;
    const blocked = now - moved > 100;
    const probes = now - fed >= probe;
    const admitted = unsent === 0 || ((!blocked || probes) && unsent + size <= 65_536);
    if (admitted) fed = now;
    level = unsent + (admitted ? size : 0);
    return admitted;
  };
}

function lastHeard(net) {
  const last = { at: performance.now() };
  net.channel.addEventListener('message', () => (last.at = performance.now()));
  return last;
}

function heard(net, pause) {
  const last = lastHeard(net);
  let sent = 0;
  return () => {
    const now = performance.now();
    if (net.channel.bufferedAmount > 0) return false;
    if (now - last.at > SILENCE && now - sent < pause) return false;
    sent = now;
    return true;
  };
}

function counted(net, pause) {
  const last = lastHeard(net);
  let sent = 0;
  let before = -1;
  setInterval(async () => {
    if (performance.now() - last.at < SILENCE) return;
    const all = [...(await net.connection.getStats()).values()];
    const now = all.reduce((sum, { responsesReceived }) => sum + (responsesReceived ?? 0), 0);
    if (before >= 0 && now > before) last.at = performance.now();
    before = now;
  }, LOOK);
  return () => {
    const now = performance.now();
    if (net.channel.bufferedAmount > 0) return false;
    if (now - last.at > SILENCE && now - sent < pause) return false;
    sent = now;
    return true;
  };
}

/** What sends by the policy of this name; `net` is the client module's own. */
export function sender(net, name) {
  if (name === 'net') return (data) => net.sendUnreliable(data);
  const policy = policies[name](net);
  return (data) => policy(data.byteLength) && net.channel.send(data);
}
