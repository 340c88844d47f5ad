// The cost of one and of several nodes on PostgreSQL, compared with a bare axum server. `make bench` runs it with
// tools/postgres.sh.
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { Agent } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import * as http from "../http.mjs";
import { BARE, compare, fill, finish, folder, load, median, memory, report, root, start, stop, turns, untilReady } from "./lib.mjs";

const { POSTGRES, PGBIN } = process.env;
const KEYS = 1_000_000;
const REVOCATIONS = 500;
const PORTS = [3311, 3312, 3313];
const server = `${root}target/release/mecha-console`;
const url = `${POSTGRES}/bench`;
const agent = new Agent({ keepAlive: true });

async function post(port, path, fields, cookie) {
  const response = await http.post(port, path, fields, { cookie, agent });
  if (response?.status !== 200) throw new Error(`${path}: ${response?.status} ${response?.body}`);
  return response;
}

const flags = ["--denials-per-minute", "0", "--changes-per-minute", "0", "--sign-ups", "open", "--database-url", url];
const node = (port) => start(server, ["--listen", `127.0.0.1:${port}`, ...flags]);
async function startNode(port) {
  const startedAt = performance.now();
  const child = node(port);
  await untilReady(port, "/healthz");
  return { child, seconds: (performance.now() - startedAt) / 1000 };
}

const { database, secrets, unknown } = fill(KEYS);
execFileSync(`${PGBIN}/psql`, ["-XAtq", `${POSTGRES}/postgres`, "-c", "CREATE DATABASE bench"]);
const empty = await startNode(PORTS[0]);
const memoryOfEmpty = memory(empty.child.pid);
await stop(empty.child);
{
  const startedAt = performance.now();
  execFileSync(server, ["copy", "--from", `sqlite:${database}`, "--to", url], { env: { ...process.env, RUST_LOG: "warn" } });
  console.log(`mecha-console copy: ${KEYS.toLocaleString("en")} keys from SQLite in ${((performance.now() - startedAt) / 1000).toFixed(0)} s`);
  execFileSync(`${PGBIN}/psql`, ["-XAtq", url, "-c", "VACUUM ANALYZE"]);
}
const one = await startNode(PORTS[0]);
const bytesPerKey = (memory(one.child.pid) - memoryOfEmpty) / KEYS;
report("PostgreSQL, 1,000,000 keys: memory per key", `${bytesPerKey.toFixed(1)} bytes`, "≤ 100", bytesPerKey <= 100);
report("PostgreSQL, 1,000,000 keys: start-up, until the first response", `${one.seconds.toFixed(2)} s`, "< 2.5 s", one.seconds < 2.5);

const bare = start(`${root}target/release/examples/bare`, [`127.0.0.1:${BARE}`, `${folder}page.html`]);
await untilReady(BARE);
for (const [kind, path, file, status] of [["hits", "/hit", secrets, 204], ["misses", "/miss", unknown, 401]]) {
  const { rate, cpu } = compare(turns(
    () => load(BARE, path, file, [bare.pid], status),
    () => load(PORTS[0], "/verify", file, [one.child.pid], status),
  ));
  console.log(`\nPostgreSQL, ${kind}: requests/s ${rate.target.toFixed(0)} : ${rate.base.toFixed(0)}, CPU µs ${cpu.target.toFixed(2)} : ${cpu.base.toFixed(2)}`);
  report(`PostgreSQL, 1,000,000 keys, with a lease, ${kind}: relative to bare axum`, rate.text, "≥ 0.85", rate.ratio >= 0.85);
}

const owner = await post(PORTS[0], "/rpc/account/sign-up", { email: "ada@example.com", password: "plum orchard tuesday lantern" });
const cookie = http.cookieOf(owner);
const ids = [];
for (const name of ["CI/CD Pipeline", "Mobile app backend", "Nightly report"]) {
  ids.push(JSON.parse((await post(PORTS[0], "/rpc/keys/create", { name, expire_in: "90" }, cookie)).body).new.id);
}
{
  const page = "/settings/api-keys";
  const headers = { Cookie: cookie };
  writeFileSync(`${folder}page.html`, (await http.request(PORTS[0], page, { headers, agent })).body);
  const { rate, cpu } = compare(turns(
    () => load(BARE, "/page", secrets, [bare.pid], 200, { headers }),
    () => load(PORTS[0], page, secrets, [one.child.pid], 200, { headers }),
  ));
  console.log(`\nthe page: requests/s ${rate.target.toFixed(0)} : ${rate.base.toFixed(0)}, CPU µs ${cpu.target.toFixed(0)} : ${cpu.base.toFixed(0)}`);
  report("PostgreSQL: the page with three keys, relative to bare axum with its bytes", rate.text, "≥ 0.25", rate.ratio >= 0.25);
}

const others = [await startNode(PORTS[1]), await startNode(PORTS[2])];
{
  const durations = [];
  for (let n = 0; n < REVOCATIONS; n += 1) {
    const id = ids[n % ids.length];
    const startedAt = performance.now();
    await post(PORTS[n % 3], "/rpc/keys/set-active", { key_id: id, active: "false" }, cookie);
    durations.push(performance.now() - startedAt);
    await post(PORTS[n % 3], "/rpc/keys/set-active", { key_id: id, active: "true" }, cookie);
  }
  durations.sort((a, b) => a - b);
  const [p50, p99] = [median(durations), durations[Math.floor(durations.length * 0.99)]];
  report(`PostgreSQL: a revocation until one of 3 nodes acknowledges it, p50`, `${p50.toFixed(1)} ms`, "< 10 ms", p50 < 10);
  console.log(`p99 ${p99.toFixed(1)} ms, maximum ${durations.at(-1).toFixed(1)} ms, of ${REVOCATIONS}`);
}
{
  // As many concurrent changes as the nodes accept, each of a separate account.
  const owners = [];
  for (let n = 0; n < 12; n += 1) {
    const signedUp = await post(PORTS[n % 3], "/rpc/account/sign-up", { email: `owner${n}@example.com`, password: "plum orchard tuesday lantern" });
    const own = http.cookieOf(signedUp);
    const { id } = JSON.parse((await post(PORTS[n % 3], "/rpc/keys/create", { name: "Busy", expire_in: "7" }, own)).body).new;
    owners.push({ port: PORTS[n % 3], cookie: own, id });
  }
  const endsAt = performance.now() + 10_000;
  let changes = 0;
  await Promise.all(
    owners.map(async ({ port, cookie: own, id }) => {
      for (let n = 0; performance.now() < endsAt; n += 1, changes += 1) {
        await post(port, "/rpc/keys/set-active", { key_id: id, active: `${n % 2 === 1}` }, own);
      }
    }),
  );
  console.log(`\n12 concurrent owners on 3 nodes: ${(changes / 10).toFixed(0)} changes/s, each applied by all nodes before it is acknowledged`);
}
{
  const sql = (text) => execFileSync(`${PGBIN}/psql`, ["-XAtq", url, "-c", text], { encoding: "utf8" }).trim();
  const counters = () => sql("SELECT pg_stat_clear_snapshot(); SELECT xact_commit, pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') FROM pg_stat_database WHERE datname = 'bench'").split("\n").at(-1).split("|").map(Number);
  const seconds = 20;
  // PostgreSQL counts earlier work with a delay.
  await sleep(seconds * 1000);
  const before = counters();
  await sleep(seconds * 1000);
  const [commits, bytes] = counters().map((count, index) => (count - before[index]) / seconds / 3);
  const connections = Number(sql("SELECT count(*) FROM pg_stat_activity WHERE datname = 'bench' AND pid <> pg_backend_pid()")) / 3;
  console.log(`PostgreSQL, load of an idle node: ${commits.toFixed(1)} transactions/s and ${(bytes / 1024).toFixed(1)} KiB of WAL per second, ${connections.toFixed(0)} connections`);
}
await Promise.all([one, ...others].map(({ child }) => stop(child)));
await stop(bare);
finish();
