// Looks at the picture of a simulation in a real browser: node test/plot.mjs FILE.
import { chromium } from "playwright-core";
import { pathToFileURL } from "node:url";
import { readFile } from "node:fs/promises";
import assert from "node:assert/strict";

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const page = await (await browser.newContext({ viewport: { width: 1280, height: 900 } })).newPage();
const complaints = [];
page.on("console", (message) => {
  if (message.type() === "error") complaints.push(message.text());
});
page.on("pageerror", (error) => complaints.push(String(error)));
await page.goto(pathToFileURL(process.argv[2]).href);
assert.equal(await page.locator("figure canvas").count(), 2);

// === a moment that is pointed at has its numbers in all charts ===
const value = (chart, line) => page.locator("figure").nth(chart).locator("tr.u-series", { hasText: line }).locator(".u-value");
const box = await page.locator(".u-over").first().boundingBox();
await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
for (const chart of [0, 1]) assert.match(await value(chart, "replicas ready").textContent(), /^\d/);

// === a click on a name hides its line in all charts ===
await page.locator("figure").first().locator("tr.u-series", { hasText: "held" }).locator(".u-label").click();
for (const chart of [0, 1]) await page.locator("figure").nth(chart).locator("tr.u-series.u-off", { hasText: "held" }).waitFor();

// === it is readable by everybody, dark, and on a phone ===
await page.evaluate(await readFile(new URL("../node_modules/axe-core/axe.min.js", import.meta.url), "utf8"));
const { violations } = await page.evaluate(() => globalThis.axe.run());
assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes[0].html}`), []);
if (process.env.SCREENS) await page.screenshot({ path: `${process.env.SCREENS}/plot.png`, fullPage: true });
await page.setViewportSize({ width: 390, height: 800 });
await page.emulateMedia({ colorScheme: "dark" });
await page.reload();
const width = await page.evaluate(() => document.documentElement.scrollWidth);
assert.ok(width <= 390, `the page is ${width} px wide on a screen of 390`);
if (process.env.SCREENS) await page.screenshot({ path: `${process.env.SCREENS}/plot-small.png`, fullPage: true });
assert.deepEqual(complaints, [], "the browser's log");
await browser.close();
