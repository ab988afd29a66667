// Numbers and times as people read them.

export function count(value: number): string {
  if (value < 1000) return String(value);
  if (value < 1e6) return `${(value / 1e3).toFixed(value < 1e4 ? 1 : 0)} k`;
  return `${(value / 1e6).toFixed(1)} M`;
}

/** Per second. */
export function rate(value: number): string {
  if (value === 0) return "0";
  return value < 10 ? value.toFixed(1) : count(Math.round(value));
}

export function seconds(value: number | null): string {
  if (value === null) return "–";
  if (value < 0.001) return "<1 ms";
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  return value < 100 ? `${value.toFixed(1)} s` : `${Math.round(value)} s`;
}

export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${units[unit]}`;
}

export function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

export function clock(unixSeconds: number): string {
  return new Date(unixSeconds * 1000).toLocaleTimeString([], { hour12: false });
}

export type State = "failing" | "paused" | "holding" | "starting" | "draining" | "ready" | "idle";

/** What is to be known of a model at a glance, the worst first. */
export function state(model: {
  failure: string | null; paused: boolean; held: number; starting: number; draining: number; ready: number;
}): State {
  if (model.failure) return "failing";
  if (model.paused) return "paused";
  if (model.held > 0) return "holding";
  if (model.starting > 0) return "starting";
  if (model.draining > 0) return "draining";
  return model.ready > 0 ? "ready" : "idle";
}
