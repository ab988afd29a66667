// @anthropic-ai/sdk.
import { gzipSync } from "node:zlib";
import {
  ADDRESS, IMAGE, MANY_FIELDS, MODELS, PROMPT, assert, expect, inFlight, installed, report, serve, sha256, thrown,
} from "./adapter.mjs";

const { default: Anthropic, NotFoundError, APIError } = await installed("@anthropic-ai/sdk");
const client = (more) => new Anthropic({ baseURL: `http://${ADDRESS}`, apiKey: "any", maxRetries: 0, timeout: 60_000, ...more });
const CLIENT = client();

const create = (model, more = {}, { by = CLIENT, options } = {}) =>
  by.messages.create({ max_tokens: 100, messages: [{ role: "user", content: PROMPT }], model, ...more }, options);
const chat = async (model, more, how) => (await create(model, more, how)).content[0].text;
const stream = (model, more) => create(model, { stream: true, ...more });
const piece = (event) => (event.type === "content_block_delta" ? event.delta.text : "");

async function text(events) {
  let all = "";
  for await (const event of events) all += piece(event);
  return all;
}

// The first text of a stream, and the rest.
async function first(events) {
  const rest = events[Symbol.asyncIterator]();
  for (let next; !(next = await rest.next()).done; )
    if (piece(next.value)) return [piece(next.value), { [Symbol.asyncIterator]: () => rest }];
  throw new Error("no text");
}

const hi = { messages: [{ role: "user", content: "Say hi." }], max_tokens: 3 };

await serve(
  (await installed.version("@anthropic-ai/sdk")) + ` on Node.js ${process.versions.node.split(".")[0]}`,
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
      assert(answer.content[0].text && answer.usage.output_tokens <= 20, answer);
    },
    async stream() {
      const [, rest] = await first(await stream("smollm2", { ...hi, max_tokens: 20 }));
      await inFlight();
      let last;
      for await (const event of rest) last = event;
      assert(last.type === "message_stop", last);
    },
    late: async () => expect(report(await text(await stream("late"))), { model: "late" }),
    async cancel() {
      const events = await stream("endless");
      const [begun] = await first(events);
      assert(begun === "again ", begun);
      await inFlight();
      events.controller.abort();
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
      expect(report(answer.content[0].text), { model: "org/Real:latest" });
      for await (const event of await stream("asked/for:1"))
        assert(event.type !== "message_start" || event.message.model === "asked/for:1", event);
    },
    async image() {
      const content = [{ type: "image", source: { type: "base64", media_type: "image/png", data: IMAGE } }];
      const got = report(await chat("echo", { messages: [{ role: "user", content }] }));
      assert(got.bytes > 1_500_000, got);
      return "writes the body as the caller does; here with `model` last";
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
      assert(error instanceof NotFoundError && error.error.error.type === "not_found_error", error.message);
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
      expect(report(data.content[0].text), { last_field: "149" });
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
  {
    upload: "files are not for a model",
    zstd: "Node.js 20 has no zstd",
    expect: null,
    "half-closed": null,
    frames: null,
    cors: null,
    websocket: null,
  },
);
