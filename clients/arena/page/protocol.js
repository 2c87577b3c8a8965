// What the page and the server say to each other. `src/protocol.rs` is the
// other half and has the same table.
//
// Numbers are little endian; the first byte is the kind; a text is UTF-8 and
// reaches to the end of the message. Positions are in 1/16 unit.
//
// | kind | from | path | content |
// |---|---|---|---|
// | 1 join | page | reliable | u8 colour, text name; again to change either |
// | 2 move | page | unreliable | u16 number, i8 x, i8 y: where to, 127 is full speed |
// | 3 ping | both | unreliable | u32 the page's choice, sent back |
// | 4 say | page | reliable | text |
// | 16 welcome | server | reliable | u32 own id, u16 width, u16 height of the arena in units |
// | 17 player | server | reliable | u32 id, u8 colour, u16 score, text name |
// | 18 left | server | reliable | u32 id |
// | 19 said | server | reliable | u32 id, text |
// | 20 snapshot | server | unreliable | u32 tick, then for each player u32 id, u16 x, u16 y |
// | 21 spark | server | reliable | u8 index, u16 x, u16 y, u32 id of who caught it before, or NOBODY |

export const NOBODY = 0xffffffff;
export const TICK_RATE = 60;

export const PALETTE = [
  '#4cc9f0', '#f72585', '#ffd166', '#06d6a0', '#a78bfa',
  '#ff7b54', '#90e05a', '#5b8cff', '#ff9ecd', '#e8ecf8',
];

const PLAYER_BYTES = 8;

const utf8 = (text) => new TextEncoder().encode(text);
const text = (data, from) => new TextDecoder().decode(data.subarray(from));

function message(kind, length, fill) {
  const data = new Uint8Array(1 + length);
  data[0] = kind;
  fill(new DataView(data.buffer), data);
  return data;
}

export function join(colour, name) {
  const bytes = utf8(name);
  return message(1, 1 + bytes.length, (view, data) => {
    view.setUint8(1, colour);
    data.set(bytes, 2);
  });
}

export const move = (number, { x, y }) => message(2, 4, (view) => {
  view.setUint16(1, number & 0xffff, true);
  view.setInt8(3, Math.round(x * 127));
  view.setInt8(4, Math.round(y * 127));
});

export const ping = (time) => message(3, 4, (view) => view.setUint32(1, time, true));

export function say(words) {
  const bytes = utf8(words);
  return message(4, bytes.length, (_, data) => data.set(bytes, 1));
}

const place = (view, at) => ({ x: view.getUint16(at, true) / 16, y: view.getUint16(at + 2, true) / 16 });

function snapshot(view) {
  const players = [];
  for (let at = 5; at + PLAYER_BYTES <= view.byteLength; at += PLAYER_BYTES) {
    players.push({ id: view.getUint32(at, true), ...place(view, at + 4) });
  }
  return { kind: 'snapshot', tick: view.getUint32(1, true), players };
}

const readers = {
  3: (view) => ({ kind: 'ping', time: view.getUint32(1, true) }),
  16: (view) => ({ kind: 'welcome', id: view.getUint32(1, true), width: view.getUint16(5, true), height: view.getUint16(7, true) }),
  17: (view, data) => ({ kind: 'player', id: view.getUint32(1, true), colour: view.getUint8(5), score: view.getUint16(6, true), name: text(data, 8) }),
  18: (view) => ({ kind: 'left', id: view.getUint32(1, true) }),
  19: (view, data) => ({ kind: 'said', id: view.getUint32(1, true), words: text(data, 5) }),
  20: snapshot,
  21: (view) => ({ kind: 'spark', index: view.getUint8(1), ...place(view, 2), by: view.getUint32(6, true) }),
};

/** Reads a message of the server; undefined for an unknown kind. */
export function read(data) {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  return readers[data[0]]?.(view, data);
}
