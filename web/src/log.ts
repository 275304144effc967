// The last messages, bounded in number and bytes.

/** Entry is a message that was received. */
export interface Entry {
  id: number;
  at: number; // milliseconds of the epoch
  subject: string;
  reply: string;
  headers: [string, string][];
  data: Uint8Array;
  color: number; // of the subscription
  preview: string; // made when first seen
}

const maxEntries = 1000;
const maxBytes = 32 << 20;

/** Log keeps the newest entries in a ring. */
export class Log {
  /** total counts what was added since it was cleared. */
  total = 0;
  /** last is the id of the newest entry there ever was. */
  last = 0;
  #ring: (Entry | undefined)[] = new Array(maxEntries);
  #next = 0; // where the next entry goes
  #length = 0;
  #bytes = 0;

  get length(): number {
    return this.#length;
  }

  add(e: Omit<Entry, "id" | "preview">): void {
    while (this.#length > 0 && (this.#length === maxEntries || this.#bytes + e.data.length > maxBytes)) this.#dropOldest();
    this.#ring[this.#next] = { ...e, id: ++this.last, preview: "" };
    this.total++;
    this.#next = (this.#next + 1) % maxEntries;
    this.#length++;
    this.#bytes += e.data.length;
  }

  /** at returns the entry that is i older than the newest. */
  at(i: number): Entry | undefined {
    return i < 0 || i >= this.#length ? undefined : this.#ring[(this.#next - 1 - i + 2 * maxEntries) % maxEntries];
  }

  clear(): void {
    this.#ring.fill(undefined);
    this.#length = this.#bytes = this.#next = this.total = 0;
  }

  #dropOldest(): void {
    const i = (this.#next - this.#length + maxEntries) % maxEntries;
    this.#bytes -= this.#ring[i]?.data.length ?? 0;
    this.#ring[i] = undefined;
    this.#length--;
  }
}
