/** Builds the page: one script and one style, the same bytes from the same sources. */
import { cpSync, mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const HERE = dirname(fileURLToPath(import.meta.url));
const OUT = process.argv[2] ?? join(HERE, "../python/dovetail/bridges/web/static");

/** How many bytes script and style may have together, compressed. */
const BYTES_MAX = 120_000;

/** The client's sources find their packages here, whatever is installed beside them. */
const packages = {
  name: "packages",
  setup(bundler) {
    bundler.onResolve({ filter: /^@(bufbuild|connectrpc)\// }, ({ path, kind, pluginData }) =>
      pluginData === "here"
        ? undefined
        : bundler.resolve(path, { resolveDir: HERE, kind, pluginData: "here" }),
    );
  },
};

mkdirSync(OUT, { recursive: true });
await build({
  absWorkingDir: HERE,
  entryPoints: { page: "src/main.tsx" },
  outdir: OUT,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  charset: "ascii",
  legalComments: "none",
  jsx: "automatic",
  jsxImportSource: "preact",
  alias: { "@client": "../typescript/src" },
  plugins: [packages],
  logLevel: "warning",
});
await build({
  absWorkingDir: HERE,
  entryPoints: { page: "src/style/page.css" },
  outdir: OUT,
  bundle: true,
  minify: true,
  charset: "ascii",
  legalComments: "none",
  logLevel: "warning",
});
for (const name of ["index.html", "favicon.svg"]) cpSync(join(HERE, "src", name), join(OUT, name));

const sizes = ["page.js", "page.css"].map((name) => {
  const bytes = readFileSync(join(OUT, name));
  const packed = gzipSync(bytes, { level: 9 }).length;
  console.log(
    `${name}: ${bytes.length.toLocaleString("en")} bytes, ${packed.toLocaleString("en")} compressed`,
  );
  return packed;
});
const total = sizes.reduce((sum, each) => sum + each, 0);
if (total > BYTES_MAX) {
  console.error(`script and style have ${total} bytes compressed, more than ${BYTES_MAX}`);
  process.exit(1);
}
