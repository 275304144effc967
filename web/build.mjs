// Bundles src into dist, which is committed so that `go build` needs no Node:
//
//	node build.mjs            write dist
//	node build.mjs --verify   build in memory; fail when dist is something else
//
// nats.js is the NATS client as an ES module of its own, with src/extra.ts. The
// page imports it, and so may anybody's: import { connectEdge } from "/nats.js".
import { build } from "esbuild";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";

const here = import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname);
const dist = path.join(here, "dist");
const client = "@nats-io/nats-core";
const bundled = [client, "@nats-io/nkeys", "@nats-io/nuid", "tweetnacl"];

const common = {
  absWorkingDir: here, bundle: true, minify: true, write: false, format: "esm", target: "es2022", platform: "browser",
  charset: "utf8", legalComments: "none", logLevel: "warning",
};

// bundle returns the text that esbuild makes of an entry.
async function bundle(options) {
  const { outputFiles } = await build({ ...common, ...options });
  return outputFiles[0].text;
}

// clientModule exports what we add to the client, and by name all that the client
// exports: its package is CommonJS, of which `export *` would export nothing.
async function clientModule() {
  const names = Object.keys(createRequire(import.meta.url)(client)).filter((n) => n !== "__esModule").sort();
  const text = await bundle({
    stdin: { contents: `export * from "./src/extra"; export { ${names.join(", ")} } from "${client}";`, resolveDir: here },
    define: { "process.env.NODE_ENV": '"production"' },
    external: ["crypto"], // tweetnacl asks for it where there is no browser
  });
  const { version } = await packageJSON(client);
  return `/*! ${client} ${version}, Apache-2.0; see licenses.txt */\n${text}`;
}

const packageJSON = async (name) => JSON.parse(await readFile(path.join(here, "node_modules", name, "package.json"), "utf8"));

// licenses collects the licences of what is bundled.
async function licenses() {
  let text = "nats.js contains these packages.\n";
  for (const name of bundled) {
    const { version, license } = await packageJSON(name);
    const full = await readFile(path.join(here, "node_modules", name, "LICENSE"), "utf8");
    text += `\n${"=".repeat(78)}\n${name} ${version} (${license})\n${"=".repeat(78)}\n\n${full.trim()}\n`;
  }
  return text;
}

const beside = { name: "client beside", setup: (b) => b.onResolve({ filter: new RegExp(`^(${client}|\\./extra)$`) }, () => ({ path: "./nats.js", external: true })) };
const source = (name) => readFile(path.join(here, "src", name), "utf8");

const files = {
  "app.js": await bundle({ entryPoints: ["src/main.ts"], plugins: [beside] }),
  "icon.svg": await source("icon.svg"),
  "index.html": await source("index.html"),
  "licenses.txt": await licenses(),
  "nats.js": await clientModule(),
  "style.css": await bundle({ entryPoints: ["src/style.css"] }),
  "theme.js": await bundle({ entryPoints: ["src/early.ts"], format: "iife" }),
};

if (process.argv.includes("--verify")) {
  const wrong = [];
  for (const name of new Set([...Object.keys(files), ...await readdir(dist)])) {
    const there = await readFile(path.join(dist, name), "utf8").catch(() => undefined);
    if (there !== files[name]) wrong.push(name);
  }
  if (wrong.length > 0) {
    console.error(`web/dist is not what web/src makes: ${wrong.join(", ")}; run \`npm ci && npm run build\` in web/ and commit dist`);
    process.exit(1);
  }
} else {
  await rm(dist, { recursive: true, force: true });
  await mkdir(dist);
  for (const [name, text] of Object.entries(files)) await writeFile(path.join(dist, name), text);
}
for (const [name, text] of Object.entries(files)) console.log(String(Buffer.byteLength(text)).padStart(8), name);
