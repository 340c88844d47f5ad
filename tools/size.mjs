// Bytes that a first visit to the page transfers, raw and with brotli, and the budget.
import { readFileSync } from "node:fs";
import { brotliCompressSync, constants } from "node:zlib";

const BUDGET = 59 * 1000;
const folder = new URL("../target/site/pkg/", import.meta.url);

let total = { raw: 0, brotli: 0 };
const row = (name, raw, brotli) =>
  console.log(`${name.padEnd(16)}${String(raw).padStart(10)}${String(brotli).padStart(10)}`);
row("bytes", "raw", "brotli");
for (const kind of ["wasm", "js", "css"]) {
  const name = `mecha-console.${kind}`;
  const bytes = readFileSync(new URL(name, folder));
  const served = readFileSync(new URL(`${name}.br`, folder)).length;
  const smallest = brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }).length;
  if (served > smallest * 1.02) throw new Error(`${name}.br is not compressed at the highest quality: ${served} bytes instead of ${smallest}`);
  row(kind, bytes.length, served);
  total = { raw: total.raw + bytes.length, brotli: total.brotli + served };
}
row("total", total.raw, total.brotli);
row("budget", "", BUDGET);
if (total.brotli > BUDGET) {
  console.error("The page exceeds its budget.");
  process.exit(1);
}
