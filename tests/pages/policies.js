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
  return (data) => policy() && net.channel.send(data);
}
