// Puts the pieces together: the connection, the world, the screen.

import { Hud } from './hud.js';
import { Input } from './input.js';
import { connect } from './net.js';
import * as protocol from './protocol.js';
import { View } from './view.js';
import { World } from './world.js';

const SEND_EVERY = 1000 / 60; // ms between messages while moving
const SEND_STILL = 100; // and while standing
const PING_EVERY = 500;
const RECONNECT = [500, 1000, 2000, 4000]; // ms, the last one for ever

// What a failed step of connecting means to a player.
const CAUSES = {
  websocket: 'The server does not answer.',
  signalling: 'The server does not let us in.',
  ice: 'UDP does not get through.',
};

const canvas = document.getElementById('view');
const hud = new Hud();
const view = new View(canvas);
const input = new Input(canvas);
const game = `ws://${location.hostname}:${document.documentElement.dataset.gamePort}`;

let world = new World();
let net = null;
let wish = null; // { name, colour } once the player wants to play
let trip = null; // ms there and back, smoothed
let moves = 0;
let lastMove = { time: 0, x: 0, y: 0 };

const handlers = {
  ping: ({ time }, now) => {
    const sample = Math.max(0, now - time);
    trip = trip === null ? sample : trip + (sample - trip) * 0.2;
  },
  welcome: (message) => world.welcome(message),
  player: (message) => {
    const isNew = !(world.players.get(message.id)?.name);
    world.introduce(message);
    if (message.id === world.myId) hud.playing();
    // Those who were there before us are no news.
    else if (isNew && world.me?.name) hud.happened(`${message.name} is here`);
  },
  left: (message) => {
    const name = world.players.get(message.id)?.name;
    if (name) hud.happened(`${name} left`);
    world.remove(message);
  },
  said: ({ id, words }) => {
    const player = world.players.get(id);
    if (player?.name) hud.said(player, words);
  },
  snapshot: (message, now) => world.snapshot(message, now, trip ?? 50),
  spark: (message, now) => world.spark(message, now),
};

async function stayConnected() {
  for (let failures = 0; ; ) {
    try {
      await playOnce();
      failures = 0;
      hud.notice('Connection lost. Trying again …');
    } catch (error) {
      console.warn(error);
      hud.notice(`${CAUSES[error.stage] ?? 'Could not connect.'} Trying again …`);
    }
    await new Promise((resolve) => setTimeout(resolve, RECONNECT[Math.min(failures++, RECONNECT.length - 1)]));
  }
}

// Connects, and ends when the connection does.
async function playOnce() {
  const connection = await connect(game);
  world = new World();
  trip = null;
  net = connection;
  hud.notice(null);
  if (wish) join(wish);
  else hud.askToJoin();
  connection.onmessage = ({ data }) => {
    const message = protocol.read(data);
    if (message) handlers[message.kind](message, performance.now());
  };
  await new Promise((resolve) => {
    connection.onclose = resolve;
  });
  net = null;
}

function join({ name, colour }) {
  wish = { name, colour };
  net?.sendReliable(protocol.join(colour, name));
}

function sendMove(direction, now) {
  const still = direction.x === 0 && direction.y === 0;
  const same = direction.x === lastMove.x && direction.y === lastMove.y;
  const pause = still && same ? SEND_STILL : SEND_EVERY;
  // A display's frames are never exactly on time.
  if (!net || !world.me || now - lastMove.time < pause - 4) return;
  lastMove = { time: now, ...direction };
  net.sendUnreliable(protocol.move(moves++, direction));
}

function frame(now, before) {
  const seconds = Math.min(0.1, (now - before) / 1000);
  const { me } = world;
  const direction = me?.x == null ? { x: 0, y: 0 } : input.direction(view.onScreen(me));
  sendMove(direction, now);
  world.advance(now, seconds, direction);
  view.draw(world, input.stick, now, seconds);
  hud.scores(world.shown, world.myId);
  if (me?.x != null) hud.makeRoom(view.onScreen(me));
  requestAnimationFrame(() => frame(performance.now(), now));
}

setInterval(() => {
  if (!net) return;
  net.sendUnreliable(protocol.ping(Math.floor(performance.now())));
  hud.status({ players: world.shown.length, trip });
}, PING_EVERY);

hud.onjoin = join;
hud.onsay = (words) => net?.sendReliable(protocol.say(words));
// For trying things out in the console.
window.arena = { get world() { return world; }, get net() { return net; } };
stayConnected();
frame(performance.now(), performance.now());
