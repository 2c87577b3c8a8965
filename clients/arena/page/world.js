// What the page believes about the arena: where everyone is right now.
//
// The others are shown as they were 100 ms ago, between two snapshots: that is
// smooth even when one of them is lost. The own disc moves at once, by the
// server's rules, and is drawn gently to where the server says it is.

import { NOBODY, TICK_RATE } from './protocol.js';

/** How far behind the newest snapshot the others are shown, in ms. */
const DELAY = 100;
/** Snapshots kept of each player. */
const TRACK = 24;
/** Own positions remembered to compare with the server's, in frames. */
const HISTORY = 240;
/** Part of the own disc's error that one snapshot corrects. */
const CORRECTION = 0.12;
/** Errors of more than this many units are corrected at once. */
const JUMP = 160;

// As in `src/game.rs`.
const SPEED = 460;
const RESPONSE = 9;
export const RADIUS = 26;

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

export class World {
  width = 1600;
  height = 1000;
  players = new Map();
  sparks = [];
  /** Short-lived things to draw: sparks that were caught. */
  bursts = [];
  myId = NOBODY;
  #clock = new Clock();
  #mine = null;

  get me() {
    return this.players.get(this.myId);
  }

  /** Those who have a name and a place, for drawing. */
  get shown() {
    return [...this.players.values()].filter((player) => player.name !== null && player.x !== null);
  }

  welcome({ id, width, height }) {
    Object.assign(this, { myId: id, width, height });
  }

  introduce({ id, name, colour, score }) {
    Object.assign(this.#player(id), { name, colour, score });
  }

  remove({ id }) {
    this.players.delete(id);
  }

  spark({ index, x, y, by }, now) {
    const before = this.sparks[index];
    this.sparks[index] = { x, y, born: now };
    const catcher = this.players.get(by);
    if (!catcher) return;
    catcher.score += 1;
    if (before) this.bursts.push({ x: before.x, y: before.y, colour: catcher.colour, born: now });
  }

  /** Takes a snapshot; `trip` is the measured round trip in ms. */
  snapshot({ tick, players }, now, trip) {
    const time = (tick * 1000) / TICK_RATE;
    this.#clock.saw(time, now);
    for (const { id, x, y } of players) {
      const player = this.#player(id);
      if (player.track.length > 0 && player.track.at(-1).time >= time) continue;
      player.track.push({ time, x, y });
      if (player.track.length > TRACK) player.track.shift();
      if (id === this.myId) this.#correct({ x, y }, now - trip);
    }
  }

  /** Moves everyone to where they are at `now`, `seconds` after the last call. */
  advance(now, seconds, direction) {
    const shownTime = this.#clock.time(now) - DELAY;
    for (const player of this.players.values()) {
      const before = { x: player.x, y: player.y };
      if (player.id === this.myId && this.#mine) this.#predict(player, now, seconds, direction);
      else Object.assign(player, between(player.track, shownTime));
      if (before.x !== null && seconds > 0) follow(player, before, seconds);
    }
    this.bursts = this.bursts.filter(({ born }) => now - born < 600);
  }

  #player(id) {
    if (!this.players.has(id)) {
      this.players.set(id, { id, name: null, colour: 0, score: 0, x: null, y: null, vx: 0, vy: 0, track: [] });
    }
    return this.players.get(id);
  }

  #predict(player, now, seconds, direction) {
    const mine = this.#mine;
    const blend = 1 - Math.exp(-RESPONSE * seconds);
    mine.vx += (direction.x * SPEED - mine.vx) * blend;
    mine.vy += (direction.y * SPEED - mine.vy) * blend;
    mine.x = clamp(mine.x + mine.vx * seconds, RADIUS, this.width - RADIUS);
    mine.y = clamp(mine.y + mine.vy * seconds, RADIUS, this.height - RADIUS);
    mine.history.push({ time: now, x: mine.x, y: mine.y });
    if (mine.history.length > HISTORY) mine.history.shift();
    Object.assign(player, { x: mine.x, y: mine.y });
  }

  // The server's place is that of `then`, when our steering of now was on its way.
  #correct({ x, y }, then) {
    const mine = this.#mine ?? { x, y, vx: 0, vy: 0, history: [] };
    this.#mine = mine;
    const past = between(mine.history, then);
    if (past.x === null) return;
    const error = { x: x - past.x, y: y - past.y };
    const part = Math.hypot(error.x, error.y) > JUMP ? 1 : CORRECTION;
    for (const place of [mine, ...mine.history]) {
      place.x += error.x * part;
      place.y += error.y * part;
    }
  }
}

/** The server's time, from the snapshots that came quickest. */
class Clock {
  #offset = null;

  saw(time, now) {
    const offset = time - now;
    this.#offset ??= offset;
    // Late snapshots are the network's fault; a drift is followed slowly.
    this.#offset = Math.max(offset, this.#offset + (offset - this.#offset) * 0.01);
  }

  time(now) {
    return now + (this.#offset ?? 0);
  }
}

/** The place on a track at a time; its ends outside of it. */
function between(track, time) {
  if (track.length === 0) return { x: null, y: null };
  const next = track.findIndex((place) => place.time >= time);
  if (next === -1) return { x: track.at(-1).x, y: track.at(-1).y };
  if (next === 0) return { x: track[0].x, y: track[0].y };
  const [a, b] = [track[next - 1], track[next]];
  const part = (time - a.time) / (b.time - a.time);
  return { x: a.x + (b.x - a.x) * part, y: a.y + (b.y - a.y) * part };
}

// A smoothed velocity, for the drawing.
function follow(player, before, seconds) {
  const blend = 1 - Math.exp(-12 * seconds);
  player.vx += ((player.x - before.x) / seconds - player.vx) * blend;
  player.vy += ((player.y - before.y) / seconds - player.vy) * blend;
}
