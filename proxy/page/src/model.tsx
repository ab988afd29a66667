import { useEffect, useState } from "preact/hooks";
import { Control } from "./control";
import { Decisions } from "./decisions";
import type { Feed } from "./feed";
import { count, rate, seconds } from "./format";
import { StateMark } from "./overview";
import { Timeline } from "./timeline";

/** What `/models/{name}` says, as far as it is shown. */
interface Details {
  replicas: {
    ready: { name: string; endpoint: string; inFlight: number }[];
    leaving: { name: string; endpoint: string; inFlight: number; seconds: number }[];
    startUpSeconds: number | null;
  };
  settings: Record<string, unknown>;
}

export function ModelPage({ feed, name }: { feed: Feed; name: string }) {
  const details = useDetails(name);
  const tracked = feed.models.get(name);
  if (!tracked) {
    return <main><p>{feed.connected ? <>There is no model <b>{name}</b>. <a href="#">All models</a></> : "Connecting…"}</p></main>;
  }
  const { model } = tracked;
  const decisions = feed.decisions.filter((decision) => decision.model === name);
  return (
    <main>
      <header class="model">
        <h1>{model.name}</h1>
        <StateMark model={model} />
        <span class="faint">on server {model.server}</span>
        <Control model={model} possible={feed.proxy?.controllable ?? false} />
      </header>
      {model.failure ? <p class="bad" role="status">{model.failure}</p> : null}
      <p class="why">{model.reason}</p>
      <dl class="totals">
        <div><dt>In flight</dt><dd>{count(model.inFlight)}</dd></div>
        <div><dt>Held</dt><dd>{count(model.held)}</dd></div>
        <div><dt>Requests/s</dt><dd>{rate(tracked.rate)}</dd></div>
        <div><dt>Errors/s</dt><dd>{rate(tracked.failures)}</dd></div>
        <div><dt>p50</dt><dd>{seconds(model.p50Seconds)}</dd></div>
        <div><dt>p99</dt><dd>{seconds(model.p99Seconds)}</dd></div>
        <div><dt>Replicas</dt><dd>{model.ready}/{model.desired}</dd></div>
        <div><dt>Last start took</dt><dd>{seconds(details?.replicas.startUpSeconds ?? null)}</dd></div>
      </dl>
      <Timeline
        title="Requests inside" tracked={tracked} unit="" decisions={decisions}
        lines={[
          { series: "inFlight", label: "in flight", colour: "--accent", fill: true },
          { series: "held", label: "held", colour: "--warn", fill: true },
        ]}
      />
      <Timeline
        title="Replicas" tracked={tracked} unit="" decisions={decisions}
        lines={[
          { series: "desired", label: "asked for", colour: "--faint", stepped: true },
          { series: "ready", label: "ready", colour: "--good", stepped: true, fill: true },
        ]}
      />
      <Timeline
        title="Requests and errors a second" tracked={tracked} unit="/s" decisions={[]}
        lines={[
          { series: "rate", label: "requests", colour: "--accent" },
          { series: "failures", label: "errors", colour: "--bad" },
        ]}
      />
      <section>
        <h2>Replicas</h2>
        {details ? <Replicas details={details} /> : null}
      </section>
      <section>
        <h2>Decisions</h2>
        <Decisions decisions={decisions} ofOne />
      </section>
      <section>
        <h2>Settings</h2>
        {details ? <Settings settings={details.settings} /> : null}
      </section>
    </main>
  );
}

/** What only this page shows is asked for while it is open. */
function useDetails(name: string): Details | null {
  const [details, set] = useState<Details | null>(null);
  useEffect(() => {
    set(null);
    let open = true;
    const ask = async () => {
      try {
        const answer = await fetch(`models/${encodeURIComponent(name)}`);
        if (open && answer.ok) set(await answer.json());
      } catch {
        // The head of the page says that the proxy is away.
      }
    };
    void ask();
    const timer = setInterval(ask, 1000);
    return () => {
      open = false;
      clearInterval(timer);
    };
  }, [name]);
  return details;
}

function Replicas({ details: { replicas } }: { details: Details }) {
  const rows = [
    ...replicas.ready.map((replica) => ({ ...replica, state: "ready" as const, seconds: null })),
    ...replicas.leaving.map((replica) => ({ ...replica, state: "draining" as const })),
  ];
  if (rows.length === 0) return <p class="faint">None takes requests now.</p>;
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Replicas">
      <table>
        <thead><tr><th scope="col">Replica</th><th scope="col">Address</th><th scope="col">State</th><th scope="col">In flight</th></tr></thead>
        <tbody>
          {rows.map((replica) => (
            <tr key={replica.name}>
              <th scope="row" class="name">{replica.name}</th>
              <td class="text">{replica.endpoint}</td>
              <td class="text">
                <span class={`state ${replica.state}`}>{replica.state}</span>
                {replica.seconds === null ? null : <span class="faint"> for {seconds(replica.seconds)}</span>}
              </td>
              <td>{replica.inFlight}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Settings({ settings }: { settings: Record<string, unknown> }) {
  const rows = Object.entries(settings).flatMap(([name, value]): [string, unknown][] =>
    typeof value === "object" && value !== null
      ? Object.entries(value).map(([inner, value]) => [`${name}.${inner}`, value])
      : [[name, value]]);
  return (
    <dl class="settings">
      {rows.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value === null ? "none" : String(value)}</dd></div>)}
    </dl>
  );
}
