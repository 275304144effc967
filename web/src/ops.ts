// Whole ops in a stream of bytes: what comes on several streams of one connection
// may then take turns.

const maxLine = 1 << 20; // bytes of a line, INFO's too; a longer one is noise
const newline = 10;

/** OpSplitter takes a stream in pieces, however cut, and passes on runs of whole ops. */
export class OpSplitter {
  #sink: (ops: Uint8Array) => void;
  #held: Uint8Array[] = []; // the beginning of an op
  #have = 0; // bytes in #held
  #need = 0; // the length of that op, 0 while its line is not complete

  /** sink is called with windows on what was pushed, or on a copy. */
  constructor(sink: (ops: Uint8Array) => void) {
    this.#sink = sink;
  }

  /** within says whether the last op is not complete. */
  get within(): boolean {
    return this.#have > 0;
  }

  /** push takes the next piece; it throws when that cannot be NATS. */
  push(piece: Uint8Array): void {
    if (this.#have > 0) {
      this.#held.push(piece);
      this.#have += piece.length;
      if (this.#have < this.#need) return;
      piece = join(this.#held);
    }
    let at = 0;
    let need = 0;
    while (at < piece.length) {
      need = opLength(piece, at);
      if (need === 0 || at + need > piece.length) break;
      at += need;
      need = 0;
    }
    const rest = piece.subarray(at);
    if (need === 0 && rest.length > maxLine) throw new Error(`a line of more than ${maxLine} bytes`);
    this.#held = rest.length > 0 ? [rest] : [];
    this.#have = rest.length;
    this.#need = need;
    if (at > 0) this.#sink(piece.subarray(0, at));
  }
}

/** join makes one array of several; of one, that one. */
export function join(pieces: Uint8Array[]): Uint8Array {
  if (pieces.length === 1 && pieces[0]) return pieces[0];
  const all = new Uint8Array(pieces.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of pieces) {
    all.set(p, at);
    at += p.length;
  }
  return all;
}

/** opLength returns the bytes of the op at an offset, 0 when its line is not complete. */
function opLength(b: Uint8Array, at: number): number {
  const end = b.indexOf(newline, at);
  if (end < 0) return 0;
  const line = end + 1 - at;
  const first = (b[at] ?? 0) | 0x20; // lower case
  if (first !== 0x6d && first !== 0x68) return line; // neither MSG nor HMSG
  return line + size(b, at, end) + 2;
}

/** size reads the number that ends the line from..end. */
function size(b: Uint8Array, from: number, end: number): number {
  let at = end - 1;
  while (at > from && isBlank(b[at])) at--;
  let n = 0;
  let digits = 0;
  for (let unit = 1; at > from; at--, unit *= 10, digits++) {
    const digit = (b[at] ?? 0) - 48;
    if (digit < 0 || digit > 9) break;
    n += digit * unit;
  }
  if (digits === 0 || digits > 9 || !isBlank(b[at])) throw new Error("a message without a size");
  return n;
}

function isBlank(c: number | undefined): boolean {
  return c === 32 || c === 9 || c === 13;
}
