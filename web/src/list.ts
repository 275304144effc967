// The list of messages. Only the rows in sight exist, so it costs the same at 10
// messages a second and at 10,000: a frame shows what is newest then.
import { byId, make, perFrame, setText } from "./dom";
import { bytes, clock, count } from "./format";
import type { Entry, Log } from "./log";
import { preview } from "./payload";

const previewLength = 240;
const spare = 4; // rows beyond the visible ones

interface Row {
  element: HTMLElement;
  time: HTMLElement;
  subject: HTMLElement;
  tags: HTMLElement;
  preview: HTMLElement;
  size: HTMLElement;
  entry: Entry | undefined;
}

/** List shows a log, newest first. */
export class List {
  /** refresh draws in the next frame. */
  readonly refresh = perFrame(() => this.#draw());
  #log: Log;
  #box = byId("list");
  #space = byId("rows");
  #empty = byId("empty");
  #count = byId("count");
  #rows: Row[] = [];
  #filter = "";
  #view: Entry[] = []; // what passes the filter, newest first
  #newest = 0; // the id of the newest entry drawn
  #height = 32;
  #chosen: Entry | undefined;
  #choose: (e: Entry | undefined) => void;

  /** choose is called with the message that was selected. */
  constructor(log: Log, choose: (e: Entry | undefined) => void) {
    this.#log = log;
    this.#choose = choose;
    this.#box.addEventListener("scroll", this.refresh, { passive: true });
    this.#box.addEventListener("keydown", (ev) => this.#key(ev));
    new ResizeObserver(() => this.#measure()).observe(this.#box);
    const input = byId<HTMLInputElement>("filter");
    input.addEventListener("input", () => {
      this.#filter = input.value.trim().toLowerCase();
      this.#box.scrollTop = 0;
      this.#newest = 0;
      this.refresh();
    });
  }

  /** select marks e, or nothing, and tells. */
  select(e: Entry | undefined): void {
    this.#chosen = e;
    this.#choose(e);
    this.refresh();
  }

  #measure(): void {
    this.#height = parseFloat(getComputedStyle(this.#box).getPropertyValue("--row")) || 32;
    this.refresh();
  }

  #matches(e: Entry): boolean {
    if (e.subject.toLowerCase().includes(this.#filter) || previewOf(e).toLowerCase().includes(this.#filter)) return true;
    return e.headers.some(([k, v]) => `${k}: ${v}`.toLowerCase().includes(this.#filter));
  }

  #draw(): void {
    const view: Entry[] = [];
    let fresh = 0; // how far what was on top has moved down
    for (let i = 0; i < this.#log.length; i++) {
      const e = this.#log.at(i);
      if (!e || this.#filter !== "" && !this.#matches(e)) continue;
      view.push(e);
      if (e.id > this.#newest) fresh++;
    }
    const reading = this.#box.scrollTop > this.#height / 2 && this.#newest > 0;
    this.#view = view;
    this.#newest = this.#log.last;
    this.#space.style.height = `${view.length * this.#height}px`;
    // Who has scrolled down to read keeps what he reads in place.
    if (reading && fresh > 0) this.#box.scrollTop += fresh * this.#height;
    this.#drawRows();
    this.#empty.hidden = view.length > 0;
    setText(this.#empty, this.#log.length > 0 ? "No message passes the filter." : "Subscribe to a subject: its messages appear here.");
    const total = this.#log.total;
    setText(this.#count, this.#filter !== "" || total > view.length ? `${count(view.length)} of ${count(total)}` : count(total));
  }

  #drawRows(): void {
    const first = Math.max(0, Math.floor(this.#box.scrollTop / this.#height) - spare / 2);
    const n = Math.min(this.#view.length - first, Math.ceil(this.#box.clientHeight / this.#height) + spare);
    while (this.#rows.length < n) this.#rows.push(this.#newRow());
    let active = "";
    this.#rows.forEach((row, i) => {
      const e = i < n ? this.#view[first + i] : undefined;
      row.element.hidden = !e;
      if (!e) return;
      row.element.style.transform = `translateY(${(first + i) * this.#height}px)`;
      row.element.setAttribute("aria-posinset", String(first + i + 1));
      row.element.setAttribute("aria-setsize", String(this.#view.length));
      row.element.setAttribute("aria-selected", String(e === this.#chosen));
      if (e === this.#chosen) active = row.element.id;
      if (row.entry !== e) fill(row, e);
    });
    if (active) this.#box.setAttribute("aria-activedescendant", active);
    else this.#box.removeAttribute("aria-activedescendant");
  }

  #newRow(): Row {
    const [time, subject, tags, text, size] = [make("time"), make("code", "subject"), make("span", "tags"), make("span", "preview"), make("span", "size")];
    const element = make("div", "row", make("span", "mark"), time, subject, tags, text, size);
    element.id = `row${this.#rows.length}`;
    element.setAttribute("role", "option");
    const row: Row = { element, time, subject, tags, preview: text, size, entry: undefined };
    element.addEventListener("click", () => this.select(row.entry));
    this.#space.append(element);
    return row;
  }

  #key(ev: KeyboardEvent): void {
    const page = Math.max(1, Math.floor(this.#box.clientHeight / this.#height) - 1);
    const now = this.#chosen ? this.#view.indexOf(this.#chosen) : -1;
    const steps: Record<string, number> = { ArrowDown: now + 1, ArrowUp: now - 1, PageDown: now + page, PageUp: now - page, Home: 0, End: this.#view.length - 1 };
    const to = steps[ev.key];
    if (to === undefined || this.#view.length === 0) return;
    ev.preventDefault();
    const i = Math.min(Math.max(to, 0), this.#view.length - 1);
    this.select(this.#view[i]);
    const top = i * this.#height;
    if (top < this.#box.scrollTop) this.#box.scrollTop = top;
    else if (top + this.#height > this.#box.scrollTop + this.#box.clientHeight) this.#box.scrollTop = top + this.#height - this.#box.clientHeight;
  }
}

function previewOf(e: Entry): string {
  if (e.preview === "" && e.data.length > 0) e.preview = preview(e.data, previewLength);
  return e.preview;
}

function fill(row: Row, e: Entry): void {
  row.entry = e;
  row.element.className = `row color${e.color}`;
  setText(row.time, clock(e.at));
  setText(row.subject, e.subject);
  setText(row.preview, previewOf(e));
  setText(row.size, bytes(e.data.length));
  const tags: string[] = [];
  if (e.reply) tags.push("reply");
  if (e.headers.length > 0) tags.push(`${e.headers.length} hdr`);
  setText(row.tags, tags.join(" · "));
}
