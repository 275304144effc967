// The panel that publishes and requests.
import { NoRespondersError, RequestError, TimeoutError, type Msg, type MsgHdrs, type NatsConnection } from "@nats-io/nats-core";
import { headerTable } from "./detail";
import { byId, make, setText } from "./dom";
import { count, millis } from "./format";
import { fields, parseHeaders } from "./headers";
import { payloadView } from "./payload";
import { checkSubject } from "./subject";

const batch = 500; // messages between two pauses of a burst, so that the page stays alive
const minTick = 4; // milliseconds; browsers' timers are no finer

/** Publisher is the form. */
export class Publisher {
  #subject = byId<HTMLInputElement>("pub-subject");
  #payload = byId<HTMLTextAreaElement>("pub-payload");
  #headers = byId<HTMLTextAreaElement>("pub-headers");
  #reply = byId<HTMLInputElement>("pub-reply");
  #count = byId<HTMLInputElement>("pub-count");
  #interval = byId<HTMLInputElement>("pub-interval");
  #timeout = byId<HTMLInputElement>("req-timeout");
  #publish = byId<HTMLButtonElement>("publish");
  #request = byId<HTMLButtonElement>("request");
  #result = byId("pub-result");
  #answer = byId("answer");
  #connection: () => NatsConnection | undefined;
  #running: AbortController | undefined;

  /** connection returns the connection, unless it is down. */
  constructor(connection: () => NatsConnection | undefined) {
    this.#connection = connection;
    checkSubject(this.#subject, false);
    checkSubject(this.#reply, false);
    byId("pub-form").addEventListener("submit", (ev) => {
      ev.preventDefault();
      const request = ev.submitter === this.#request;
      if (this.#running && !request) this.#running.abort();
      else void this.#submit(request);
    });
    this.#payload.addEventListener("keydown", (ev) => {
      if (ev.key === "Enter" && (ev.ctrlKey || ev.metaKey)) this.#payload.form?.requestSubmit(this.#publish);
    });
  }

  /** answer prepares an answer to a message. */
  answer(reply: string): void {
    this.#subject.value = reply;
    this.#subject.setCustomValidity("");
    this.#count.value = "1";
    this.#payload.focus();
    this.#payload.select();
    this.#say(`Write the answer to ${reply} and publish it.`, false);
  }

  async #submit(request: boolean): Promise<void> {
    this.#answer.hidden = true;
    try {
      const nc = this.#connection();
      if (!nc) throw new Error("There is no connection.");
      const headers = parseHeaders(this.#headers.value);
      const payload = new TextEncoder().encode(this.#payload.value);
      const max = nc.info?.max_payload ?? 0;
      if (max > 0 && payload.length > max) throw new Error(`The payload has ${count(payload.length)} bytes; the broker takes ${count(max)}.`);
      if (request) await this.#ask(nc, this.#subject.value.trim(), payload, headers);
      else await this.#send(nc, this.#subject.value.trim(), payload, headers);
    } catch (err) {
      this.#say(explain(err), true);
    }
  }

  async #ask(nc: NatsConnection, subject: string, payload: Uint8Array, headers: MsgHdrs | undefined): Promise<void> {
    this.#request.disabled = true;
    this.#say("Waiting for an answer …", false);
    const begun = performance.now();
    try {
      const m = await nc.request(subject, payload, { timeout: Number(this.#timeout.value), ...(headers ? { headers } : {}) });
      this.#say(`Answer after ${millis(performance.now() - begun)}`, false);
      this.#show(m);
    } finally {
      this.#request.disabled = false;
    }
  }

  #show(m: Msg): void {
    this.#answer.replaceChildren(make("h3", "", "Answer"), headerTable(fields(m.headers)), payloadView(m.data.slice()));
    this.#answer.hidden = false;
  }

  async #send(nc: NatsConnection, subject: string, payload: Uint8Array, headers: MsgHdrs | undefined): Promise<void> {
    const total = Number(this.#count.value);
    const interval = Number(this.#interval.value);
    const reply = this.#reply.value.trim();
    const options = { ...(headers ? { headers } : {}), ...(reply ? { reply } : {}) };
    const run = (this.#running = new AbortController());
    let sent = 0;
    const begun = performance.now();
    if (total > 1) setText(this.#publish, "Stop");
    try {
      while (sent < total && !run.signal.aborted) {
        // What is due by now, at most a batch.
        const due = interval > 0 ? Math.floor((performance.now() - begun) / interval) + 1 : total;
        for (const end = Math.min(due, total, sent + batch); sent < end; sent++) nc.publish(subject, payload, options);
        if (sent === total) break;
        this.#say(`${count(sent)} of ${count(total)} published`, false);
        if (interval > 0) await pause(Math.max(minTick, begun + sent * interval - performance.now()), run.signal);
        else await Promise.all([nc.flush(), pause(0, run.signal)]);
      }
      await nc.flush(); // an error of the broker's comes before the PONG
      this.#say(total === 1 ? `Published to ${subject}` : `${count(sent)} of ${count(total)} published in ${millis(performance.now() - begun)}`, false);
    } finally {
      this.#running = undefined;
      setText(this.#publish, "Publish");
    }
  }

  #say(text: string, bad: boolean): void {
    setText(this.#result, text);
    this.#result.classList.toggle("bad", bad);
  }
}

/** pause waits for ms or until signal. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

function explain(err: unknown): string {
  if (err instanceof NoRespondersError || err instanceof RequestError && err.isNoResponders()) return "Nobody answers on this subject.";
  if (err instanceof TimeoutError) return "No answer in time.";
  return err instanceof Error ? err.message : String(err);
}
