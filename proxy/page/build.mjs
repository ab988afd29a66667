// Writes the page's files into the folder that is named: `npm run build`.
import { build } from "esbuild";
import { copyFile, mkdir, readFile } from "node:fs/promises";

const folder = process.argv[2] ?? "dist";
await mkdir(folder, { recursive: true });

// What goes along with the libraries that are built in.
const licences = await Promise.all(["preact", "uplot"].map((name) => readFile(`node_modules/${name}/LICENSE`, "utf8")));
const banner = `/*\nWith preact and uPlot.\n\n${licences.join("\n")}*/`;

const common = { bundle: true, minify: true, legalComments: "inline", logLevel: "warning" };
await build({
  ...common,
  entryPoints: ["src/main.tsx"],
  outfile: `${folder}/page.js`,
  banner: { js: banner },
  format: "iife",
  target: "es2022",
  jsx: "automatic",
  jsxImportSource: "preact",
});
// The picture of tailback simulate, which is one file: its script and style are put into it.
await build({
  ...common,
  entryPoints: ["src/plot.ts"],
  outfile: `${folder}/plot.js`,
  banner: { js: banner },
  format: "iife",
  target: "es2022",
});
for (const name of ["page", "plot"]) {
  await build({ ...common, entryPoints: [`src/${name}.css`], outfile: `${folder}/${name}.css` });
}
await copyFile("src/index.html", `${folder}/index.html`);
