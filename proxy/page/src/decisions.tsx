import type { Decision } from "./feed";
import { clock } from "./format";
import { modelLink } from "./hooks";

export function Decisions({ decisions, ofOne }: { decisions: Decision[]; ofOne?: boolean }) {
  if (decisions.length === 0) return <p class="faint">None so far.</p>;
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Decisions">
      <table class="decisions">
        <thead>
          <tr>
            <th scope="col">Time</th>
            {ofOne ? null : <th scope="col">Model</th>}
            <th scope="col">Replicas</th>
            <th scope="col">In flight</th>
            <th scope="col">Held</th>
            <th scope="col">Why</th>
            <th scope="col">Outcome</th>
          </tr>
        </thead>
        <tbody>
          {decisions.map((decision) => (
            <tr key={`${decision.time} ${decision.model}`}>
              <td><time dateTime={new Date(decision.time * 1000).toISOString()}>{clock(decision.time)}</time></td>
              {ofOne ? null : <td><a href={modelLink(decision.model)}>{decision.model}</a></td>}
              <td class={decision.to > decision.from ? "up" : "down"}>{decision.from} → {decision.to}</td>
              <td>{decision.lag}</td>
              <td>{decision.held}</td>
              <td class="reason">
                {decision.reasons.join("; ")}
                {decision.trace ? <span class="trace faint">trace <code>{decision.trace}</code></span> : null}
              </td>
              <td><Outcome outcome={decision.outcome} /></td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Outcome({ outcome }: { outcome: Decision["outcome"] }) {
  if (typeof outcome === "string") return <>{outcome.replace("_", " ")}</>;
  return <span class="bad">failed: {outcome.failed}</span>;
}
