// Messages and bytes a second, with the last minute as a line.
import type { Stats } from "@nats-io/nats-core";
import { byId, setText } from "./dom";
import { bytes, count } from "./format";

const samples = 60;
const width = 120;
const height = 32;
const ns = "http://www.w3.org/2000/svg";

class Line {
  #values: number[] = new Array(samples).fill(0);
  #svg: SVGSVGElement;
  #area = document.createElementNS(ns, "path");
  #path = document.createElementNS(ns, "path");
  #name: string;

  constructor(id: string, name: string) {
    this.#svg = byId<SVGSVGElement>(id);
    this.#name = name;
    this.#area.setAttribute("class", "area");
    this.#svg.append(this.#area, this.#path);
    this.add(0);
  }

  add(v: number): void {
    this.#values.push(v);
    this.#values.shift();
    const top = Math.max(1, ...this.#values);
    const step = width / (samples - 1);
    const points = this.#values.map((y, i) => `${(i * step).toFixed(1)},${(height - 1.5 - (y / top) * (height - 4)).toFixed(1)}`);
    this.#path.setAttribute("d", `M${points.join("L")}`);
    this.#area.setAttribute("d", `M0,${height}L${points.join("L")}L${width},${height}Z`);
    this.#svg.setAttribute("aria-label", `${this.#name}: ${count(v)} a second, at most ${count(Math.max(...this.#values))} in the last minute`);
  }
}

/** Rates turns counters into rates. */
export class Rates {
  #in = new Line("in-line", "Messages in");
  #out = new Line("out-line", "Messages out");
  #last: Stats | undefined;
  #at = 0;

  /** sample takes the counters at a time in milliseconds; it is called each second. */
  sample(now: Stats, at: number): void {
    const last = this.#last;
    const seconds = (at - this.#at) / 1000;
    this.#last = { ...now };
    this.#at = at;
    if (!last || seconds <= 0) return;
    const rate = (key: keyof Stats): number => Math.max(0, (now[key] - last[key]) / seconds);
    setText(byId("in-msgs"), count(rate("inMsgs")));
    setText(byId("in-bytes"), bytes(rate("inBytes")));
    setText(byId("out-msgs"), count(rate("outMsgs")));
    setText(byId("out-bytes"), bytes(rate("outBytes")));
    this.#in.add(rate("inMsgs"));
    this.#out.add(rate("outMsgs"));
  }
}
