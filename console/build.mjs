// Builds the console into dist/: scripts and styles with the hash of their content in their names, compressed; the
// page that names them; and the clips of examples/ to try. Run by `make console`.
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const dist = join(here, "dist");
const COMPRESSED = new Set([".js", ".css", ".svg", ".txt"]);

async function bundle() {
  const { metafile } = await build({
    absWorkingDir: here,
    entryPoints: ["src/main.js", "src/recorder-worklet.js", "styles/console.css"],
    outdir: "dist",
    entryNames: "[name]-[hash]",
    chunkNames: "[name]-[hash]",
    bundle: true,
    splitting: true, // what only one page needs is loaded with that page
    format: "esm",
    target: ["chrome109", "firefox115", "safari16.4"],
    minify: true,
    legalComments: "none",
    metafile: true,
  });
  const built = { "licences.txt": await licences(Object.keys(metafile.inputs)) };
  for (const [path, { entryPoint }] of Object.entries(metafile.outputs)) {
    if (entryPoint) built[basename(entryPoint)] = basename(path);
  }
  return built;
}

/** What the packages ask to be kept with what is made of them. */
async function licences(inputs) {
  const names = new Set(inputs.map((path) => path.match(/^node_modules\/((?:@[^/]+\/)?[^/]+)/)?.[1]).filter(Boolean));
  const texts = [...names].sort().map(async (name) => {
    const folder = join(here, "node_modules", name);
    const { version, license } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
    const file = (await readdir(folder)).find((one) => /^licen[cs]e/i.test(one));
    return `${name} ${version}, ${license}\n\n${file ? await readFile(join(folder, file), "utf8") : ""}`;
  });
  return hashed("licences.txt", Buffer.from((await Promise.all(texts)).join(`\n${"-".repeat(80)}\n`)));
}

async function hashed(name, content) {
  const hash = createHash("sha256").update(content).digest("hex").slice(0, 8);
  const written = `${basename(name, extname(name))}-${hash}${extname(name)}`;
  await writeFile(join(dist, written), content);
  return written;
}

async function compress() {
  for (const name of await readdir(dist)) {
    if (!COMPRESSED.has(extname(name))) continue;
    const content = await readFile(join(dist, name));
    await writeFile(join(dist, `${name}.gz`), gzipSync(content, { level: 9 }));
    await writeFile(join(dist, `${name}.br`), brotliCompressSync(content));
  }
}

await rm(dist, { recursive: true, force: true });
await mkdir(dist, { recursive: true });
const built = await bundle();
built["icon.svg"] = await hashed("icon.svg", await readFile(join(here, "icon.svg")));
for (const name of ["wideband.wav", "telephone.ul", "two_channels.wav", "silence.wav"]) {
  built[name] = await hashed(name, await readFile(join(here, "..", "examples", name)));
}
await compress();
const page = await readFile(join(here, "index.html"), "utf8");
const names = page.replace(/\{built:([\w.-]+)\}/g, (_, name) => {
  if (!built[name]) throw new Error(`The page names what is built: ${Object.keys(built)}. Received: ${name}.`);
  return `console/${built[name]}`;
});
await writeFile(join(dist, "index.html"), names); // last: with it, the console is there
