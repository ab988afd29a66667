// What the proxy tells of itself by /events, and what of it is kept.

export interface Model {
  name: string;
  server: string;
  arrived: number;
  completed: number;
  failed: number;
  inFlight: number;
  held: number;
  p50Seconds: number | null;
  p99Seconds: number | null;
  desired: number;
  wanted: number;
  ready: number;
  starting: number;
  draining: number;
  paused: boolean;
  /** The count that an operator holds. */
  manual: { replicas: number; until: number; by: string } | null;
  /** Mean time in service of recent requests. */
  serviceSeconds: number | null;
  failure: string | null;
  reason: string;
}

export interface Decision {
  time: number;
  model: string;
  from: number;
  to: number;
  lag: number;
  held: number;
  reasons: string[];
  outcome: string | { failed: string };
  /** Of the request whose arrival led to it, if that was traced. */
  trace: string | null;
}

export interface Proxy {
  version: string;
  draining: boolean;
  controllable: boolean;
  /** Of the configuration; null: it is as it was at the start. */
  lastReload: { time: number; outcome: "reloaded" | "unchanged" | "refused" } | null;
  /** Whether any models share a server or a device. */
  placement: boolean;
  proxies?: {
    instance: string;
    leads: boolean;
    leader: string | null;
    peers: { instance: string; address: string; leads: boolean; lostSeconds: number | null }[];
    notHeard: string[];
    trouble: string[];
  };
}

/** Seconds between two samples of a history, and how many are kept. */
export const STEP = 1;
export const KEPT = 600;

/** What is drawn of a model, one sample a second, oldest first. */
export const SERIES = ["demand", "inFlight", "held", "ready", "desired", "rate", "failures"] as const;
export type Series = (typeof SERIES)[number];

export class History {
  private readonly ring = new Map<Series, Float32Array>(
    SERIES.map((series) => [series, new Float32Array(KEPT)]),
  );
  private next = 0;
  length = 0;

  push(sample: Record<Series, number>): void {
    for (const series of SERIES) this.ring.get(series)![this.next] = sample[series];
    this.next = (this.next + 1) % KEPT;
    this.length = Math.min(this.length + 1, KEPT);
  }

  /** The last `count` samples. */
  last(series: Series, count: number): number[] {
    const ring = this.ring.get(series)!;
    const length = Math.min(count, this.length);
    const start = this.next - length + KEPT;
    return Array.from({ length }, (_, i) => ring[(start + i) % KEPT]!);
  }
}

/** A model with what the page itself knows of it. */
export interface ModelHistory {
  model: Model;
  history: History;
  /** Requests and failed ones a second, over the last seconds. */
  rate: number;
  failures: number;
  /** Grows with each change of what is shown. */
  version: number;
  counts: { at: number; arrived: number; completed: number; failed: number }[];
}

const NOTHING: Omit<Model, "name"> = {
  server: "", arrived: 0, completed: 0, failed: 0, inFlight: 0, held: 0,
  p50Seconds: null, p99Seconds: null, desired: 0, wanted: 0, ready: 0, starting: 0, draining: 0,
  paused: false, manual: null, serviceSeconds: null, failure: null, reason: "",
};
/** Rates are means over this many seconds. */
const RATE_WINDOW = 5;
const DECISIONS = 500;

export class Feed {
  readonly models = new Map<string, ModelHistory>();
  decisions: Decision[] = [];
  proxy: Proxy | null = null;
  connected = false;
  private readonly listeners = new Set<() => void>();
  private sampled = 0;

  constructor(url: string) {
    const source = new EventSource(url);
    source.addEventListener("open", () => {
      // Another start of the proxy counts from nothing.
      this.models.clear();
      this.decisions = [];
      this.connected = true;
      this.tell();
    });
    source.addEventListener("error", () => {
      this.connected = false;
      this.tell();
      // A browser gives up after an answer other than 200; a proxy that starts answers so.
      if (source.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 3000);
    });
    source.addEventListener("proxy", (event) => {
      this.proxy = JSON.parse(event.data);
    });
    source.addEventListener("decisions", (event) => {
      const newest: Decision[] = JSON.parse(event.data);
      this.decisions = [...newest.reverse(), ...this.decisions].slice(0, DECISIONS);
    });
    source.addEventListener("models", (event) => {
      this.apply(JSON.parse(event.data), performance.now() / 1000);
      this.tell();
    });
  }

  listen(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  private tell(): void {
    for (const listener of this.listeners) listener();
  }

  private apply(changes: Record<string, Partial<Model> | null>, now: number): void {
    for (const [name, change] of Object.entries(changes)) {
      if (change === null) {
        this.models.delete(name);
        continue;
      }
      let tracked = this.models.get(name);
      if (!tracked) {
        tracked = {
          model: { name, ...NOTHING }, history: new History(), rate: 0, failures: 0, version: 0, counts: [],
        };
        this.models.set(name, tracked);
      }
      tracked.model = { ...tracked.model, ...change };
      tracked.version += 1;
    }
    if (now - this.sampled < STEP - 0.1) return;
    this.sampled = now;
    for (const tracked of this.models.values()) sample(tracked, now);
  }
}

function sample(tracked: ModelHistory, now: number): void {
  const { model, counts } = tracked;
  counts.push({ at: now, arrived: model.arrived, completed: model.completed, failed: model.failed });
  while (counts.length > 2 && now - counts[0]!.at > RATE_WINDOW) counts.shift();
  const first = counts[0]!;
  const seconds = Math.max(now - first.at, STEP);
  const [rate, failures] = [(model.completed - first.completed) / seconds, (model.failed - first.failed) / seconds];
  // What would be in flight if no request had to wait.
  const demand = ((model.arrived - first.arrived) / seconds) * (model.serviceSeconds ?? 0);
  const moved = rate !== tracked.rate || failures !== tracked.failures || model.inFlight > 0;
  tracked.rate = rate;
  tracked.failures = failures;
  const before = tracked.history.last("inFlight", 60);
  tracked.history.push({ demand, inFlight: model.inFlight, held: model.held, ready: model.ready, desired: model.desired, rate, failures });
  // A sparkline that is flat at nothing looks the same a second later.
  if (moved || before.some((value) => value > 0)) tracked.version += 1;
}
