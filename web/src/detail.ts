// All of one message, beside or below the list.
import { byId, button, make } from "./dom";
import { bytes, clock } from "./format";
import type { Entry } from "./log";
import { payloadView } from "./payload";

/** showDetail shows e, or nothing. answer is called to reply to a message, close to unselect it. */
export function showDetail(e: Entry | undefined, answer: (reply: string) => void, close: () => void): void {
  const box = byId("detail");
  box.hidden = !e;
  if (!e) {
    box.replaceChildren();
    return;
  }
  const facts = make("dl", "fields", ...field("Subject", e.subject), ...field("Time", clock(e.at)), ...field("Size", bytes(e.data.length)));
  if (e.reply) {
    const [dt, dd] = field("Reply", e.reply);
    dd.append(" ", button("Answer", `Answer to ${e.reply}`, () => answer(e.reply)));
    facts.append(dt, dd);
  }
  const head = make("div", "bar", make("h3", "", `Message ${e.id}`), button("Close", "Close the message", close));
  box.replaceChildren(head, facts, headerTable(e.headers), payloadView(e.data));
}

/** headerTable lists header fields; it is empty when there are none. */
export function headerTable(headers: [string, string][]): HTMLElement {
  const list = make("dl", "fields headers");
  list.hidden = headers.length === 0;
  for (const [name, value] of headers) list.append(...field(name, value));
  return list;
}

function field(name: string, value: string): [HTMLElement, HTMLElement] {
  return [make("dt", "", name), make("dd", "", make("code", "", value))];
}
