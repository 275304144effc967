// Header fields as text, a field a line.
import { headers, type MsgHdrs } from "@nats-io/nats-core";

/** parseHeaders reads "Name: value" lines. It throws an Error that names the line. */
export function parseHeaders(text: string): MsgHdrs | undefined {
  let h: MsgHdrs | undefined;
  for (const line of text.split("\n")) {
    if (line.trim() === "") continue;
    const colon = line.indexOf(":");
    if (colon < 1) throw new Error(`“${line}” is no header; write it as Name: value`);
    h ??= headers();
    h.append(line.slice(0, colon).trim(), line.slice(colon + 1).trim());
  }
  return h;
}

/** fields flattens h into pairs, with the status line of the server as a field of its own. */
export function fields(h: MsgHdrs | undefined): [string, string][] {
  if (!h) return [];
  const all: [string, string][] = h.code ? [["Status", h.status]] : [];
  for (const [name, values] of h) for (const v of values) all.push([name, v]);
  return all;
}
