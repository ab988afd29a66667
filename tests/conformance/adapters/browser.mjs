// Chromium, at pages of the origin and of another one.
import { ADDRESS, FILE, IMAGE, MODELS, PROMPT, assert, expect, inFlight, installed, report, serve, thrown } from "./adapter.mjs";

const CHROMIUM = "/usr/bin/chromium";
const { default: { chromium } } = await installed("playwright-core");
const flags = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];
const browser = await chromium.launch({ executablePath: CHROMIUM, args: flags });
// Its host is not the proxy's: to a browser it is another origin, and one that may call.
const page = await browser.newPage();
await page.goto(`http://localhost:${process.env.ORIGIN_PORT}/page`);

// In the page: what the features need.
await page.evaluate(({ address, prompt }) => {
  globalThis.BASE = `http://${address}`;
  globalThis.ask = async (model, more = {}, init = {}) =>
    fetch(`${BASE}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: "Bearer any", ...init.headers },
      body: JSON.stringify({ messages: [{ role: "user", content: prompt }], ...more, model }),
      signal: init.signal,
    });
  globalThis.chat = async (...given) => (await (await ask(...given)).json()).choices[0].message.content;
  globalThis.open = async (model, more = {}, init = {}) => {
    const reader = (await ask(model, { stream: true, ...more }, init)).body.pipeThrough(new TextDecoderStream()).getReader();
    let got = "";
    return {
      async until(text) {
        while (!got.includes(text)) {
          const { value, done } = await reader.read();
          if (done) throw new Error(`ended after ${got}`);
          got += value;
        }
      },
      async rest() {
        for (let next; !(next = await reader.read()).done; ) got += next.value;
        return got;
      },
    };
  };
}, { address: ADDRESS, prompt: PROMPT });

const chat = (model, more) => page.evaluate(([model, more]) => chat(model, more), [model, more]);
const hi = { messages: [{ role: "user", content: "Say hi." }], max_tokens: 3 };

await serve(
  browser.version(),
  {
    cold: async () => assert(await chat("smollm2", hi), "an answer"),
    async list() {
      const listed = await page.evaluate(async () => (await (await fetch(`${BASE}/v1/models`)).json()).data.map((m) => m.id));
      assert(MODELS.every((model) => listed.includes(model)), listed);
    },
    unary: async () => assert(await chat("smollm2", { ...hi, max_tokens: 20 }), "an answer"),
    async stream() {
      await page.evaluate(async (hi) => {
        globalThis.opened = await open("smollm2", { ...hi, max_tokens: 20 });
        await opened.until("data: ");
      }, hi);
      await inFlight();
      assert((await page.evaluate(() => opened.rest())).includes("data: [DONE]"), "the end");
    },
    async late() {
      assert((await page.evaluate(async () => (await open("late")).rest())).includes("data: [DONE]"), "the end");
    },
    async cancel() {
      await page.evaluate(async () => {
        globalThis.leaving = new AbortController();
        await (await open("endless", {}, { signal: leaving.signal })).until("again");
      });
      await inFlight();
      await page.evaluate(() => leaving.abort());
      await inFlight(0);
    },
    async break() {
      await page.evaluate(async () => (globalThis.opened = await open("break")).until("hello"));
      return `\`${(await thrown(() => page.evaluate(() => opened.rest()))).message.split("\n")[0].replace("page.evaluate: ", "")}\``;
    },
    async names() {
      for (const name of ["Qwen/Qwen2.5-7B-Instruct", "llama3:8b"]) expect(report(await chat(name)), { model: name });
    },
    alias: async () => expect(report(await chat("openai/gpt-4o")), { model: "gpt_4" }),
    renamed: async () => expect(report(await chat("renamed")), { model: "org/Real:latest" }),
    async requested() {
      const answer = await page.evaluate(async () => (await ask("asked/for:1")).json());
      assert(answer.model === "asked/for:1", answer);
      expect(report(answer.choices[0].message.content), { model: "org/Real:latest" });
      const events = await page.evaluate(async () => (await open("asked/for:1")).rest());
      assert(events.includes('"model": "asked/for:1"') && !events.includes('"model": "org'), events);
    },
    async image() {
      const content = [{ type: "image_url", image_url: { url: `data:image/png;base64,${IMAGE}` } }];
      const got = report(await chat("echo", { messages: [{ role: "user", content }] }));
      assert(got.bytes > 1_500_000, got);
      return "writes the body as the page does; here with `model` last";
    },
    async upload() {
      const text = await page.evaluate(async (size) => {
        const form = new FormData();
        form.append("file", new File([new Uint8Array(size)], "a.wav"));
        form.append("model", "echo");
        return (await (await fetch(`${BASE}/v1/audio/transcriptions`, { method: "POST", body: form })).json()).text;
      }, FILE.length);
      expect(report(text), { model: "echo", model_at: "behind the file" });
      return "writes the form as the page does; here with `model` behind the file";
    },
    async gzip() {
      const [text, size] = await page.evaluate(async (prompt) => {
        const whole = new Blob([JSON.stringify({ messages: prompt, model: "echo" })]).stream();
        const body = await new Response(whole.pipeThrough(new CompressionStream("gzip"))).blob();
        const headers = { "content-type": "application/json", "content-encoding": "gzip" };
        const answer = await fetch(`${BASE}/v1/chat/completions`, { method: "POST", headers, body });
        return [(await answer.json()).choices[0].message.content, body.size];
      }, PROMPT);
      expect(report(text), { model: "echo", encoding: "gzip", bytes: size });
    },
    async unknown() {
      const [status, error] = await page.evaluate(async () => {
        const answer = await ask("no-such-model");
        return [answer.status, (await answer.json()).error];
      });
      assert(status === 404 && error.code === "model_not_found", error);
      return "the page may read the status and the error";
    },
    async fields() {
      const [text, last] = await page.evaluate(async () => {
        const headers = Object.fromEntries([...Array(150).keys()].map((n) => [`x-field-${n}`, `${n}`]));
        const answer = await ask("fields", {}, { headers });
        return [(await answer.json()).choices[0].message.content, answer.headers.get("x-answer-149")];
      });
      expect(report(text), { last_field: "149" });
      return last === "149" ? "" : "a page of another origin sees no fields of the answer but the usual";
    },
    "early-hints": async () => expect(report(await chat("early-hints")), { model: "early-hints" }),
    trailers: async () => expect(report(await chat("trailers")), { model: "trailers" }),
    async "keep-alive"() {
      for (let time = 0; time < 20; time++) await chat("echo");
    },
    async cors() {
      const url = `http://${ADDRESS}/v1/chat/completions`;
      const call = async (url) =>
        (await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body: '{"model":"echo"}' })).ok;
      // Another context has not asked yet whether it may.
      const fresh = await (await browser.newContext()).newPage();
      await fresh.goto(page.url());
      const asked = [];
      const session = await fresh.context().newCDPSession(fresh);
      await session.send("Network.enable");
      session.on("Network.requestWillBeSent", ({ request }) => asked.push(request.method));
      assert(await fresh.evaluate(call, url), "an answer");
      assert(asked.includes("OPTIONS"), asked);
      // To its own browser, the same page by its address is of an origin that may not call.
      const other = await browser.newPage();
      await other.goto(`http://127.0.0.1:${process.env.ORIGIN_PORT}/page`);
      const error = await thrown(() => other.evaluate(call, url));
      assert(error.message.includes("Failed to fetch"), error.message);
      await other.close();
      return "a preflight, then the call; a page of an origin that is not allowed: `Failed to fetch`";
    },
    async websocket() {
      await page.evaluate(async (address) => {
        globalThis.socket = new WebSocket(`ws://${address}/v2/models/socket/live`);
        socket.binaryType = "arraybuffer";
        const next = (name) => new Promise((resolve, reject) => {
          socket.addEventListener(name, resolve, { once: true });
          socket.addEventListener("error", () => reject(new Error("the WebSocket failed")), { once: true });
        });
        await next("open");
        for (const message of ["hello", new Uint8Array(3_000_000).buffer]) {
          socket.send(message);
          const { data } = await next("message");
          if ((data.byteLength ?? data) !== (message.byteLength ?? message)) throw new Error("another message");
        }
      }, ADDRESS);
      await inFlight();
      await page.evaluate(() => socket.close());
      await inFlight(0);
      const failed = await page.evaluate((address) => new Promise((resolve) => {
        const unknown = new WebSocket(`ws://${address}/v2/models/no-such-model/live`);
        unknown.addEventListener("error", () => resolve(true));
        unknown.addEventListener("open", () => resolve(false));
      }), ADDRESS);
      assert(failed, "an unknown model has a WebSocket");
    },
  },
  {
    "error-event":
      "when a connection breaks, Chromium drops what the page has not read yet: 29 to 40 of 150 through Tailback, 10 to 32 without",
    zstd: "Chromium offers pages no zstd",
    retry: null,
    expect: null,
    "half-closed": null,
    frames: null,
  },
);
