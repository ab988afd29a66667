import { useEffect, useRef, useState } from "preact/hooks";
import { keepToken, knownToken } from "./control";
import { clock } from "./format";

/** A line of `/models/{name}/logs`. */
interface Line {
  replica: string;
  number: number;
  time: number;
  text: string;
}

/** How many lines are kept. */
const KEPT = 500;

/** What a model's replicas print, once it is asked for. */
export function Log({ model, guarded }: { model: string; guarded: boolean }) {
  const [open, setOpen] = useState(false);
  if (!open) return <button class="action" onClick={() => setOpen(true)}>Show the log</button>;
  return <Lines model={model} guarded={guarded} />;
}

function Lines({ model, guarded }: { model: string; guarded: boolean }) {
  const [token, setToken] = useState(guarded ? knownToken() : "");
  const [refusal, setRefusal] = useState("");
  const [lines, setLines] = useState<Line[]>([]);
  const view = useRef<HTMLPreElement>(null);
  const follows = useRef(true);
  const waits = guarded && token === "";

  useEffect(() => {
    if (waits) return;
    let [open, busy, after] = [true, false, 0];
    const ask = async () => {
      if (busy) return;
      busy = true;
      try {
        const query = after > 0 ? `after=${after}` : `tail=${KEPT}`;
        const response = await fetch(`models/${encodeURIComponent(model)}/logs?format=json&${query}`, {
          headers: token ? { authorization: `Bearer ${token}` } : {},
        });
        const text = await response.text();
        if (!open) return;
        if (!response.ok) {
          setRefusal(JSON.parse(text).error);
          if (response.status === 401) setToken("");
          return;
        }
        setRefusal("");
        if (token) keepToken(token);
        const more: Line[] = text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
        if (more.length === 0) return;
        after = more[more.length - 1]!.number;
        setLines((before) => [...before, ...more].slice(-KEPT));
      } catch {
        // The head of the page says that the proxy is away.
      } finally {
        busy = false;
      }
    };
    void ask();
    const timer = setInterval(ask, 1000);
    return () => {
      open = false;
      clearInterval(timer);
    };
  }, [model, token]);

  useEffect(() => {
    if (follows.current) view.current?.scrollTo({ top: view.current.scrollHeight });
  }, [lines]);

  return (
    <>
      {refusal ? <p class="bad refusal" role="alert">{refusal}</p> : null}
      {waits ? <AskToken onToken={setToken} /> : (
        <pre
          ref={view} class="log" role="log" tabIndex={0} aria-label={`What replicas of ${model} print`}
          onScroll={({ currentTarget: { scrollHeight, scrollTop, clientHeight } }) => {
            follows.current = scrollHeight - scrollTop - clientHeight < 20;
          }}
        >
          {lines.map((line) => (
            <div key={line.number}><span class="faint">{clock(line.time)} {line.replica}</span> {line.text}</div>
          ))}
          {lines.length === 0 && !refusal ? <span class="faint">Nothing so far.</span> : null}
        </pre>
      )}
    </>
  );
}

function AskToken({ onToken }: { onToken: (token: string) => void }) {
  const [token, setToken] = useState("");
  return (
    <form class="tools" onSubmit={(event) => { event.preventDefault(); onToken(token); }}>
      <label>Token (TAILBACK_ADMIN_TOKEN) <input type="password" autocomplete="off" required value={token} onInput={(e) => setToken(e.currentTarget.value)} /></label>
      <button class="action" type="submit">Show</button>
    </form>
  );
}
