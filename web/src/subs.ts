// The panel of subscriptions. They outlive the connection: each new one gets them again.
import type { NatsConnection, Subscription } from "@nats-io/nats-core";
import { byId, button, make, perFrame, setText } from "./dom";
import { count } from "./format";
import { fields } from "./headers";
import type { Log } from "./log";
import { checkSubject } from "./subject";

/** Colors is how many colours style.css has for subscriptions. */
const colors = 6;

interface Entry {
  subject: string;
  queue: string;
  color: number;
  received: number;
  sub: Subscription | undefined;
  item: HTMLLIElement;
  number: HTMLElement;
}

/** Subs holds the subscriptions and puts what they get into a log. */
export class Subs {
  #entries: Entry[] = [];
  #list = byId<HTMLUListElement>("subs");
  #nc: NatsConnection | undefined;
  #log: Log;
  #accept: () => boolean;
  #changed: () => void;
  #made = 0;
  #count = perFrame(() => {
    for (const e of this.#entries) setText(e.number, count(e.received));
  });

  /** accept says whether a message is for the log now; changed is called after one was added. */
  constructor(log: Log, accept: () => boolean, changed: () => void) {
    this.#log = log;
    this.#accept = accept;
    this.#changed = changed;
    const subject = byId<HTMLInputElement>("sub-subject");
    const queue = byId<HTMLInputElement>("sub-queue");
    checkSubject(subject, true);
    byId("sub-form").addEventListener("submit", (ev) => {
      ev.preventDefault();
      this.add(subject.value.trim(), queue.value.trim());
      subject.value = "";
      subject.focus();
    });
    for (const s of new URLSearchParams(location.hash.slice(1)).getAll("sub")) if (s) this.add(s, "");
  }

  /** attach subscribes on a new connection. */
  attach(nc: NatsConnection): void {
    this.#nc = nc;
    for (const e of this.#entries) this.#subscribe(e);
  }

  /** add subscribes, unless that subscription is there. */
  add(subject: string, queue: string): void {
    if (this.#entries.some((e) => e.subject === subject && e.queue === queue)) return;
    const color = this.#made++ % colors;
    const number = make("span", "number", "0");
    const name = make("code", "", subject);
    const item = make("li", `color${color}`, make("span", "mark"), name);
    if (queue) item.append(make("span", "tag", `queue ${queue}`));
    const e: Entry = { subject, queue, color, received: 0, sub: undefined, item, number };
    item.append(number, button("×", `Unsubscribe from ${subject}`, () => this.#remove(e)));
    this.#entries.push(e);
    this.#list.append(item);
    this.#subscribe(e);
    this.#remember();
  }

  #subscribe(e: Entry): void {
    const nc = this.#nc;
    if (!nc || nc.isClosed()) return;
    e.item.querySelector(".problem")?.remove();
    try {
      e.sub = nc.subscribe(e.subject, {
        ...(e.queue ? { queue: e.queue } : {}),
        callback: (err, m) => {
          if (err) {
            this.#problem(e, err.message);
            return;
          }
          e.received++;
          this.#count();
          if (!this.#accept()) return;
          // A copy: m.data is a window on all that was read with it.
          this.#log.add({ at: Date.now(), subject: m.subject, reply: m.reply ?? "", headers: fields(m.headers), data: m.data.slice(), color: e.color });
          this.#changed();
        },
      });
    } catch (err) {
      this.#problem(e, err instanceof Error ? err.message : String(err));
    }
  }

  #problem(e: Entry, text: string): void {
    e.item.querySelector(".problem")?.remove();
    const p = make("span", "problem", text);
    p.setAttribute("role", "alert");
    e.item.append(p);
  }

  #remove(e: Entry): void {
    this.#entries = this.#entries.filter((x) => x !== e);
    if (e.sub && !e.sub.isClosed()) e.sub.unsubscribe();
    e.item.remove();
    this.#remember();
    byId("sub-subject").focus();
  }

  // The address keeps the subjects, for reloads and bookmarks.
  #remember(): void {
    const p = new URLSearchParams(this.#entries.map((e) => ["sub", e.subject]));
    history.replaceState(null, "", this.#entries.length > 0 ? `#${p}` : location.pathname + location.search);
  }
}
