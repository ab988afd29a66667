import type { History } from "./feed";

const SAMPLES = 120;
const [WIDTH, HEIGHT] = [120, 28];

/** The last two minutes: requests in flight as an area, held ones as a second one on it. */
export function Sparkline({ history, title }: { history: History; title: string }) {
  const inFlight = history.last("inFlight", SAMPLES);
  const held = history.last("held", SAMPLES);
  const most = Math.max(1, ...inFlight);
  return (
    <svg class="spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={title}>
      <path class="in-flight" d={area(inFlight, most)} />
      <path class="held" d={area(held, most)} />
    </svg>
  );
}

function area(values: number[], most: number): string {
  if (values.length === 0) return "";
  const step = WIDTH / (SAMPLES - 1);
  const start = WIDTH - (values.length - 1) * step;
  const points = values.map((value, i) =>
    `L${(start + i * step).toFixed(1)} ${(HEIGHT - (value / most) * (HEIGHT - 2)).toFixed(1)}`);
  return `M${start.toFixed(1)} ${HEIGHT}${points.join("")}L${WIDTH} ${HEIGHT}Z`;
}

