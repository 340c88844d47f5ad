// What strangers can do to those who are let in: floods of sign-ins, clocks held to answers, and slow connections.
import { execFileSync, spawn } from "node:child_process";
import { readdirSync, statSync } from "node:fs";
import http2 from "node:http2";
import { availableParallelism } from "node:os";
import { ROOT, Server, PASSWORD, finish, folder, quantile, report, sleep, start } from "./lib.mjs";

const MIB = 1024 * 1024;
const FLOOD = 200;
const PAIRS = Number(process.env.PAIRS ?? 2_000);
const SLOW = Number(process.env.SLOW ?? 75);
/** As many as the server takes by itself. */
const PERMITS = Math.max(1, availableParallelism() - 1);
/** Who verifies, so that its one connection can be told from the slow ones. */
const VERIFIER = "127.0.0.200";
const work = folder();

async function prepared(port, name, flags = []) {
  const server = new Server(port, `${work}/${name}/console.db`, { flags });
  await server.start();
  await server.signUp();
  const answer = await server.post("/rpc/keys/create", { name: "Deploy", expire_in: "7" });
  server.secret = JSON.parse(answer.body).new.secret;
  return server;
}

/** An address of this machine's own network, of which each counts as another network. */
const address = (n) => `127.${1 + (n >> 16)}.${(n >> 8) & 255}.${1 + (n % 254)}`;

/** Somebody who verifies until told to stop; how long each took, in milliseconds. */
function verifying(server) {
  const program = new URL("verifier.mjs", import.meta.url).pathname;
  const child = spawn(process.execPath, [program, server.port, server.secret, VERIFIER], { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  child.stdout.on("data", (part) => (text += part));
  const ended = new Promise((resolve) => child.on("close", resolve));
  return async () => {
    child.kill("SIGTERM");
    if ((await ended) !== 0) throw new Error("somebody who should be let in was not");
    return JSON.parse(text);
  };
}

{
  const server = await prepared(3420, "flood");
  const undisturbed = verifying(server);
  await sleep(5_000);
  const quiet = await undisturbed();
  const before = server.memory;
  let most = before;
  const watching = setInterval(() => (most = Math.max(most, server.memory)), 5);
  const statuses = new Map();
  const attempt = async (n) => {
    const answer = await server.post("/rpc/account/sign-in", { email: `nobody${n}@example.com`, password: "not the password" },
      { cookie: "", localAddress: address(n) });
    const told = answer === null ? "none" : `${answer.status}`;
    statuses.set(told, (statuses.get(told) ?? 0) + 1);
    if ([429, 503].includes(answer?.status) && !(Number(answer.headers["retry-after"]) > 0)) throw new Error("no Retry-After");
  };
  // Waves without a pause, for as long as quiet was measured.
  let waves = 0;
  const disturbed = verifying(server);
  const began = performance.now();
  while (performance.now() - began < 5_000) {
    await Promise.all(Array.from({ length: FLOOD }, (_, n) => attempt(waves * FLOOD + n)));
    waves += 1;
  }
  const busy = await disturbed();
  clearInterval(watching);
  const allowed = PERMITS * 19 * MIB + 64 * MIB;
  report(`a flood of ${FLOOD} concurrent sign-ins: memory grows by at most permits × 19 MiB + 64 MiB`,
    `${((most - before) / MIB).toFixed(1)} MiB of ${(allowed / MIB).toFixed(0)}`, most - before <= allowed);
  const [p99, p99busy] = [quantile(quiet, 0.99), quantile(busy, 0.99)];
  report("  /verify p99 is at most 2 × its quiet value", `${p99busy.toFixed(2)} ms : ${p99.toFixed(2)} ms = ${(p99busy / p99).toFixed(2)}`, p99busy <= 2 * p99);
  const told = [...statuses].map(([status, count]) => `${count} × ${status}`).join(", ");
  report("  everybody is answered: refused, or told when to come again", told, [...statuses.keys()].every((status) => ["401", "429", "503"].includes(status)));
  const own = await server.post("/rpc/account/sign-in", { email: "ada@example.com", password: PASSWORD }, { cookie: "", localAddress: "127.0.0.9" });
  report("  and the owner gets in from elsewhere", `${own?.status}`, own?.status === 200);
  await server.stop("SIGTERM");
}

{
  const server = await prepared(3421, "timing", ["--sign-ups", "open"]);
  // Enough of them that each refusal is written down, as it is up to a hundred times a day.
  const known = [];
  for (let n = 0; n < Math.ceil(PAIRS / 50); n += 1) {
    known.push(`ada${n}@example.com`);
    const answer = await server.post("/rpc/account/sign-up", { email: known[n], password: PASSWORD }, { cookie: "", localAddress: address(40_000 + n) });
    if (answer?.status !== 200) throw new Error(`sign-up answered ${answer?.status}`);
  }
  const took = { known: [], unknown: [] };
  const once = async (kind, n) => {
    const email = kind === "known" ? known[n % known.length] : `nobody${n}@example.com`;
    const began = performance.now();
    const answer = await server.post("/rpc/account/sign-in", { email, password: "not the password" }, { cookie: "", localAddress: address(n) });
    if (answer?.status !== 401) throw new Error(`sign-in answered ${answer?.status}`);
    took[kind].push(performance.now() - began);
  };
  for (let n = 0; n < 50; n += 1) await once(n % 2 ? "known" : "unknown", 30_000 + n);
  took.known = [];
  took.unknown = [];
  for (let pair = 0; pair < PAIRS; pair += 1) {
    // In an order that nothing else follows.
    const order = Math.random() < 0.5 ? ["known", "unknown"] : ["unknown", "known"];
    await once(order[0], 2 * pair);
    await once(order[1], 2 * pair + 1);
  }
  // The slowest of each are other things that the machine did.
  const kept = (numbers) => { const most = quantile(numbers, 0.95); return numbers.filter((number) => number <= most); };
  const moments = (numbers) => {
    const mean = numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
    return { mean, error: numbers.reduce((sum, number) => sum + (number - mean) ** 2, 0) / (numbers.length - 1) / numbers.length };
  };
  const welch = (a, b) => (moments(a).mean - moments(b).mean) / Math.sqrt(moments(a).error + moments(b).error);
  const [all, cropped] = [welch(took.known, took.unknown), welch(kept(took.known), kept(took.unknown))];
  report(`wrong password or unknown address, by time over ${PAIRS} pairs (Welch's |t| < 4.5)`,
    `t = ${all.toFixed(2)}, without the slowest twentieth ${cropped.toFixed(2)}; means ${moments(took.known).mean.toFixed(2)} and ${moments(took.unknown).mean.toFixed(2)} ms`,
    Math.abs(all) < 4.5 && Math.abs(cropped) < 4.5);
  await server.stop("SIGTERM");
}

/** The largest file of the page: a small one fits into the buffers of a socket, and a slow reader is not noticed. */
function largestAsset() {
  const folder = `${ROOT}target/site/pkg`;
  const size = (name) => statSync(`${folder}/${name}`).size;
  return `/pkg/${readdirSync(folder).sort((a, b) => size(b) - size(a))[0]}`;
}

{
  // Whoever has no flow-control window and opens hundreds of streams has the server keep as many responses.
  const server = await prepared(3423, "http-2");
  const [before, idle] = [server.memory, server.connections];
  let memory = before;
  const watch = setInterval(() => (memory = Math.max(memory, server.memory)), 5);
  const began = performance.now();
  const sessions = Array.from({ length: 50 }, () => new Promise((resolve) => {
    const session = http2.connect("http://127.0.0.1:3423", { settings: { initialWindowSize: 0 } });
    session.on("error", () => {});
    session.on("close", resolve);
    for (let stream = 0; stream < 200; stream += 1) session.request({ ":path": largestAsset() }).on("error", () => {});
  }));
  const areClosed = await Promise.race([Promise.all(sessions).then(() => true), sleep(60_000).then(() => false)]);
  const took = (performance.now() - began) / 1000;
  clearInterval(watch);
  report("50 cleartext HTTP/2 connections with 200 streams each and no window: memory stays flat", `${((memory - before) / MIB).toFixed(1)} MiB more at most`, memory - before < 64 * MIB);
  report("  and all are closed within 60 s", `${took.toFixed(1)} s; ${server.connections - idle} left`, areClosed && server.connections <= idle);
  await server.stop("SIGTERM");
}

{
  const ways = [["slow heads", ["-H"]], ["slow bodies", ["-B"]], ["slow readers", ["-X", "-w", "1", "-y", "10", "-n", "5", "-z", "1"]]];
  // Without an origin of its own a form is refused before its body is read; here each says one, in a second line of
  // what is given as a cookie.
  const headers = ["-j", "a=b\r\nOrigin: http://127.0.0.1:3422", "-m", "application/x-www-form-urlencoded"];
  for (const [name, flags] of ways) {
    const server = await prepared(3422, name.replace(" ", "-"));
    const idle = server.connections;
    const before = server.memory;
    const path = { "slow bodies": "/rpc/account/sign-in", "slow readers": largestAsset() }[name] ?? "/sign-in";
    const url = `http://127.0.0.1:3422${path}`;
    const limit = name === "slow readers" ? 60 : 30;
    const attack = start("slowhttptest", ["-c", "1000", ...flags, "-i", "5", "-r", "500", "-t", name === "slow bodies" ? "POST" : "GET",
      "-u", url, "-x", "24", "-p", "3", ...headers, "-l", String(SLOW)]);
    let most = 0;
    let memory = before;
    let longest = 0;
    const since = new Map();
    const watch = setInterval(() => {
      const now = performance.now();
      most = Math.max(most, server.connections - idle);
      memory = Math.max(memory, server.memory);
      // A connection is known by its remote port.
      const ports = new Set(execFileSync("ss", ["-Htn", "state", "established", "sport", "=", ":3422"], { encoding: "utf8" }).split("\n").map((line) => line.trim().split(/\s+/).pop()).filter((peer) => peer && !peer.startsWith(VERIFIER)));
      for (const port of ports) if (!since.has(port)) since.set(port, now);
      for (const port of since.keys()) if (!ports.has(port)) since.delete(port);
      for (const first of since.values()) longest = Math.max(longest, now - first);
    }, 500);
    const served = verifying(server);
    await Promise.race([attack.ended, sleep((SLOW + 40) * 1000)]);
    const took = await served();
    clearInterval(watch);
    attack.kill("SIGTERM");
    const p99 = quantile(took, 0.99);
    report(`1,000 ${name} for ${SLOW} s: others are served`, `${took.length} verifications, p99 ${p99.toFixed(2)} ms; up to ${most} connections`, took.length > 1_000 && p99 < 100);
    report("  memory stays flat", `${((memory - before) / MIB).toFixed(1)} MiB more at most`, memory - before < 64 * MIB);
    report(`  and the slow ones are closed within ${limit} s`, `longest ${(longest / 1000).toFixed(1)} s`, longest < (limit + 1) * 1000);
    await server.stop("SIGTERM");
  }
}
finish();
