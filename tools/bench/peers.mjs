// The same verification by other projects, this console and a bare axum server, in one run: all on one PostgreSQL, with the
// same number of keys, one process tree each. `make bench-peers` runs it with tools/postgres.sh.
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { BARE, folder, load, median, root, start, stop, untilReady } from "./lib.mjs";

const { POSTGRES, PGBIN } = process.env;
const KEYS = 100;
const ROUNDS = 5;
const SECONDS = 3;
const python = `${root}target/peers/bin/`;
const database = (name) => {
  execFileSync(`${PGBIN}/psql`, ["-XAtq", `${POSTGRES}/postgres`, "-c", `CREATE DATABASE ${name}`]);
  return `${POSTGRES}/${name}`;
};

/** The ids of a process and of all its descendants. */
function family(pid) {
  const children = readdirSync(`/proc/${pid}/task`).flatMap((task) => readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").trim().split(" "));
  return [pid, ...children.filter(Boolean).flatMap((child) => family(Number(child)))];
}

const secrets = (name) => `${folder}${name}.secrets`;
for (const name of ["console", "better-auth", "drf"]) rmSync(secrets(name), { force: true });

const candidates = [];
{
  const file = `${folder}peers.db`;
  ["", "-wal", "-shm"].forEach((end) => rmSync(`${file}${end}`, { force: true }));
  execFileSync(`${root}target/release/examples/fill`, [`sqlite:${file}`, `${KEYS}`, secrets("console"), `${folder}peers.unknown`]);
  const url = database("console");
  execFileSync(`${root}target/release/mecha-console`, ["copy", "--from", `sqlite:${file}`, "--to", url], { env: { ...process.env, RUST_LOG: "warn" } });
  const child = start(`${root}target/release/mecha-console`, ["--listen", "127.0.0.1:3321", "--database-url", url]);
  await untilReady(3321, "/healthz");
  candidates.push({ name: "Mecha Console", port: 3321, path: "/verify", file: secrets("console"), child, status: 204 });
}
{
  const args = [`${root}tools/bench/peers/better-auth.mjs`, "3322", database("better_auth"), `${KEYS}`, secrets("better-auth")];
  const child = start(process.execPath, args, { NODE_ENV: "production" });
  await untilReady(3322);
  candidates.push({ name: "better-auth, API-key plugin, Node", port: 3322, path: "/verify", file: secrets("better-auth"), child, status: 204 });
}
{
  const env = { DATABASE: database("drf"), KEYS: `${KEYS}`, SECRETS: secrets("drf"), PYTHONPATH: `${root}tools/bench/peers` };
  execFileSync(`${python}python`, [`${root}tools/bench/peers/drf.py`], { env: { ...process.env, ...env } });
  const child = start(`${python}gunicorn`, ["--workers", "2", "--bind", "127.0.0.1:3323", "drf:application"], env);
  await untilReady(3323, "/verify");
  candidates.push({ name: "djangorestframework-api-key, gunicorn", port: 3323, path: "/verify", file: secrets("drf"), child, status: 204 });
}
const bare = start(`${root}target/release/examples/bare`, [`127.0.0.1:${BARE}`]);
await untilReady(BARE);
candidates.unshift({ name: "bare axum, without a lookup", port: BARE, path: "/hit", file: secrets("console"), child: bare, status: 204 });
for (const { name, file } of candidates) if (!existsSync(file)) throw new Error(`${name} has created no keys`);
await sleep(500);

for (const it of candidates) it.runs = [];
const measure = (it) => load(it.port, it.path, it.file, family(it.child.pid), it.status, { seconds: SECONDS });
candidates.forEach(measure);
for (let round = 0; round < ROUNDS; round += 1) for (const it of candidates) it.runs.push(measure(it));
const medianOf = (it, metric) => median(it.runs.map((run) => run[metric]));
console.log(`\n${KEYS} keys on PostgreSQL, ${ROUNDS} rounds in turns; CPU excludes PostgreSQL`);
console.log(`${"".padEnd(40)}${"requests/s".padStart(12)}${"vs. bare".padStart(10)}${"CPU µs".padStart(10)}${"p99 ms".padStart(10)}`);
for (const it of candidates) {
  const rate = medianOf(it, "rate");
  console.log(`${it.name.padEnd(40)}${rate.toFixed(0).padStart(12)}${(rate / medianOf(candidates[0], "rate")).toFixed(4).padStart(10)}${medianOf(it, "cpu").toFixed(1).padStart(10)}${medianOf(it, "p99").toFixed(1).padStart(10)}`);
}
await Promise.all(candidates.map(({ child }) => stop(child)));
