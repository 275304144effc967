// Numbers and times as people read them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const units = ["B", "KB", "MB", "GB"];

/** count formats a number of things. */
export const count = (n: number): string => whole.format(n);

/** bytes formats a size, in powers of 1,000. */
export function bytes(n: number): string {
  let u = 0;
  while (n >= 999.5 && u < units.length - 1) {
    n /= 1000;
    u++;
  }
  return `${u === 0 || n >= 99.95 ? Math.round(n) : n.toFixed(1)} ${units[u]}`;
}

/** millis formats a duration given in milliseconds. */
export const millis = (ms: number): string => (ms < 10 ? ms.toFixed(1) : count(ms)) + " ms";

const pad = (n: number, width: number): string => String(n).padStart(width, "0");

/** clock formats the time of day to the millisecond, given milliseconds of the epoch. */
export function clock(at: number): string {
  const d = new Date(at);
  return `${pad(d.getHours(), 2)}:${pad(d.getMinutes(), 2)}:${pad(d.getSeconds(), 2)}.${pad(d.getMilliseconds(), 3)}`;
}
