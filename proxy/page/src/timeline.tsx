import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { KEPT, STEP, type Decision, type Series, type ModelHistory } from "./feed";
import { clock } from "./format";

interface Line {
  series: Series;
  label: string;
  /** A variable of the style sheet. */
  colour: string;
  stepped?: boolean;
  fill?: boolean;
}

/** How close to a mark the pointer must be for its reason to be shown, in pixels. */
const NEAR = 6;
/** Seconds that a chart spans at least. */
const SHORTEST = 60;

/** A chart of the last ten minutes, with a mark at each decision. */
export function Timeline({ tracked, lines, unit, decisions, title }: {
  tracked: ModelHistory; lines: Line[]; unit: string; decisions: Decision[]; title: string;
}) {
  const element = useRef<HTMLDivElement>(null);
  const marks = useRef(decisions);
  marks.current = decisions;
  // After the proxy was away it is another object.
  const latest = useRef(tracked);
  latest.current = tracked;
  const plot = useRef<uPlot | null>(null);
  const said = useRef<HTMLParagraphElement>(null);

  useEffect(() => {
    const host = element.current!;
    const make = () => {
      plot.current?.destroy();
      plot.current = new uPlot(options(host, lines, unit, marks, said), data(latest.current, lines), host);
    };
    make();
    const resize = new ResizeObserver(() => plot.current?.setSize({ width: host.clientWidth, height: 180 }));
    resize.observe(host);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", make);
    return () => {
      dark.removeEventListener("change", make);
      resize.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [tracked.model.name]);
  useEffect(() => {
    const chart = plot.current;
    if (!chart) return;
    chart.setData(data(tracked, lines));
    sayNow(chart);
  }, [tracked.version]);

  return (
    <figure>
      <figcaption>{title}</figcaption>
      <div ref={element} role="img" aria-label={describe(tracked, lines)} />
      {/* The decisions are also in a table. */}
      {decisions.length > 0 ? <p ref={said} class="mark faint" aria-hidden="true" /> : null}
    </figure>
  );
}

/** While nobody points at a moment, the legend says what is now. */
function sayNow(chart: uPlot): void {
  const { left } = chart.cursor;
  if (left === undefined || left < 0) chart.setLegend({ idx: chart.data[0].length - 1 });
}

function describe(tracked: ModelHistory, lines: Line[]): string {
  const now = lines.map(({ series, label }) => `${label} ${tracked.history.last(series, 1)[0] ?? 0}`);
  return `now: ${now.join(", ")}`;
}

function data(tracked: ModelHistory, lines: Line[]): uPlot.AlignedData {
  const now = Date.now() / 1000;
  const values = lines.map(({ series }) => tracked.history.last(series, KEPT));
  const length = values[0]?.length ?? 0;
  const times = Array.from({ length }, (_, i) => now - (length - 1 - i) * STEP);
  return [times, ...values];
}

/** What the decisions at the pointer say. */
function reasons(u: uPlot, decisions: Decision[]): string {
  const left = u.cursor.left ?? -1;
  if (left < 0) return "";
  const near = decisions.filter(({ time }) => Math.abs(u.valToPos(time, "x") - left) <= NEAR);
  return near.map(({ time, from, to, reasons }) => `${clock(time)}: ${from} → ${to}, ${reasons.join("; ")}`).join(" – ");
}

function options(
  host: HTMLElement, lines: Line[], unit: string, marks: { current: Decision[] }, said: { current: HTMLElement | null },
): uPlot.Options {
  const style = getComputedStyle(host);
  const colour = (name: string) => style.getPropertyValue(name).trim();
  const axis = { stroke: colour("--faint"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 } };
  return {
    width: host.clientWidth,
    height: 180,
    scales: {
      x: { range: (_, min, max) => [Math.min(min, max - SHORTEST), max] },
      y: { range: (_, __, max) => [0, Math.max(1, max * 1.1)] },
    },
    axes: [{ ...axis, space: 90, values: (_, times) => times.map(clock) }, { ...axis, size: 44 }],
    cursor: { y: false },
    series: [
      { value: (_, time: number | null) => (time === null ? "–" : clock(time)) },
      ...lines.map((line) => ({
        label: line.label,
        stroke: colour(line.colour),
        fill: line.fill ? `${colour(line.colour)}33` : undefined,
        width: 1.5,
        points: { show: false },
        paths: line.stepped ? uPlot.paths.stepped!({ align: 1 }) : undefined,
        value: (_: uPlot, value: number | null) => (value === null ? "–" : `${Math.round(value * 10) / 10} ${unit}`.trim()),
      })),
    ],
    hooks: {
      // A chart is also made anew with the colours of the other theme.
      ready: [sayNow],
      setCursor: [(u) => {
        if (said.current) said.current.textContent = reasons(u, marks.current);
      }],
      draw: [(u) => {
        const { ctx, bbox } = u;
        ctx.save();
        for (const { time, from, to } of marks.current) {
          const x = u.valToPos(time, "x", true);
          if (x < bbox.left || x > bbox.left + bbox.width) continue;
          ctx.strokeStyle = ctx.fillStyle = colour(to > from ? "--up" : "--down");
          ctx.setLineDash([3, 3]);
          ctx.beginPath();
          ctx.moveTo(x, bbox.top);
          ctx.lineTo(x, bbox.top + bbox.height);
          ctx.stroke();
        }
        ctx.restore();
      }],
    },
  };
}
