import { bytes, count, seconds } from "./format";
import { modelLink, usePolled } from "./hooks";

/** What `/servers` says. */
interface Servers {
  servers: {
    name: string;
    desired: number | null;
    replicas: {
      name: string;
      endpoint: string;
      memoryBytes: number | null;
      usedBytes: number;
      leaving: boolean;
      models: Hosted[];
      others: string[];
      trouble: string | null;
    }[];
    starting: number;
    wantedBytes: number;
    failure: string | null;
    counts: { evictions: number; misses: number; loads: number; failedLoads: number };
  }[];
  hosts: { name: string; devices: Bin[] }[];
}

interface Bin {
  name: string;
  memoryBytes: number | null;
  usedBytes: number;
  models: Hosted[];
}

interface Hosted {
  model: string;
  state: "loading" | "loaded" | "draining" | "unloading";
  seconds: number;
  inFlight: number;
  memoryBytes: number;
}

/** Which models have room in which server, and on which device. */
export function Placement() {
  const page = usePolled<Servers>("servers");
  if (!page) return <main><h1>Placement</h1><p class="faint">Connecting…</p></main>;
  return (
    <main>
      <h1>Placement</h1>
      {page.hosts.map((host) => (
        <section key={host.name}>
          <h2>Host {host.name}</h2>
          <div class="bins">{host.devices.map((device) => <BinView key={device.name} bin={device} notes={[]} />)}</div>
        </section>
      ))}
      {page.servers.map((server) => (
        <section key={server.name}>
          <h2>Server {server.name}</h2>
          {server.failure ? <p class="bad">{server.failure}</p> : null}
          <p class="faint">
            {server.replicas.length}{server.desired === null ? "" : ` of ${server.desired}`} replicas
            {server.starting > 0 ? `, ${server.starting} starting` : ""}; its models want {bytes(server.wantedBytes)};{" "}
            {count(server.counts.loads)} loads, {count(server.counts.failedLoads)} failed loads, {count(server.counts.evictions)} evictions
          </p>
          <div class="bins">
            {server.replicas.map((replica) => (
              <BinView
                key={replica.name}
                bin={replica}
                notes={[
                  ...(replica.leaving ? ["gets no more models: it is to go"] : []),
                  ...(replica.trouble ? [replica.trouble] : []),
                  ...(replica.others.length > 0 ? [`also has ${replica.others.join(", ")}, which are not configured for it`] : []),
                ]}
              />
            ))}
          </div>
        </section>
      ))}
      {page.servers.length + page.hosts.length === 0 ? <p class="faint">No models share a server or a device.</p> : null}
    </main>
  );
}

function BinView({ bin, notes }: { bin: Bin; notes: string[] }) {
  // Models may be promised more than there is.
  const whole = Math.max(bin.memoryBytes ?? 0, bin.usedBytes, 1);
  const used = bin.memoryBytes === null ? `${bytes(bin.usedBytes)} used` : `${bytes(bin.usedBytes)} of ${bytes(bin.memoryBytes)} used`;
  return (
    <article class="bin" aria-label={bin.name}>
      <header><b>{bin.name}</b> <span class="faint">{used}</span></header>
      <svg class="fill" viewBox="0 0 100 6" preserveAspectRatio="none" role="img" aria-label={used}>
        {bin.models.map((hosted, at) => {
          const before = bin.models.slice(0, at).reduce((sum, one) => sum + one.memoryBytes, 0);
          return <rect key={hosted.model} class={hosted.state} x={(before / whole) * 100} y="0" height="6" width={Math.max((hosted.memoryBytes / whole) * 100 - 0.5, 0.5)} />;
        })}
      </svg>
      {bin.models.length === 0 ? <p class="faint">Empty.</p> : (
        <ul>
          {bin.models.map((hosted, at) => (
            <li key={`${hosted.model} ${at}`}>
              <a href={modelLink(hosted.model)}>{hosted.model}</a>
              <span class={`state ${hosted.state}`}>{hosted.state}</span>
              <span class="faint">{bytes(hosted.memoryBytes)}, for {seconds(hosted.seconds)}{hosted.inFlight > 0 ? `, ${count(hosted.inFlight)} in flight` : ""}</span>
            </li>
          ))}
        </ul>
      )}
      {notes.map((note) => <p key={note} class="warn">{note}</p>)}
    </article>
  );
}
