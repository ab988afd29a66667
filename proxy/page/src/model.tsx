import { useMemo } from "preact/hooks";
import { Control, ReplicaControl, Scale } from "./control";
import { Decisions } from "./decisions";
import type { Feed } from "./feed";
import { count, rate, seconds } from "./format";
import { usePolled } from "./hooks";
import { Log } from "./log";
import { StateMark } from "./overview";
import { Requests } from "./requests";
import { Timeline } from "./timeline";
import { TokenRates, Tokens, type Llm } from "./tokens";

/** What `/models/{name}` says, as far as it is shown. */
interface Details {
  serverKind: string;
  replicas: {
    ready: {
      name: string; endpoint: string; inFlight: number; health: string;
      requests: number; failures: number; lastFailure: string | null; startUpSeconds: number | null;
    }[];
    coming: Moving[];
    leaving: Moving[];
    startUpSeconds: number | null;
    warning: string | null;
  };
  placement?: { state: string; loaded: string[]; reason: string | null };
  llm?: Llm;
  settings: Record<string, unknown>;
  /** Where each of them comes from. */
  origins: Record<string, string>;
}

interface Moving {
  name: string;
  endpoint: string;
  inFlight: number;
  seconds: number;
}

export function ModelPage({ feed, name }: { feed: Feed; name: string }) {
  const rates = useMemo(() => new TokenRates(), [name]);
  const details = usePolled<Details>(`models/${encodeURIComponent(name)}`, ({ llm }) => {
    if (llm) rates.push(llm, performance.now() / 1000);
  });
  const tracked = feed.models.get(name);
  if (!tracked) {
    return <main><p>{feed.connected ? <>There is no model <b>{name}</b>. <a href="#">All models</a></> : "Connecting…"}</p></main>;
  }
  const { model } = tracked;
  const controllable = feed.proxy?.controllable ?? false;
  const decisions = feed.decisions.filter((decision) => decision.model === name);
  return (
    <main>
      <header class="model">
        <h1>{model.name}</h1>
        <StateMark model={model} />
        <span class="faint">on server {model.server}</span>
        <div class="actions">
          <Scale model={model} possible={controllable && details?.settings.scaled === true} />
          <Control model={model} possible={controllable} />
        </div>
      </header>
      {model.failure ? <p class="bad" role="status">{model.failure}</p> : null}
      {details?.replicas.warning ? <p class="warn">{details.replicas.warning}</p> : null}
      <p class="why">{model.reason}</p>
      {details?.placement ? <PlacementDetails placement={details.placement} /> : null}
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
          { series: "demand", label: "demand", colour: "--faint" },
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
      {details?.llm ? <Tokens llm={details.llm} rates={rates} /> : null}
      <section>
        <h2>Replicas</h2>
        {details ? <Replicas model={name} details={details} controllable={controllable} /> : null}
      </section>
      <section>
        <h2>Requests in flight</h2>
        <Requests model={name} controllable={controllable} />
      </section>
      <section>
        <h2>Decisions</h2>
        <Decisions decisions={decisions} ofOne />
      </section>
      <section>
        <h2>Settings</h2>
        {details ? <Settings settings={details.settings} origins={details.origins} /> : null}
      </section>
      {details?.serverKind === "process" ? (
        <section>
          <h2>Log</h2>
          <Log model={name} guarded={controllable} />
        </section>
      ) : null}
    </main>
  );
}

function Replicas({ model, details: { replicas, serverKind, placement }, controllable }: { model: string; details: Details; controllable: boolean }) {
  const rows = [
    ...replicas.ready.map((replica) => ({ ...replica, state: replica.health === "healthy" ? "ready" : replica.health, seconds: null })),
    ...(replicas.coming ?? []).map((replica) => ({ ...replica, state: "starting", requests: null, failures: null, lastFailure: null, startUpSeconds: null })),
    ...(replicas.leaving ?? []).map((replica) => ({ ...replica, state: "draining", requests: null, failures: null, lastFailure: null, startUpSeconds: null })),
  ];
  // Endpoints of a static server all have its name.
  const named = (name: string) => rows.filter((row) => row.name === name).length;
  const shared = placement !== undefined && serverKind !== "process";
  if (rows.length === 0) return <p class="faint">None takes requests now.</p>;
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Replicas">
      <table>
        <thead>
          <tr>
            <th scope="col" class="text">Replica</th><th scope="col" class="text">Address</th><th scope="col" class="text">State</th><th scope="col">Start took</th><th scope="col">In flight</th>
            <th scope="col">Requests</th><th scope="col">Failures</th><th scope="col" class="text">Last failure</th>
            {controllable ? <th scope="col" class="text">Actions</th> : null}
          </tr>
        </thead>
        <tbody>
          {rows.map((replica) => (
            <tr key={`${replica.name} ${replica.endpoint}`}>
              <th scope="row" class="name">{replica.name}</th>
              <td class="text">{replica.endpoint}</td>
              <td class="text">
                <span class={`state ${replica.state}`}>{replica.state}</span>
                {replica.seconds === null ? null : <span class="faint"> for {seconds(replica.seconds)}</span>}
              </td>
              <td>{replica.startUpSeconds === null ? "" : seconds(replica.startUpSeconds)}</td>
              <td>{replica.inFlight}</td>
              <td>{replica.requests === null ? "" : count(replica.requests)}</td>
              <td class={replica.failures ? "bad" : ""}>{replica.failures === null ? "" : count(replica.failures)}</td>
              <td class="reason">{replica.lastFailure ?? ""}</td>
              {controllable ? (
                <td class="text">
                  <ReplicaControl
                    model={model} kind={serverKind} shared={shared}
                    replica={{ name: replica.name, path: serverKind === "static" || named(replica.name) > 1 ? replica.endpoint : replica.name }}
                    drained={replica.state === "draining"}
                  />
                </td>
              ) : null}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Where the model is, if it shares servers or devices. */
function PlacementDetails({ placement }: { placement: NonNullable<Details["placement"]> }) {
  return (
    <p>
      <a href="#placement">Placement</a>: {placement.state}
      {placement.loaded.length > 0 ? `, in ${placement.loaded.join(", ")}` : ""}
      {placement.reason ? `. ${placement.reason}` : ""}
    </p>
  );
}

function Settings({ settings, origins }: { settings: Record<string, unknown>; origins: Record<string, string> }) {
  const rows = Object.entries(settings).flatMap(([name, value]): [string, unknown][] =>
    typeof value === "object" && value !== null
      ? Object.entries(value).map(([inner, value]) => [`${name}.${inner}`, value])
      : [[name, value]]);
  return (
    <dl class="settings">
      {rows.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value === null ? "none" : String(value)} <span class="faint">{origins[name] ?? ""}</span></dd>
        </div>
      ))}
    </dl>
  );
}
