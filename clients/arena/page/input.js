// Where the player wants to go: keys, a held mouse, or a finger that drags.

const KEYS = {
  KeyW: [0, -1], ArrowUp: [0, -1],
  KeyS: [0, 1], ArrowDown: [0, 1],
  KeyA: [-1, 0], ArrowLeft: [-1, 0],
  KeyD: [1, 0], ArrowRight: [1, 0],
};

/** Pixels a finger drags, or the mouse is away from the disc, for full speed. */
const FULL = 56;
/** Pixels near the disc in which the mouse means "stay". */
const STILL = 10;

const typing = () => document.activeElement?.tagName === 'INPUT';

export class Input {
  #down = new Set();
  /** The finger's or mouse's path, or null. */
  #pointer = null;

  constructor(surface) {
    addEventListener('keydown', (event) => this.#key(event));
    addEventListener('keyup', ({ code }) => this.#down.delete(code));
    addEventListener('blur', () => this.#release());
    surface.addEventListener('pointerdown', (event) => this.#press(surface, event));
    surface.addEventListener('pointermove', (event) => this.#drag(event));
    for (const end of ['pointerup', 'pointercancel']) {
      surface.addEventListener(end, ({ pointerId }) => {
        if (this.#pointer?.id === pointerId) this.#pointer = null;
      });
    }
    surface.addEventListener('contextmenu', (event) => event.preventDefault());
  }

  /** The stick under a finger, for drawing: { from, to } in pixels, or null. */
  get stick() {
    return this.#pointer?.touch ? this.#pointer : null;
  }

  /** The direction, at most 1 long; `disc` is where the own disc is on the screen. */
  direction(disc) {
    const keys = this.#keys();
    if (keys.x || keys.y) return limited(keys);
    if (!this.#pointer) return { x: 0, y: 0 };
    const { from, to, touch } = this.#pointer;
    const start = touch ? from : disc;
    return start ? reach(to.x - start.x, to.y - start.y) : { x: 0, y: 0 };
  }

  #keys() {
    const sum = { x: 0, y: 0 };
    for (const code of this.#down) {
      sum.x += KEYS[code][0];
      sum.y += KEYS[code][1];
    }
    return { x: Math.sign(sum.x), y: Math.sign(sum.y) };
  }

  #key(event) {
    if (!KEYS[event.code] || typing() || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.#down.add(event.code);
  }

  #press(surface, event) {
    // The keyboard belongs to the game again.
    document.activeElement?.blur();
    if (this.#pointer || event.button !== 0) return;
    surface.setPointerCapture(event.pointerId);
    const at = { x: event.clientX, y: event.clientY };
    this.#pointer = { id: event.pointerId, touch: event.pointerType === 'touch', from: at, to: at };
  }

  #drag({ pointerId, clientX, clientY }) {
    if (this.#pointer?.id === pointerId) this.#pointer.to = { x: clientX, y: clientY };
  }

  #release() {
    this.#down.clear();
    this.#pointer = null;
  }
}

function limited({ x, y }) {
  const length = Math.max(1, Math.hypot(x, y));
  return { x: x / length, y: y / length };
}

function reach(x, y) {
  const length = Math.hypot(x, y);
  if (length < STILL) return { x: 0, y: 0 };
  return limited({ x: x / FULL, y: y / FULL });
}
