// openai-node.
import { gzipSync } from "node:zlib";
import {
  ADDRESS, FILE, IMAGE, MANY_FIELDS, MODELS, PROMPT, assert, expect, inFlight, installed, report, serve, sha256, thrown,
} from "./adapter.mjs";

const { default: OpenAI, NotFoundError, APIError, toFile } = await installed("openai");
const client = (more) => new OpenAI({ baseURL: `http://${ADDRESS}/v1`, apiKey: "any", maxRetries: 0, timeout: 60_000, ...more });
const CLIENT = client();

const create = (model, more = {}, { by = CLIENT, options } = {}) =>
  by.chat.completions.create({ messages: [{ role: "user", content: PROMPT }], model, ...more }, options);
const chat = async (model, more, how) => (await create(model, more, how)).choices[0].message.content;
const stream = (model, more) => create(model, { stream: true, ...more });
const piece = (chunk) => chunk.choices[0]?.delta.content ?? "";

async function text(chunks) {
  let all = "";
  for await (const chunk of chunks) all += piece(chunk);
  return all;
}

async function first(chunks) {
  const rest = chunks[Symbol.asyncIterator]();
  const { value } = await rest.next();
  return [piece(value), { [Symbol.asyncIterator]: () => rest }];
}

const WEBSOCKET = "its Realtime API is not tried here; WebSockets are with the browser";
const hi = { messages: [{ role: "user", content: "Say hi." }], max_tokens: 3 };

await serve(
  (await installed.version("openai")) + ` on Node.js ${process.versions.node.split(".")[0]}`,
  {
    cold: async () => assert(await chat("smollm2", hi), "an answer"),
    async list() {
      const listed = [];
      for await (const model of CLIENT.models.list()) listed.push(model.id);
      assert(MODELS.every((model) => listed.includes(model)), listed);
      assert((await CLIENT.models.retrieve("openai/gpt-4o")).id === "openai/gpt-4o", "its name");
    },
    async unary() {
      const answer = await create("smollm2", { ...hi, max_tokens: 20 });
      assert(answer.choices[0].message.content && answer.usage.completion_tokens <= 20, answer);
    },
    async stream() {
      const [, rest] = await first(await stream("smollm2", { ...hi, max_tokens: 20, stream_options: { include_usage: true } }));
      await inFlight();
      let last;
      for await (const chunk of rest) last = chunk;
      assert(last.usage.completion_tokens > 1, last);
    },
    late: async () => expect(report(await text(await stream("late"))), { model: "late" }),
    async cancel() {
      const chunks = await stream("endless");
      const [begun] = await first(chunks);
      assert(begun === "again ", begun);
      await inFlight();
      chunks.controller.abort();
      await inFlight(0);
    },
    async break() {
      const [begun, rest] = await first(await stream("break"));
      assert(begun === "hello", begun);
      const error = await thrown(() => text(rest));
      return `throws \`${error.constructor.name}\` (${error.message})`;
    },
    async "error-event"() {
      for (let time = 0; time < 150; time++) {
        const [begun, rest] = await first(await stream("error-event"));
        assert(begun === "hello", begun);
        const error = await thrown(() => text(rest));
        assert(error instanceof APIError && error.message.includes("out of memory"), error.message);
      }
    },
    async names() {
      for (const name of ["Qwen/Qwen2.5-7B-Instruct", "llama3:8b"]) {
        expect(report(await chat(name)), { model: name });
        assert((await CLIENT.models.retrieve(name)).id === name, name);
      }
    },
    alias: async () => expect(report(await chat("openai/gpt-4o")), { model: "gpt_4" }),
    renamed: async () => expect(report(await chat("renamed")), { model: "org/Real:latest" }),
    async requested() {
      const answer = await create("asked/for:1");
      assert(answer.model === "asked/for:1", answer);
      expect(report(answer.choices[0].message.content), { model: "org/Real:latest" });
      for await (const chunk of await stream("asked/for:1")) assert(chunk.model === "asked/for:1", chunk);
    },
    async image() {
      const content = [{ type: "image_url", image_url: { url: `data:image/png;base64,${IMAGE}` } }];
      const got = report(await chat("echo", { messages: [{ role: "user", content }] }));
      assert(got.bytes > 1_500_000, got);
      return "writes the body as the caller does; here with `model` last";
    },
    async upload() {
      const form = { file: await toFile(FILE, "a.wav"), model: "echo" };
      const got = report((await CLIENT.audio.transcriptions.create(form)).text);
      expect(got, { model: "echo" });
      assert(got.bytes > FILE.length, got);
      return `writes the form as the caller does; here with \`model\` ${got.model_at}`;
    },
    async gzip() {
      let sent;
      const encoding = (url, { headers, body, ...rest }) => {
        headers = new Headers(headers);
        headers.set("content-encoding", "gzip");
        headers.delete("content-length");
        return fetch(url, { ...rest, headers, body: (sent = gzipSync(body)) });
      };
      const got = report(await chat("echo", {}, { by: client({ fetch: encoding }) }));
      expect(got, { encoding: "gzip", sha256: sha256(sent) });
    },
    async unknown() {
      const error = await thrown(() => chat("no-such-model"));
      assert(error instanceof NotFoundError && error.code === "model_not_found" && error.param === "model", error.message);
      assert(error.message.includes("no-such-model"), error.message);
      return "throws `NotFoundError`";
    },
    async retry() {
      const begun = Date.now();
      assert(await chat("asleep", hi, { by: client({ maxRetries: 20 }) }), "an answer");
      assert(Date.now() - begun >= 1000, "it waits");
    },
    async fields() {
      const { data, response } = await create("fields", {}, { options: { headers: MANY_FIELDS } }).withResponse();
      assert(response.headers.get("x-answer-149") === "149", "the answer's last field");
      expect(report(data.choices[0].message.content), { last_field: "149" });
    },
    "early-hints": async () => expect(report(await chat("early-hints")), { model: "early-hints" }),
    async trailers() {
      expect(report(await chat("trailers")), { model: "trailers" });
      expect(report(await text(await stream("trailers"))), { model: "trailers" });
    },
    async "keep-alive"() {
      for (let time = 0; time < 20; time++) {
        await chat("echo");
        await text(await stream("echo"));
      }
    },
  },
  { zstd: "Node.js 20 has no zstd", expect: null, "half-closed": null, frames: null, cors: null, websocket: WEBSOCKET },
);
