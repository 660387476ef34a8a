// Times, durations and numbers for people, as the server writes them.

const pad = (n, width = 2) => String(n).padStart(width, "0");

// duration is a number of nanoseconds as text: three digits and a unit.
export function duration(ns) {
  if (ns < 0) return "-" + duration(-ns);
  if (ns < 1000) return `${Math.trunc(ns)}ns`;
  for (const [size, name, most] of [[1e3, "µs", 999.5], [1e6, "ms", 999.5], [1e9, "s", 59.95]]) {
    const n = ns / size;
    if (n < most) return threeDigits(n) + name;
  }
  const seconds = Math.round(ns / 1e9);
  if (seconds < 3600) return `${Math.trunc(seconds / 60)}m${pad(seconds % 60)}s`;
  const minutes = Math.round(ns / 6e10);
  if (minutes < 4 * 1440) return `${Math.trunc(minutes / 60)}h${pad(minutes % 60)}m`;
  if (minutes >= 1000 * 1440) return `${Math.trunc(minutes / 1440)}d`;
  return `${Math.trunc(minutes / 1440)}d${pad(Math.trunc((minutes % 1440) / 60))}h`;
}

function threeDigits(n) {
  if (n < 9.995) return n.toFixed(2);
  return n < 99.95 ? n.toFixed(1) : n.toFixed(0);
}

export const count = (n) => Number(n).toLocaleString("en-US");

export const noun = (n, word) => `${count(n)} ${word}${n === 1 ? "" : "s"}`;

// bytes is a size in powers of 1000.
export function bytes(n) {
  for (const unit of ["B", "kB", "MB", "GB", "TB"]) {
    if (n < 999.5 || unit === "TB") return `${n < 9.95 && unit !== "B" ? n.toFixed(1) : n.toFixed(0)} ${unit}`;
    n /= 1000;
  }
}

// local is a time in the reader's zone, with milliseconds.
export function local(date) {
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())} ${clock(date)}`;
}

export function clock(date) {
  return `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}.${pad(date.getMilliseconds(), 3)}`;
}

const utc = (date) => date.toISOString().replace("T", " ").replace("Z", " UTC");

// localTimes puts all times into the reader's zone. UTC stays where the mouse finds it.
export function localTimes(root) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    const date = new Date(element.dateTime);
    if (Number.isNaN(date.getTime())) continue; // a year that browsers do not know
    element.title = element.title || utc(date);
    element.textContent = element.classList.contains("clock") ? clock(date) : local(date);
  }
}
