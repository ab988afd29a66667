import type { ComponentChildren } from "preact";
import { useRef, useState } from "preact/hooks";
import type { Model } from "./feed";
import { clock } from "./format";

const TOKEN = "tailback-admin-token";

/** The token that was right last, in this tab; else nothing. */
export function knownToken(): string {
  return sessionStorage.getItem(TOKEN) ?? "";
}

export function keepToken(token: string): void {
  sessionStorage.setItem(TOKEN, token);
}

/** What can be asked of the proxy by whoever has the token. */
interface Order {
  /** The words on the button. */
  label: string;
  /** What is asked before it is done. */
  question: string;
  /** What it will do. */
  effect: string;
  /** The word that does it. */
  word: string;
  path: string;
  method?: "POST" | "DELETE";
  /** What is sent along. */
  body?: () => unknown;
  /** Where that is filled in. */
  children?: ComponentChildren;
  /** What came of it, if that is to be told. */
  told?: (answer: any) => string;
}

/** Pauses or resumes a model's scaling. */
export function Control({ model, possible }: { model: Model; possible: boolean }) {
  if (!possible) return null;
  const word = model.paused ? "Resume" : "Pause";
  return (
    <OrderButton
      label={`${word} scaling`}
      question={`${word} scaling of ${model.name}?`}
      effect={model.paused
        ? "Tailback asks for replicas again, as it decides. The count may change at once."
        : "Tailback goes on deciding, and shows what it would do, but asks for no replicas and stops none until the model is resumed. Requests go on."}
      word={word}
      path={`models/${encodeURIComponent(model.name)}/${word.toLowerCase()}`}
    />
  );
}

/** Holds a model's count for a while, or no longer. */
export function Scale({ model, possible }: { model: Model; possible: boolean }) {
  const [replicas, setReplicas] = useState<number | null>(null);
  const [minutes, setMinutes] = useState(10);
  if (!possible) return null;
  const path = `models/${encodeURIComponent(model.name)}/scale`;
  if (model.manual) {
    return (
      <OrderButton
        label="End the hold"
        question={`Hold ${model.name} at ${model.manual.replicas} no longer?`}
        effect="Tailback asks for as many replicas again as it decides. The count may change at once, within what the model's settings allow."
        word="End it"
        path={path}
        method="DELETE"
      />
    );
  }
  return (
    <OrderButton
      label="Scale…"
      question={`Hold ${model.name} at a count for a while?`}
      effect="Tailback asks for this many replicas, within minReplicas and maxReplicas, whatever the load. Fewer finish their requests first; with none, requests are held. Afterwards Tailback goes on by itself."
      word="Hold"
      path={path}
      body={() => ({ replicas: replicas ?? model.desired, seconds: Math.round(minutes * 60) })}
      told={({ manual, note }: { manual: { replicas: number; until: number }; note: string | null }) =>
        `Held at ${manual.replicas} until ${clock(manual.until)}${note ? ` (${note})` : ""}.`}
    >
      <label>Replicas <input type="number" required min={0} max={10000} step={1} value={replicas ?? model.desired} onInput={(e) => setReplicas(e.currentTarget.valueAsNumber)} /></label>
      <label>Minutes <input type="number" required min={1} max={1440} step={1} value={minutes} onInput={(e) => setMinutes(e.currentTarget.valueAsNumber)} /></label>
    </OrderButton>
  );
}

/** What can be asked of a replica, by the kind of its server. */
export function ReplicaControl({ model, replica, kind, drained, shared }: {
  model: string;
  replica: { name: string; path: string };
  kind: string;
  drained: boolean;
  /** Whether other models may be in it, too. */
  shared: boolean;
}) {
  const path = (word: string) => `models/${encodeURIComponent(model)}/replicas/${encodeURIComponent(replica.path)}/${word}`;
  const others = shared ? " All models in it are served elsewhere meanwhile, where there is room." : "";
  if (kind === "static" && !shared) {
    return drained ? (
      <OrderButton
        label="Resume" of={replica.path} question={`Resume ${replica.path}?`} word="Resume it" path={path("resume")}
        effect="It gets requests again."
      />
    ) : (
      <OrderButton
        label="Drain" of={replica.path} question={`Drain ${replica.path}?`} word="Drain it" path={path("drain")}
        effect="It gets no more requests, of any model of its server, and finishes those it has. It stays so until it is resumed. Without any other, requests are held."
      />
    );
  }
  if (drained || (kind !== "process" && kind !== "kubernetes")) return null;
  return (
    <OrderButton
      label="Restart" of={replica.name} question={`Restart ${replica.name}?`} word="Restart it" path={path("restart")}
      effect={(kind === "process"
        ? "Another one is started first, if there is room for both. Then this one gets no more requests, finishes those it has, and stops."
        : "Its pod is deleted: it gets no more requests and has its grace period to finish those it has. Its workload starts another one.") + others}
    />
  );
}

/** Cancels a request in flight. */
export function CancelRequest({ model, id }: { model: string; id: string }) {
  return (
    <OrderButton
      label="Cancel" of={id} question={`Cancel the request ${id}?`} word="Cancel it"
      effect="Its caller gets an error; an answer that has begun breaks off. The connection to its replica is closed, so that a model server stops generating."
      path={`models/${encodeURIComponent(model)}/requests/${id}/cancel`}
    />
  );
}

/** Reloads the configuration. */
export function Reload() {
  return (
    <OrderButton
      label="Reload"
      question="Reload the configuration?"
      effect="Tailback reads its manifests, keys and certificates again. If they are wrong, it says what is, and goes on with those it has. Requests go on."
      word="Reload now"
      path="reload"
      told={({ outcome, notes }: { outcome: string; notes: string[] }) =>
        outcome === "unchanged" ? "Nothing has changed." : `The new configuration is in force: ${notes.join("; ")}.`}
    />
  );
}

/** A button that says what it will do, and does it once that is confirmed. */
function OrderButton({ label, of, question, effect, word, path, method, body, children, told }: Order & { of?: string }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [open, setOpen] = useState(false);
  const [token, setToken] = useState("");
  const [refusal, setRefusal] = useState("");
  const [done, setDone] = useState("");
  const show = () => {
    setToken(knownToken());
    setRefusal("");
    setDone("");
    setOpen(true);
    dialog.current?.showModal();
  };
  const carryOut = async (event: Event) => {
    event.preventDefault();
    setRefusal("");
    try {
      const response = await fetch(path, {
        method: method ?? "POST",
        headers: { authorization: `Bearer ${token}` },
        body: body ? JSON.stringify(body()) : undefined,
      });
      const answer = await response.json().catch(() => null);
      if (!response.ok) {
        setRefusal(answer?.error ?? `The proxy answered ${response.status}.`);
        return;
      }
      keepToken(token);
      if (told) setDone(told(answer));
      else dialog.current?.close();
    } catch {
      setRefusal("The proxy does not answer.");
    }
  };
  return (
    <>
      <button class="action" aria-label={of ? `${label} ${of}` : undefined} onClick={show}>{label}</button>
      <dialog ref={dialog} aria-label={question} onClose={() => setOpen(false)}>
        {open ? (
          <form onSubmit={carryOut}>
            <h2>{question}</h2>
            <p>{effect}</p>
            {done ? null : children}
            {done
              ? <p class="good" role="status">{done}</p>
              : <label>Token (TAILBACK_ADMIN_TOKEN) <input type="password" autocomplete="off" required value={token} onInput={(e) => setToken(e.currentTarget.value)} /></label>}
            {refusal ? <p class="bad refusal" role="alert">{refusal}</p> : null}
            <div class="buttons">
              <button type="button" onClick={() => dialog.current?.close()}>{done ? "Close" : "Back"}</button>
              {done ? null : <button class="action" type="submit">{word}</button>}
            </div>
          </form>
        ) : null}
      </dialog>
    </>
  );
}
