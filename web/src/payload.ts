// What a payload is, and how it is shown: JSON, text or bytes.
import { byId, button, make } from "./dom";
import { bytes } from "./format";

export type Kind = "json" | "text" | "hex";

/** Larger payloads are shown up to here. */
const maxShown = 64 << 10;
const maxHex = 4 << 10;
const strict = new TextDecoder("utf-8", { fatal: true });
const lenient = new TextDecoder("utf-8");
// Control characters that no text has: all but tab, line feed, carriage return.
const controls = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/;

/** decode returns data as text, or undefined when it is none. */
export function decode(data: Uint8Array): string | undefined {
  try {
    const text = strict.decode(data);
    return controls.test(text) ? undefined : text;
  } catch {
    return undefined;
  }
}

/** kindOf guesses what data is. */
export function kindOf(data: Uint8Array): Kind {
  const text = decode(data);
  if (text === undefined) return "hex";
  return pretty(text) === undefined ? "text" : "json";
}

/** pretty returns JSON objects and arrays indented, undefined for all else. */
function pretty(text: string): string | undefined {
  if (text.length > 4 * maxShown || !/^\s*[[{]/.test(text)) return undefined;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return undefined;
  }
}

/** preview is a line of at most n characters for the list. */
export function preview(data: Uint8Array, n: number): string {
  const head = data.subarray(0, 4 * n);
  // A cut may go through a character; what is left of it does not make it binary.
  const text = head.length < data.length ? lenient.decode(head, { stream: false }).replace(/\ufffd+$/, "") : decode(head);
  if (text === undefined || controls.test(text) || text.includes("\ufffd")) {
    return Array.from(data.subarray(0, 32), (b) => b.toString(16).padStart(2, "0")).join(" ");
  }
  return text.slice(0, n).replace(/\s+/g, " ");
}

/** hex is a dump with 16 bytes a line. */
export function hex(data: Uint8Array): string {
  const lines: string[] = [];
  for (let at = 0; at < data.length; at += 16) {
    const part = data.subarray(at, at + 16);
    const codes = Array.from(part, (b) => b.toString(16).padStart(2, "0")).join(" ");
    const chars = Array.from(part, (b) => (b >= 0x20 && b < 0x7f ? String.fromCharCode(b) : ".")).join("");
    lines.push(`${at.toString(16).padStart(6, "0")}  ${codes.padEnd(47)}  ${chars}`);
  }
  return lines.join("\n");
}

function rendered(data: Uint8Array, kind: Kind): string {
  if (kind === "hex") return hex(data.subarray(0, maxHex)) + more(data.length, maxHex);
  const text = lenient.decode(data.subarray(0, maxShown));
  if (kind === "json") {
    const whole = lenient.decode(data);
    return pretty(whole) ?? whole.slice(0, maxShown);
  }
  return text + more(data.length, maxShown);
}

const more = (length: number, shown: number): string => (length > shown ? `\n… ${bytes(length - shown)} more` : "");

const names: Record<Kind, string> = { json: "JSON", text: "Text", hex: "Hex" };

/** payloadView shows data, with buttons to see it as something else. */
export function payloadView(data: Uint8Array): HTMLElement {
  const guess = kindOf(data);
  const pre = make("pre");
  pre.tabIndex = 0;
  pre.setAttribute("aria-label", "Payload");
  const tabs = make("div", "tabs");
  tabs.setAttribute("role", "group");
  tabs.setAttribute("aria-label", "Show the payload as");
  const show = (kind: Kind): void => {
    pre.textContent = data.length === 0 ? "(empty)" : rendered(data, kind);
    for (const b of tabs.querySelectorAll("button")) b.setAttribute("aria-pressed", String(b.dataset.kind === kind));
  };
  for (const kind of Object.keys(names) as Kind[]) {
    if (kind === "json" && guess !== "json") continue;
    const b = button(names[kind], "", () => show(kind));
    b.dataset.kind = kind;
    tabs.append(b);
  }
  const copy = button("Copy", "Copy the payload", () => {
    navigator.clipboard?.writeText(lenient.decode(data)).then(
      () => { byId("spoken").textContent = "Copied"; copy.textContent = "Copied"; },
      () => { copy.textContent = "Not allowed"; },
    );
  });
  if (navigator.clipboard) tabs.append(copy); // only in secure contexts
  show(guess);
  return make("div", "payload", tabs, pre);
}
