// What the adapters of clients in Node.js share; adapter.py says how they talk.
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

export const ADDRESS = process.argv.at(-1);
const bytes = (size, seed) => createHash("shake256", { outputLength: size }).update(seed).digest();
export const IMAGE = bytes(1_150_000, "image").toString("base64");
export const FILE = bytes(2_000_000, "file");
export const PROMPT = "Count to ten, in words. ".repeat(200);
export const MODELS = ["smollm2", "Qwen/Qwen2.5-7B-Instruct", "llama3:8b", "gpt_4", "openai/gpt-4o"];
export const MANY_FIELDS = Object.fromEntries([...Array(150).keys()].map((n) => [`x-field-${n}`, `${n}`]));

export const sha256 = (data) => createHash("sha256").update(data).digest("hex");
export const report = JSON.parse;

export function assert(holds, said) {
  if (!holds) throw new Error(`not so: ${typeof said === "string" ? said : JSON.stringify(said)}`);
}

export function expect(got, values) {
  for (const [name, value] of Object.entries(values)) assert(got[name] === value, `${name} is ${got[name]}`);
}

// The error that `call` throws.
export async function thrown(call) {
  try {
    await call();
  } catch (error) {
    return error;
  }
  throw new Error("expected an error");
}

// A package of the environment, and its version.
const above = new URL("../", import.meta.url);
const { resolve } = createRequire(above);
export const installed = (name) => import(pathToFileURL(resolve(name)));
installed.version = async (name) =>
  JSON.parse(await readFile(new URL(`node_modules/${name}/package.json`, above))).version;

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
// What a client or its libraries print is no part of the talk.
console.log = console.error;
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

// Has the proxy's count checked.
export async function inFlight(requests = 1) {
  say({ in_flight: requests });
  await lines.next();
}

export async function serve(version, features, without) {
  say({ version, has: Object.keys(features).sort(), without });
  for (let line; !(line = await lines.next()).done; ) {
    try {
      const note = await features[JSON.parse(line.value).feature]();
      say({ ok: true, note: note ?? null });
    } catch (error) {
      console.error(error);
      say({ ok: false, why: `${error?.name}: ${error?.message}`.slice(0, 300) });
    }
  }
  process.exit(0);
}
