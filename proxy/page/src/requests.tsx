import { CancelRequest } from "./control";
import { bytes, count, seconds } from "./format";
import { usePolled } from "./hooks";

/** What `/models/{name}/requests` says. */
interface List {
  total: number;
  requests: {
    id: string;
    path: string | null;
    step: keyof typeof STEPS;
    seconds: number;
    replica: string | null;
    endpoint: string | null;
    bytes: number;
    tokens: number | null;
  }[];
}

const STEPS = { receiving: "its body", held: "a replica", waiting: "the answer", answering: "the rest of the answer" };
/** How many are shown, the oldest ones. */
const SHOWN = 50;

/** The requests of a model that are inside now. */
export function Requests({ model, controllable }: { model: string; controllable: boolean }) {
  const list = usePolled<List>(`models/${encodeURIComponent(model)}/requests`);
  if (!list) return null;
  if (list.total === 0) return <p class="faint">None now.</p>;
  const shown = list.requests.slice(0, SHOWN);
  return (
    <>
      {list.total > shown.length ? <p class="faint">The {shown.length} oldest of {count(list.total)}.</p> : null}
      <div class="scroll" tabIndex={0} role="region" aria-label="Requests in flight">
        <table>
          <thead>
            <tr>
              <th scope="col">Age</th><th scope="col" class="text">Path</th><th scope="col" class="text">Waits for</th>
              <th scope="col" class="text">Replica</th><th scope="col">Sent</th><th scope="col">Tokens</th>
              {controllable ? <th scope="col" class="text">Actions</th> : null}
            </tr>
          </thead>
          <tbody>
            {shown.map((request) => (
              <tr key={request.id}>
                <td>{seconds(request.seconds)}</td>
                <td class="text">{request.path ?? "–"}</td>
                <td class="text">{STEPS[request.step]}</td>
                <td class="text" title={request.endpoint ?? undefined}>{request.replica ?? "–"}</td>
                <td>{bytes(request.bytes)}</td>
                <td>{request.tokens === null ? "" : count(request.tokens)}</td>
                {controllable ? <td class="text"><CancelRequest model={model} id={request.id} /></td> : null}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}
