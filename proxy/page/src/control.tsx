import { useRef, useState } from "preact/hooks";
import type { Model } from "./feed";

const TOKEN = "tailback-admin-token";

/** Pauses or resumes a model, for whoever has the token. It says first what it will do. */
export function Control({ model, possible }: { model: Model; possible: boolean }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [token, setToken] = useState(sessionStorage.getItem(TOKEN) ?? "");
  const [answer, setAnswer] = useState("");
  const word = model.paused ? "resume" : "pause";
  const carryOut = async (event: Event) => {
    event.preventDefault();
    setAnswer("");
    try {
      const response = await fetch(`models/${encodeURIComponent(model.name)}/${word}`, {
        method: "POST",
        headers: { authorization: `Bearer ${token}` },
      });
      if (!response.ok) {
        const body = await response.json().catch(() => null);
        setAnswer(body?.error ?? `the proxy answered ${response.status}`);
        return;
      }
      sessionStorage.setItem(TOKEN, token);
      dialog.current?.close();
    } catch {
      setAnswer("The proxy does not answer.");
    }
  };
  if (!possible) return null;
  return (
    <>
      <button class="action" onClick={() => dialog.current?.showModal()}>{model.paused ? "Resume scaling" : "Pause scaling"}</button>
      <dialog ref={dialog} aria-labelledby="control-title">
        <form onSubmit={carryOut}>
          <h2 id="control-title">{model.paused ? "Resume scaling" : "Pause scaling"} of {model.name}?</h2>
          <p>
            {model.paused
              ? "Tailback asks for replicas again, as it decides. The count may change at once."
              : "Tailback goes on deciding, and shows what it would do, but asks for no replicas and stops none until the model is resumed. Requests go on."}
          </p>
          <label>Token (TAILBACK_ADMIN_TOKEN) <input type="password" autocomplete="off" required value={token} onInput={(e) => setToken(e.currentTarget.value)} /></label>
          {answer ? <p class="bad" role="alert">{answer}</p> : null}
          <div class="buttons">
            <button type="button" onClick={() => dialog.current?.close()}>Cancel</button>
            <button class="action" type="submit">{model.paused ? "Resume" : "Pause"}</button>
          </div>
        </form>
      </dialog>
    </>
  );
}
