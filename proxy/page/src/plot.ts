// The picture of a simulation: one chart for each policy, with common scales and a common cursor.
import uPlot from "uplot";

/** What `tailback simulate --plot out.html` writes into the page. */
interface Plot {
  title: string;
  settings: string;
  /** Unit of the axis of time. */
  unit: string;
  /** The upper ends of both axes. */
  requests: number;
  replicas: number;
  policies: {
    name: string;
    summary: string;
    /** In units; then each with as many values: */
    time: number[];
    demand: (number | null)[];
    inFlight: number[];
    held: number[];
    desired: number[];
    ready: number[];
  }[];
}

const LINES: { name: keyof Plot["policies"][number]; label: string; colour: string; scale: "requests" | "replicas"; width: number; fill?: string; stepped?: boolean }[] = [
  { name: "demand", label: "demand (in flight if none had to wait)", colour: "#999999", scale: "requests", width: 1, fill: "#99999955" },
  { name: "inFlight", label: "in flight", colour: "#0072b2", scale: "requests", width: 2 },
  { name: "held", label: "held", colour: "#d55e00", scale: "requests", width: 1, fill: "#d55e0088" },
  { name: "desired", label: "replicas desired", colour: "#56b4e9", scale: "replicas", width: 1, stepped: true },
  { name: "ready", label: "replicas ready", colour: "#009e73", scale: "replicas", width: 3, stepped: true },
];
const HEIGHT = 260;

const plot: Plot = JSON.parse(document.getElementById("data")!.textContent!);
const page = document.getElementById("plot")!;
document.title = plot.title;
element(page, "h1", plot.title);
element(page, "p", plot.settings);
element(page, "p", "All charts have the same scales. Point at a moment for its numbers; click a name to hide or show its line in all charts; drag to look closer, double-click to see all again.").className = "faint";

const charts: uPlot[] = [];
for (const policy of plot.policies) {
  const figure = element(page, "figure");
  element(figure, "figcaption", `${policy.name}: ${policy.summary}`);
  const host = element(figure, "div");
  host.setAttribute("role", "img");
  host.setAttribute("aria-label", `${policy.name}: ${policy.summary}`);
  const data = [policy.time, ...LINES.map(({ name }) => policy[name])] as uPlot.AlignedData;
  charts.push(new uPlot(options(host.clientWidth), data, host));
  new ResizeObserver(() => {
    const chart = charts[plot.policies.indexOf(policy)]!;
    chart.setSize({ width: host.clientWidth, height: HEIGHT });
  }).observe(host);
}

function options(width: number): uPlot.Options {
  const ink = getComputedStyle(document.documentElement).getPropertyValue("--text");
  const grid = { stroke: getComputedStyle(document.documentElement).getPropertyValue("--line"), width: 1 };
  return {
    width,
    height: HEIGHT,
    cursor: { sync: { key: "time", setSeries: true } },
    scales: {
      x: { time: false },
      requests: { range: [0, plot.requests] },
      replicas: { range: [0, plot.replicas] },
    },
    axes: [
      { stroke: ink, grid, label: plot.unit },
      { scale: "requests", stroke: ink, grid, label: "requests" },
      { scale: "replicas", side: 1, stroke: ink, grid: { show: false }, label: "replicas" },
    ],
    series: [
      { label: plot.unit, value: (_, value) => (value === null ? "–" : value.toFixed(1)) },
      ...LINES.map(({ label, colour, scale, width, fill, stepped }): uPlot.Series => ({
        label,
        scale,
        stroke: colour,
        width,
        fill,
        points: { show: false },
        paths: stepped ? uPlot.paths.stepped!({ align: 1 }) : undefined,
        value: (_, value) => (value === null ? "–" : String(Math.round(value * 100) / 100)),
      })),
    ],
  };
}

function element(parent: HTMLElement, name: string, text = ""): HTMLElement {
  const made = document.createElement(name);
  made.textContent = text;
  parent.append(made);
  return made;
}
