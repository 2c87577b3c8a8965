// Everything around the canvas: status, scores, chat, the form to join.

import { PALETTE } from './protocol.js';

/** Chat lines kept. */
const LINES = 8;
/** Players in the list of scores. */
const BEST = 8;
/** Pixels around the own disc that nothing should cover. */
const REACH = 24;

const element = (id) => document.getElementById(id);

function text(tag, content, colour) {
  const made = document.createElement(tag);
  made.textContent = content;
  if (colour) made.style.color = colour;
  return made;
}

export class Hud {
  /** Called with { name, colour } when the player wants to play. */
  onjoin = () => {};
  /** Called with a line of chat. */
  onsay = () => {};
  #colour = Number(localStorage.getItem('colour') ?? Math.floor(Math.random() * PALETTE.length));
  #scores = '';

  constructor() {
    element('name').value = localStorage.getItem('name') ?? '';
    if (matchMedia('(pointer: coarse)').matches) element('words').placeholder = 'Say something';
    this.#makeColours();
    element('join').addEventListener('submit', (event) => this.#join(event));
    element('say').addEventListener('submit', (event) => this.#say(event));
    addEventListener('keydown', (event) => this.#shortcut(event));
  }

  status({ players, trip }) {
    element('players').textContent = players === 1 ? '1 player' : `${players} players`;
    element('ping').textContent = trip === null ? '' : `${Math.round(trip)} ms`;
    element('ping').classList.toggle('slow', trip > 150);
  }

  scores(players, myId) {
    const best = [...players].sort((a, b) => b.score - a.score || a.id - b.id).slice(0, BEST);
    const state = JSON.stringify(best.map(({ id, name, colour, score }) => [id, name, colour, score, myId]));
    // The page's layout is only touched when something changed.
    if (state === this.#scores) return;
    this.#scores = state;
    element('scores').hidden = best.length === 0;
    element('scores').replaceChildren(...best.map((player) => scoreLine(player, myId)));
  }

  said({ name, colour }, words) {
    const line = document.createElement('li');
    line.append(text('b', name, PALETTE[colour]), ` ${words}`);
    this.#addLine(line);
  }

  happened(what) {
    const line = text('li', what);
    line.className = 'event';
    this.#addLine(line);
  }

  /** A message in the middle; without one it goes away. */
  notice(words) {
    element('notice').hidden = !words;
    element('notice').textContent = words ?? '';
  }

  /** What lies over this point of the screen becomes see-through. */
  makeRoom({ x, y }) {
    for (const id of ['status', 'scores', 'chat']) {
      const { left, right, top, bottom } = element(id).getBoundingClientRect();
      const over = x > left - REACH && x < right + REACH && y > top - REACH && y < bottom + REACH;
      element(id).classList.toggle('aside', over);
    }
  }

  askToJoin() {
    element('join').hidden = false;
    element('say').hidden = true;
    if (matchMedia('(pointer: fine)').matches) element('name').focus();
  }

  playing() {
    element('join').hidden = true;
    element('say').hidden = false;
  }

  #makeColours() {
    const buttons = PALETTE.map((colour, index) => {
      const button = document.createElement('button');
      button.type = 'button';
      button.role = 'radio';
      button.ariaLabel = `Colour ${index + 1}`;
      button.style.setProperty('--colour', colour);
      button.addEventListener('click', () => this.#choose(index));
      return button;
    });
    element('colours').replaceChildren(...buttons);
    this.#choose(this.#colour);
  }

  #choose(colour) {
    this.#colour = PALETTE[colour] ? colour : 0;
    document.documentElement.style.setProperty('--mine', PALETTE[this.#colour]);
    [...element('colours').children].forEach((button, index) => {
      button.ariaChecked = String(index === this.#colour);
    });
  }

  #join(event) {
    event.preventDefault();
    const name = element('name').value.trim();
    localStorage.setItem('name', name);
    localStorage.setItem('colour', this.#colour);
    document.activeElement?.blur();
    this.onjoin({ name, colour: this.#colour });
  }

  #say(event) {
    event.preventDefault();
    const words = element('words').value.trim();
    element('words').value = '';
    element('words').blur();
    if (words) this.onsay(words);
  }

  #shortcut({ key }) {
    const inField = document.activeElement?.tagName === 'INPUT';
    if (key === 'Escape') document.activeElement?.blur();
    // Later, so that this key press does not send the form it opens.
    if (key === 'Enter' && !inField && !element('say').hidden) setTimeout(() => element('words').focus());
  }

  #addLine(line) {
    const lines = element('lines');
    lines.append(line);
    while (lines.children.length > LINES) lines.firstChild.remove();
  }
}

function scoreLine({ id, name, colour, score }, myId) {
  const line = document.createElement('li');
  const mark = document.createElement('i');
  mark.style.background = PALETTE[colour];
  line.className = id === myId ? 'me' : '';
  line.append(mark, text('b', name), text('u', score));
  return line;
}
