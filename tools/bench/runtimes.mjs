// Runtimes: connections per second, memory of idle connections, and the time until the last of many is cut off. SQLite.
import { rmSync } from "node:fs";
import { cookieOf, post } from "../http.mjs";
import { connectRuntime } from "../websocket.mjs";
import { SERVER, finish, folder, memory, report, root, start, stop, untilReady } from "./lib.mjs";
import { setTimeout as sleep } from "node:timers/promises";

const COUNT = Number(process.env.RUNTIMES ?? 10_000);
const OF_ONE_ACCOUNT = Math.min(1_000, COUNT);
const PER_MECHA = 16;
const LANES = 64;
const ROUNDS = 3;
const PASSWORD = "plum orchard tuesday lantern";

const database = `${folder}runtimes.db`;
["", "-wal", "-shm"].forEach((end) => rmSync(`${database}${end}`, { force: true }));
const flags = ["--listen", `127.0.0.1:${SERVER}`, "--sign-ups", "open", "--runtimes", `${COUNT + 100}`, "--mechas-per-account", "10000", "--changes-per-minute", "0"];
const server = start(`${root}target/release/mecha-console`, [...flags, "--database-url", `sqlite:${database}`]);
await untilReady(SERVER, "/readyz");

let accounts = 0;
async function owner() {
  accounts += 1;
  return cookieOf(await post(SERVER, "/rpc/account/sign-up", { email: `owner${accounts}@example.com`, password: PASSWORD }));
}

/** Creates Mechas with a key each, for this number of runtimes; returns a secret for each runtime. */
async function secrets(cookie, count) {
  const created = [];
  for (let n = 0; n < Math.ceil(count / PER_MECHA); n += 1) {
    const mecha = await post(SERVER, "/rpc/mechas/create", { mecha_name: `Mecha ${n}`, description: "" }, { cookie });
    const mecha_id = /[0-9a-f]{32}/.exec(mecha.body)[0];
    const key = await post(SERVER, "/rpc/keys/create", { name: "Runtime", expire_in: "7", mecha_id }, { cookie });
    created.push(JSON.parse(key.body).new.secret);
  }
  return Array.from({ length: count }, (_, n) => created[Math.floor(n / PER_MECHA)]);
}

/** Connects a runtime with each secret, in concurrent lanes. */
async function connectAll(all) {
  const connections = [];
  let next = 0;
  const lane = async () => {
    while (next < all.length) {
      const n = next;
      next += 1;
      const connection = await connectRuntime(SERVER, all[n]);
      if (typeof connection === "number") throw new Error(`not connected: ${connection}`);
      const welcome = await connection.hello(`instance ${n}`);
      if (welcome?.type !== "welcome") throw new Error(`no welcome: ${connection.closeCode}`);
      connections.push(connection);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  return connections;
}

const cuts = [];
for (let round = 0; round < ROUNDS; round += 1) {
  const cookie = await owner();
  const connections = await connectAll(await secrets(cookie, OF_ONE_ACCOUNT));
  const response = await post(SERVER, "/rpc/account/delete", { confirm_password: PASSWORD }, { cookie });
  if (response.status !== 200) throw new Error(`not deleted: ${response.status}`);
  const respondedAt = performance.now();
  const codes = await Promise.all(connections.map(({ closed }) => closed));
  if (codes.some((code) => code !== 4401)) throw new Error("a runtime was not closed with 4401");
  cuts.push(Math.max(...connections.map(({ closedAt }) => closedAt)) - respondedAt);
}
const ms = (value) => `${value.toFixed(0)} ms`;
report(`from the response to the last close, ${OF_ONE_ACCOUNT} runtimes of one account`, cuts.map(ms).join(", "), "< 1 s", Math.max(...cuts) < 1_000);

const cookie = await owner();
const all = await secrets(cookie, COUNT);
await sleep(3_000);
const before = memory(server.pid);
const startedAt = performance.now();
const connections = await connectAll(all);
const seconds = (performance.now() - startedAt) / 1_000;
console.log(`connections per second, each committed to the disk: ${(COUNT / seconds).toFixed(0)}`);
// Longer than the interval of pings, so that each connection has sent and received one.
await sleep(20_000);
const perConnection = (memory(server.pid) - before) / COUNT / 1024;
report(`memory of an idle connection, of ${COUNT.toLocaleString("en")}`, `${perConnection.toFixed(1)} KiB`, "≤ 20 KiB", perConnection <= 20);
if (connections.some(({ closeCode }) => closeCode !== undefined)) throw new Error("an idle connection was closed");
connections.forEach((connection) => connection.destroy());
await stop(server);
finish();
