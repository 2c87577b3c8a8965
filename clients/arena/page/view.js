// Draws the world on the canvas.

import { PALETTE } from './protocol.js';
import { RADIUS } from './world.js';

/** Below this many pixels a unit the camera follows the player instead. */
const SMALLEST = 0.62;
const MARGIN = 48; // units of nothing around the arena
const GRID = 100;

const turn = Math.PI * 2;

export class View {
  #canvas;
  #brush;
  #camera = { x: 800, y: 500, scale: 1 };
  #glows = new Map();

  constructor(canvas) {
    this.#canvas = canvas;
    this.#brush = canvas.getContext('2d', { alpha: false });
  }

  /** Where a place of the arena is on the screen, in CSS pixels. */
  onScreen({ x, y }) {
    const { scale } = this.#camera;
    return {
      x: (x - this.#camera.x) * scale + innerWidth / 2,
      y: (y - this.#camera.y) * scale + innerHeight / 2,
    };
  }

  draw(world, stick, now, seconds) {
    this.#fit();
    this.#follow(world, seconds);
    const brush = this.#brush;
    const ratio = this.#canvas.width / innerWidth;
    brush.setTransform(ratio, 0, 0, ratio, 0, 0);
    brush.fillStyle = '#0a0e1a';
    brush.fillRect(0, 0, innerWidth, innerHeight);
    brush.save();
    brush.translate(innerWidth / 2, innerHeight / 2);
    brush.scale(this.#camera.scale, this.#camera.scale);
    brush.translate(-this.#camera.x, -this.#camera.y);
    this.#floor(world);
    this.#sparks(world, now);
    this.#discs(world, now);
    this.#bursts(world, now);
    this.#names(world);
    brush.restore();
    if (stick) this.#stick(stick);
  }

  #fit() {
    const ratio = Math.min(devicePixelRatio || 1, 2);
    const [width, height] = [Math.round(innerWidth * ratio), Math.round(innerHeight * ratio)];
    if (this.#canvas.width === width && this.#canvas.height === height) return;
    this.#canvas.width = width;
    this.#canvas.height = height;
  }

  // The whole arena where there is room for it, else the surroundings of the player.
  #follow({ width, height, me }, seconds) {
    const camera = this.#camera;
    const whole = Math.min(innerWidth / (width + 2 * MARGIN), innerHeight / (height + 2 * MARGIN));
    camera.scale = Math.max(SMALLEST, whole);
    const aim = me?.x == null ? { x: width / 2, y: height / 2 } : me;
    const blend = 1 - Math.exp(-8 * seconds);
    const x = held(aim.x, width, innerWidth / camera.scale);
    const y = held(aim.y, height, innerHeight / camera.scale);
    camera.x += (x - camera.x) * blend;
    camera.y += (y - camera.y) * blend;
  }

  #floor({ width, height }) {
    const brush = this.#brush;
    const light = brush.createRadialGradient(width / 2, height / 2, 80, width / 2, height / 2, width * 0.7);
    light.addColorStop(0, '#1a2440');
    light.addColorStop(1, '#10172a');
    brush.beginPath();
    brush.roundRect(0, 0, width, height, 36);
    brush.fillStyle = light;
    brush.fill();
    brush.save();
    brush.clip();
    brush.fillStyle = 'rgb(255 255 255 / 10%)';
    for (let x = GRID / 2; x < width; x += GRID) {
      for (let y = GRID / 2; y < height; y += GRID) this.#dot(x, y, 2.2);
    }
    brush.restore();
    brush.lineWidth = 3;
    brush.strokeStyle = '#33446e';
    brush.beginPath();
    brush.roundRect(0, 0, width, height, 36);
    brush.stroke();
  }

  #sparks({ sparks }, now) {
    for (const { x, y, born } of sparks.filter(Boolean)) {
      const grown = Math.min(1, (now - born) / 250);
      const size = grown * (1 + 0.14 * Math.sin(now / 260 + x));
      this.#glow('#ffd98a', x, y, 30 * size, 0.5);
      this.#brush.fillStyle = '#fff1c9';
      this.#star(x, y, 10 * size, now / 1400 + x);
    }
  }

  #star(x, y, size, angle) {
    const brush = this.#brush;
    brush.beginPath();
    for (let point = 0; point < 8; point++) {
      const far = point % 2 ? size * 0.45 : size;
      const at = angle + (point * turn) / 8;
      brush.lineTo(x + Math.cos(at) * far, y + Math.sin(at) * far);
    }
    brush.fill();
  }

  #discs(world, now) {
    for (const player of world.shown) {
      const colour = PALETTE[player.colour] ?? PALETTE[0];
      const mine = player.id === world.myId;
      this.#glow(colour, player.x, player.y, RADIUS * 2.1, mine ? 0.42 : 0.26);
      this.#disc(player, colour, mine, now);
    }
  }

  // Stretched a little along its way.
  #disc({ x, y, vx, vy }, colour, mine, now) {
    const brush = this.#brush;
    const stretch = 1 + Math.min(0.06, Math.hypot(vx, vy) / 7000);
    const angle = Math.atan2(vy, vx);
    brush.save();
    brush.translate(x, y);
    brush.rotate(angle);
    brush.scale(stretch, 1 / stretch);
    brush.rotate(-angle);
    brush.fillStyle = colour;
    this.#dot(0, 0, RADIUS);
    const shine = brush.createRadialGradient(-9, -11, 2, 0, 0, RADIUS);
    shine.addColorStop(0, 'rgb(255 255 255 / 55%)');
    shine.addColorStop(0.55, 'rgb(255 255 255 / 6%)');
    shine.addColorStop(1, 'rgb(0 0 20 / 24%)');
    brush.fillStyle = shine;
    this.#dot(0, 0, RADIUS);
    if (mine) this.#ring(RADIUS + 5 + Math.sin(now / 400) * 0.8);
    brush.restore();
  }

  #ring(radius) {
    this.#brush.beginPath();
    this.#brush.arc(0, 0, radius, 0, turn);
    this.#brush.lineWidth = 2;
    this.#brush.strokeStyle = 'rgb(255 255 255 / 75%)';
    this.#brush.stroke();
  }

  #names(world) {
    const brush = this.#brush;
    // Readable on a phone: never under 12 pixels.
    const size = Math.max(17, 12 / this.#camera.scale);
    brush.font = `600 ${size}px system-ui, sans-serif`;
    brush.textAlign = 'center';
    brush.textBaseline = 'top';
    brush.lineJoin = 'round';
    brush.lineWidth = 4;
    brush.strokeStyle = 'rgb(10 14 26 / 80%)';
    for (const { x, y, name, id } of world.shown) {
      brush.fillStyle = id === world.myId ? '#ffffff' : '#c9d2ea';
      brush.strokeText(name, x, y + RADIUS + 10);
      brush.fillText(name, x, y + RADIUS + 10);
    }
  }

  #bursts({ bursts }, now) {
    for (const { x, y, colour, born } of bursts) {
      const age = (now - born) / 600;
      this.#brush.globalAlpha = (1 - age) ** 2;
      this.#brush.fillStyle = PALETTE[colour] ?? PALETTE[0];
      for (let piece = 0; piece < 9; piece++) {
        const angle = (piece * turn) / 9 + x;
        const far = 14 + 46 * (1 - (1 - age) ** 3);
        this.#dot(x + Math.cos(angle) * far, y + Math.sin(angle) * far, 5 * (1 - age));
      }
    }
    this.#brush.globalAlpha = 1;
  }

  #stick({ from, to }) {
    const brush = this.#brush;
    const far = Math.hypot(to.x - from.x, to.y - from.y);
    const part = Math.min(1, 56 / Math.max(1, far));
    brush.lineWidth = 2;
    brush.strokeStyle = 'rgb(255 255 255 / 22%)';
    brush.beginPath();
    brush.arc(from.x, from.y, 56, 0, turn);
    brush.stroke();
    brush.fillStyle = 'rgb(255 255 255 / 28%)';
    this.#dot(from.x + (to.x - from.x) * part, from.y + (to.y - from.y) * part, 24);
  }

  #dot(x, y, radius) {
    this.#brush.beginPath();
    this.#brush.arc(x, y, Math.max(0, radius), 0, turn);
    this.#brush.fill();
  }

  #glow(colour, x, y, radius, strength) {
    this.#brush.globalAlpha = strength;
    this.#brush.drawImage(this.#glowOf(colour), x - radius, y - radius, radius * 2, radius * 2);
    this.#brush.globalAlpha = 1;
  }

  // Drawn once for each colour: gradients are slow.
  #glowOf(colour) {
    if (!this.#glows.has(colour)) this.#glows.set(colour, glow(colour));
    return this.#glows.get(colour);
  }
}

function glow(colour) {
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = 128;
  const brush = canvas.getContext('2d');
  const light = brush.createRadialGradient(64, 64, 0, 64, 64, 64);
  light.addColorStop(0, colour);
  light.addColorStop(0.5, `${colour}66`);
  light.addColorStop(1, `${colour}00`);
  brush.fillStyle = light;
  brush.fillRect(0, 0, 128, 128);
  return canvas;
}

/** The middle of the visible part, so that it shows `size` units with a margin and no more. */
function held(aim, size, visible) {
  const most = size + 2 * MARGIN;
  if (visible >= most) return size / 2;
  return Math.min(size + MARGIN - visible / 2, Math.max(visible / 2 - MARGIN, aim));
}
