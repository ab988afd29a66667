import { useRef, useState } from "preact/hooks";
import type { Model } from "./feed";

const TOKEN = "tailback-admin-token";

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
function OrderButton({ label, question, effect, word, path, told }: Order) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [open, setOpen] = useState(false);
  const [token, setToken] = useState("");
  const [refusal, setRefusal] = useState("");
  const [done, setDone] = useState("");
  const show = () => {
    setToken(sessionStorage.getItem(TOKEN) ?? "");
    setRefusal("");
    setDone("");
    setOpen(true);
    dialog.current?.showModal();
  };
  const carryOut = async (event: Event) => {
    event.preventDefault();
    setRefusal("");
    try {
      const response = await fetch(path, { method: "POST", headers: { authorization: `Bearer ${token}` } });
      const answer = await response.json().catch(() => null);
      if (!response.ok) {
        setRefusal(answer?.error ?? `The proxy answered ${response.status}.`);
        return;
      }
      sessionStorage.setItem(TOKEN, token);
      if (told) setDone(told(answer));
      else dialog.current?.close();
    } catch {
      setRefusal("The proxy does not answer.");
    }
  };
  return (
    <>
      <button class="action" onClick={show}>{label}</button>
      <dialog ref={dialog} aria-label={question} onClose={() => setOpen(false)}>
        {open ? (
          <form onSubmit={carryOut}>
            <h2>{question}</h2>
            <p>{effect}</p>
            {done
              ? <p class="good" role="status">{done}</p>
              : <label>Token (TAILBACK_ADMIN_TOKEN) <input type="password" autocomplete="off" required value={token} onInput={(e) => setToken(e.currentTarget.value)} /></label>}
            {refusal ? <p class="bad refusal" role="alert">{refusal}</p> : null}
            <div class="buttons">
              <button type="button" onClick={() => dialog.current?.close()}>{done ? "Close" : "Cancel"}</button>
              {done ? null : <button class="action" type="submit">{word}</button>}
            </div>
          </form>
        ) : null}
      </dialog>
    </>
  );
}
