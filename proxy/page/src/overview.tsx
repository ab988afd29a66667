import { memo } from "preact/compat";
import { useState } from "preact/hooks";
import type { Feed, ModelHistory } from "./feed";
import { count, rate, seconds, state } from "./format";
import { modelLink } from "./hooks";
import { Sparkline } from "./sparkline";

interface Column {
  id: string;
  title: string;
  help?: string;
  value: (tracked: ModelHistory) => number | string;
}

const ORDER = ["failing", "holding", "starting", "paused", "draining", "ready", "idle"];
const COLUMNS: Column[] = [
  { id: "name", title: "Model", value: (t) => t.model.name },
  { id: "state", title: "State", value: (t) => -ORDER.indexOf(state(t.model)) },
  { id: "lag", title: "In flight", help: "requests inside the proxy, held or at a replica; the last two minutes", value: (t) => t.model.inFlight },
  { id: "held", title: "Held", help: "requests that wait for a replica", value: (t) => t.model.held },
  { id: "rate", title: "Requests/s", value: (t) => t.rate },
  { id: "failures", title: "Errors/s", help: "requests that failed for a fault of a replica or of the proxy", value: (t) => t.failures },
  { id: "p50", title: "p50", help: "half of the requests of the last 10 to 20 s took no longer, held time included", value: (t) => t.model.p50Seconds ?? -1 },
  { id: "p99", title: "p99", value: (t) => t.model.p99Seconds ?? -1 },
  { id: "ready", title: "Replicas", help: "ready of those that are asked for", value: (t) => t.model.ready },
  { id: "reason", title: "Why", value: (t) => t.model.reason },
];

interface Sorting {
  id: string;
  ascending: boolean;
}

export function Overview({ feed }: { feed: Feed }) {
  const [filter, setFilter] = useState("");
  const [sorting, setSorting] = useState<Sorting>({ id: "name", ascending: true });
  const wanted = filter.trim().toLowerCase();
  const all = [...feed.models.values()];
  const shown = all.filter(({ model }) =>
    `${model.name} ${model.server} ${state(model)}`.toLowerCase().includes(wanted));
  const column = COLUMNS.find(({ id }) => id === sorting.id)!;
  shown.sort((a, b) => {
    const [x, y] = [column.value(a), column.value(b)];
    const order = x < y ? -1 : x > y ? 1 : a.model.name < b.model.name ? -1 : 1;
    return sorting.ascending ? order : -order;
  });
  const sum = (part: (tracked: ModelHistory) => number) => all.reduce((total, one) => total + part(one), 0);
  return (
    <main>
      <h1 class="unseen">Models</h1>
      <dl class="totals">
        <Total title="Models" value={count(all.length)} />
        <Total title="In flight" value={count(sum((t) => t.model.inFlight))} />
        <Total title="Held" value={count(sum((t) => t.model.held))} />
        <Total title="Requests/s" value={rate(sum((t) => t.rate))} />
        <Total title="Errors/s" value={rate(sum((t) => t.failures))} />
        <Total title="Replicas ready" value={count(sum((t) => t.model.ready))} />
        <Total title="Failing" value={count(all.filter((t) => t.model.failure).length)} />
      </dl>
      <div class="tools">
        <label>
          Filter <input type="search" value={filter} placeholder="name, server or state" onInput={(e) => setFilter(e.currentTarget.value)} />
        </label>
        <span class="faint">{shown.length === all.length ? "" : `${shown.length} of ${all.length}`}</span>
      </div>
      <div class="scroll" tabIndex={0} role="region" aria-label="Models">
        <table>
          <thead>
            <tr>
              {COLUMNS.map(({ id, title, help }) => (
                <th scope="col" class={`column-${id}`} aria-sort={id === sorting.id ? (sorting.ascending ? "ascending" : "descending") : "none"}>
                  <button title={help} onClick={() => setSorting({ id, ascending: id === sorting.id ? !sorting.ascending : id === "name" })}>
                    {title}{id === sorting.id ? (sorting.ascending ? " ▴" : " ▾") : ""}
                  </button>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {shown.map((tracked) => <Row key={tracked.model.name} tracked={tracked} version={tracked.version} />)}
          </tbody>
        </table>
      </div>
      {all.length === 0 && feed.connected ? <p>No model is configured yet.</p> : null}
    </main>
  );
}

function Total({ title, value }: { title: string; value: string }) {
  return <div><dt>{title}</dt><dd>{value}</dd></div>;
}

const Row = memo(function Row({ tracked }: { tracked: ModelHistory; version: number }) {
  const { model, history } = tracked;
  return (
    <tr>
      <th scope="row" class="name">
        <a href={modelLink(model.name)}>{model.name}</a>
        <span class="faint">{model.server}</span>
      </th>
      <td><StateMark model={model} /></td>
      <td class="lag">
        <span>{count(model.inFlight)}</span>
        <Sparkline history={history} title={`requests in flight for ${model.name}: ${model.inFlight} now`} />
      </td>
      <td>{count(model.held)}</td>
      <td>{rate(tracked.rate)}</td>
      <td class={tracked.failures > 0 ? "bad" : ""}>{rate(tracked.failures)}</td>
      <td>{seconds(model.p50Seconds)}</td>
      <td>{seconds(model.p99Seconds)}</td>
      <td>
        {model.ready}/{model.desired}
        {model.starting > 0 ? <span class="faint"> +{model.starting}</span> : null}
        {model.draining > 0 ? <span class="faint"> −{model.draining}</span> : null}
      </td>
      <td class={model.failure ? "reason bad" : "reason"}>{model.failure ?? model.reason}</td>
    </tr>
  );
}, (before, after) => before.version === after.version && before.tracked === after.tracked);

export function StateMark({ model }: { model: Parameters<typeof state>[0] }) {
  const name = state(model);
  return <span class={`state ${name}`}>{name}</span>;
}
