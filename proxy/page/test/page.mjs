// Looks at the live page in a real browser: node test/page.mjs ADMIN-URL TOKEN. A line of
// standard output says what to do outside the browser; a line of standard input, that it is done.
import { chromium } from "playwright-core";
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import assert from "node:assert/strict";

const [admin, token] = process.argv.slice(2);
const replies = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const outside = async (what) => {
  console.log(what);
  if ((await replies.next()).done) process.exit(1);
};

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
const page = await context.newPage();
const complaints = [];
let awayOnPurpose = false;
page.on("console", (message) => {
  if (message.type() === "error" && !awayOnPurpose) complaints.push(`${message.text()} ${message.location().url}`);
});
page.on("pageerror", (error) => complaints.push(String(error)));
// The browser reports what the policy forbids as an event, too.
await page.addInitScript(() => addEventListener("securitypolicyviolation", (event) => console.error("CSP", event.violatedDirective)));

const cell = (model, column) => page.locator("tbody tr", { has: page.getByRole("link", { name: model, exact: true }) }).locator("td").nth(column - 1);
const [STATE, LAG, HELD] = [1, 2, 3];
// With SCREENS, a folder, pictures of what is tested are left there.
const picture = async (name) => {
  if (process.env.SCREENS) await page.screenshot({ path: `${process.env.SCREENS}/${name}.png`, fullPage: true });
};

// === the overview follows what happens ===
await page.goto(admin);
await cell("steady", STATE).getByText("ready").waitFor();
await cell("Qwen/Qwen2.5-7B", STATE).getByText("idle").waitFor();
await outside("hold");
await cell("Qwen/Qwen2.5-7B", STATE).getByText("failing").waitFor();
await cell("Qwen/Qwen2.5-7B", HELD).getByText("3", { exact: true }).waitFor();
await page.getByText("there is no such file").waitFor();
await outside("load");
await cell("steady", LAG).locator("span").filter({ hasText: /^[1-9]/ }).waitFor();
await accessible("the overview");

// === sorted and filtered, by keyboard ===
await page.getByRole("button", { name: "Held" }).press("Enter");
await page.locator("tbody tr:first-child").getByRole("link", { name: "Qwen/Qwen2.5-7B", exact: true }).waitFor();
await page.getByLabel("Filter").fill("steady");
await page.getByText("1 of 4").waitFor();
await page.getByLabel("Filter").fill("");

// === one model ===
await page.getByRole("link", { name: "steady", exact: true }).click();
await page.getByRole("heading", { name: "steady", exact: true }).waitFor();
// With how long its start took.
await page.getByRole("row", { name: /steady-\d+.*ready.* [\d.]+ m?s / }).waitFor();
assert.equal(await page.locator("figure canvas").count(), 3);
await page.getByText("lagThreshold").waitFor();
await page.locator("dl.settings div", { hasText: "minReplicas" }).getByText(/document \d+, line \d+/).waitFor();
await accessible("a model");
await picture("model");

// === a language model's tokens ===
await page.goto(`${admin}#model/chat`);
await outside("chat");
const tokens = page.getByRole("region", { name: "Tokens" });
await tokens.getByRole("row", { name: /^chat 12 2 / }).waitFor();
await page.locator("dl", { hasText: "From a cache" }).getByText("67 %").waitFor();
await page.getByText("Ended: stop").waitFor();
await accessible("tokens");
await picture("tokens");

// === what is on which device ===
await page.getByRole("link", { name: "Placement", exact: true }).click();
const device = page.getByRole("article", { name: "gpu0" });
await device.getByText("16 GiB of 24 GiB used").first().waitFor();
await device.getByText("loaded").waitFor();
await accessible("placement");
await picture("placement");
await device.getByRole("link", { name: "shares" }).click();
await page.getByText("available, in gpu0").waitFor();

// === the legends of charts, in the colours of another theme ===
await page.goto(`${admin}#model/steady`);
await page.locator("figure canvas").nth(2).waitFor();
const legends = page.evaluate(() => new Promise((tell) => {
  const read = () => tell([...document.querySelectorAll(".u-legend .u-value")].map((value) => value.textContent));
  // Before the next event comes, mostly.
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => setTimeout(read), { once: true });
}));
await page.emulateMedia({ colorScheme: "dark" });
const values = await legends;
assert.equal(values.length, 10);
for (const value of values) assert.match(value, /\d/, "a legend has no value after a switch of the theme");
await page.emulateMedia({ colorScheme: "light" });

// === actions say what they do, and need the token ===
await page.goto(`${admin}#model/steady`);
await page.getByRole("button", { name: "Pause scaling" }).click();
await page.getByText("Requests go on.").waitFor();
await accessible("a question");
await picture("question");
await page.getByLabel("Token").fill("wrong-wrong-wrong");
awayOnPurpose = true; // A refusal is an error in the browser's own log.
await page.getByRole("button", { name: "Pause", exact: true }).click();
await page.getByRole("alert").getByText("TAILBACK_ADMIN_TOKEN").waitFor();
awayOnPurpose = false;
await page.getByLabel("Token").fill(token);
await page.getByRole("button", { name: "Pause", exact: true }).click();
await page.locator("header.model .state", { hasText: "paused" }).waitFor();
await page.getByRole("button", { name: "Resume scaling" }).click();
await page.getByRole("button", { name: "Resume", exact: true }).click();
await page.locator("header.model .state", { hasText: "paused" }).waitFor({ state: "detached" });

// === requests in flight, and the end of one ===
await page.goto(`${admin}#model/${encodeURIComponent("Qwen/Qwen2.5-7B")}`);
const inside = page.getByRole("region", { name: "Requests in flight" }).getByRole("row", { name: /infer/ });
await inside.nth(2).waitFor();
await inside.first().getByText("a replica").waitFor();
await inside.first().getByRole("button", { name: /^Cancel / }).click();
await page.getByText("Its caller gets an error").waitFor();
await accessible("a request to cancel");
await picture("requests");
await page.getByRole("button", { name: "Cancel it" }).click();
await inside.nth(2).waitFor({ state: "detached" });
await inside.nth(1).waitFor();

// === what replicas print ===
await page.goto(`${admin}#model/steady`);
await page.evaluate(() => sessionStorage.clear());
await page.getByRole("button", { name: "Show the log" }).click();
await page.getByLabel("Token").fill("wrong-wrong-wrong");
awayOnPurpose = true;
await page.getByRole("button", { name: "Show", exact: true }).click();
await page.getByRole("alert").getByText("TAILBACK_ADMIN_TOKEN").waitFor();
awayOnPurpose = false;
await page.getByLabel("Token").fill(token);
await page.getByRole("button", { name: "Show", exact: true }).click();
await page.getByRole("log").getByText("steady-").first().waitFor();
await accessible("a log");
await picture("log");

// === a count that is held for a while ===
await page.getByRole("button", { name: "Scale…" }).click();
await page.getByText("whatever the load").waitFor();
await page.getByRole("spinbutton", { name: "Replicas" }).fill("2");
await page.getByRole("spinbutton", { name: "Minutes" }).fill("5");
await accessible("a count to hold");
await picture("scale");
await page.getByRole("button", { name: "Hold", exact: true }).click();
await page.getByRole("status").getByText(/Held at 2 until \d/).waitFor();
await page.getByRole("button", { name: "Close" }).click();
await page.locator("p.why").getByText(/held at 2 by an operator \(127\.0\.0\.1\) until/).waitFor();
await page.getByRole("row", { name: /ready/ }).nth(1).waitFor();

// === a mark on a chart says why ===
const figure = page.locator("figure").nth(1);
await figure.scrollIntoViewIfNeeded();
const chart = await figure.locator(".u-over").boundingBox();
for (let x = chart.width - 2; x > 0 && !(await figure.locator(".mark").textContent()); x -= 4) {
  await page.mouse.move(chart.x + x, chart.y + chart.height / 2);
}
assert.match(await figure.locator(".mark").textContent(), /: \d+ → \d+, ./);
await picture("mark");

// === a replica that is restarted ===
const row = page.getByRole("row", { name: /steady-\d+.*ready/ }).first();
const restarted = await row.getByRole("rowheader").textContent();
await page.getByRole("button", { name: `Restart ${restarted}`, exact: true }).click();
await page.getByText("Another one is started first").waitFor();
await accessible("a replica to restart");
await picture("restart");
await page.getByRole("button", { name: "Restart it" }).click();
await page.getByRole("row", { name: restarted, exact: false }).waitFor({ state: "detached" });
await page.getByRole("row", { name: /ready/ }).nth(1).waitFor();
await page.getByRole("button", { name: "End the hold" }).click();
await page.getByRole("button", { name: "End it" }).click();
await page.getByRole("button", { name: "Scale…" }).waitFor();
// === an endpoint that is drained ===
await page.goto(`${admin}#model/chat`);
await page.getByRole("button", { name: /^Drain / }).click();
await page.getByText("until it is resumed").waitFor();
await page.getByRole("button", { name: "Drain it" }).click();
await page.getByText("drained by an operator").waitFor();
await picture("drained");
await page.getByRole("button", { name: /^Resume 127/ }).click();
await page.getByRole("button", { name: "Resume it" }).click();
await page.getByText("drained by an operator").waitFor({ state: "detached" });

await page.getByRole("button", { name: "Reload" }).click();
await page.getByText("Tailback reads its manifests").waitFor();
await page.getByRole("button", { name: "Reload now" }).click();
await page.getByRole("status").getByText("Nothing has changed.").waitFor();
await page.getByRole("button", { name: "Close" }).click();
await outside("break");
await page.getByText("is wrong and not in force").waitFor();
await page.getByRole("button", { name: "Reload" }).click();
awayOnPurpose = true;
await page.getByRole("button", { name: "Reload now" }).click();
await page.getByRole("alert").getByText("the old one stays in force").waitFor();
awayOnPurpose = false;
await accessible("a refusal");
await picture("refusal");
await page.getByRole("button", { name: "Back" }).click();
await outside("mend");
await page.getByText("is wrong and not in force").waitFor({ state: "detached" });

// === names with a slash, decisions, dark, and small ===
await page.goto(`${admin}#model/${encodeURIComponent("Qwen/Qwen2.5-7B")}`);
await page.getByRole("heading", { name: "Qwen/Qwen2.5-7B", exact: true }).waitFor();
await page.getByRole("link", { name: "Decisions", exact: true }).click();
await page.getByRole("cell", { name: "0 → 1" }).first().waitFor();
// The request that woke the model was traced.
assert.match(await page.locator(".trace code").first().textContent(), /^[0-9a-f]{32}$/);
await picture("decisions");
await page.emulateMedia({ colorScheme: "dark" });
await page.setViewportSize({ width: 390, height: 800 });
await accessible("decisions, dark and small");
for (const [name, there] of [["Models", "steady"], ["Placement", "gpu0"], ["chat", "Tokens"]]) {
  if (name === "chat") await page.goto(`${admin}#model/chat`);
  else await page.getByRole("link", { name, exact: true }).click();
  await page.getByText(there).first().waitFor();
  await accessible(`${name}, dark and small`);
  await picture(`small-${name}`);
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(width <= 390, `${name} is ${width} px wide on a screen of 390`);
}
await page.setViewportSize({ width: 1280, height: 800 });
await picture("dark-chat");
await page.getByRole("link", { name: "Models", exact: true }).click();
await page.getByText("steady").first().waitFor();
await picture("dark-models");
await page.emulateMedia({ colorScheme: "light" });
await picture("light-models");

// === it lives through a restart of the proxy, now with many models ===
awayOnPurpose = true;
await outside("restart");
await page.locator("tbody tr").nth(999).waitFor({ state: "attached", timeout: 60_000 });
awayOnPurpose = false;
const busy = await page.evaluate(async () => {
  // The longest time between two frames, over some turns of events.
  let [longest, last] = [0, performance.now()];
  const end = last + 3000;
  while (last < end) {
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
  }
  return longest;
});
console.error(`longest frame with 1,000 models: ${Math.round(busy)} ms`);

assert.deepEqual(complaints, [], "the browser's log");
await browser.close();
console.log("done");
process.exit(0);

async function accessible(where) {
  await page.evaluate(await axe());
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes[0].html}`), [], where);
}

async function axe() {
  return readFile(new URL("../node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
}
