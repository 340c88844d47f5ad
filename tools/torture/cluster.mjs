// Three nodes on one PostgreSQL: after a node has acknowledged a revocation, every node denies the secret, whatever faults the
// nodes, the database and the network have. Run it with tools/postgres.sh.
import { execFile, execFileSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import net from "node:net";
import { promisify } from "node:util";
import { Load, Server, finish, quantile, report, sleep } from "./lib.mjs";
import { RuntimeHistory } from "./runtimes.mjs";

const TRIALS = Number(process.env.TRIALS ?? 10_000);
const KILLS = Number(process.env.KILLS ?? 50);
const { POSTGRES, PGBIN, PGDATA } = process.env;
if (!POSTGRES) throw new Error("run this with tools/postgres.sh");
const run = promisify(execFile);
const [, host, port] = /@(.*):(\d+)$/.exec(POSTGRES);
const sql = (text) => execFileSync(`${PGBIN}/psql`, ["-XAtq", `${POSTGRES}/cluster`, "-c", text], { encoding: "utf8" }).trim();
const random = (least, most) => least + Math.random() * (most - least);

/** A TCP proxy between a node and the database, which injects faults. */
class FaultProxy {
  delay = 0;
  blocksListen = false;
  constructor(localPort) {
    this.connections = new Set();
    this.server = net.createServer((client) => this.forward(client)).listen(localPort, "127.0.0.1");
    this.localPort = localPort;
  }

  forward(client) {
    const upstream = net.connect(port, host);
    const connection = { client, isListener: false };
    this.connections.add(connection);
    const pipe = (from, to, isResponse) => {
      from.on("data", (data) => {
        if (!isResponse && data.includes("LISTEN ")) {
          connection.isListener = true;
          if (this.blocksListen) return client.destroy();
        }
        if (this.delay > 0) setTimeout(() => to.write(data), this.delay);
        else to.write(data);
      });
      for (const event of ["close", "error"]) {
        from.on(event, () => {
          to.destroy();
          this.connections.delete(connection);
        });
      }
    };
    for (const socket of [client, upstream]) socket.setNoDelay(true);
    pipe(client, upstream, false);
    pipe(upstream, client, true);
  }

  /** Closes the connections that listen for notifications, and prevents new ones. */
  blockListen() {
    this.blocksListen = true;
    for (const { client, isListener } of this.connections) if (isListener) client.destroy();
  }
}

execFileSync(`${PGBIN}/psql`, ["-XAtq", `${POSTGRES}/postgres`, "-c", "CREATE DATABASE cluster"]);
const proxies = [3440, 3441, 3442].map((localPort) => new FaultProxy(localPort));
await Promise.all(proxies.map(({ server }) => once(server, "listening")));
const nodes = proxies.map(
  ({ localPort }, n) => new Server(3430 + n, `postgres://mecha@127.0.0.1:${localPort}/cluster`, { flags: ["--sign-ups", "open", "--scopes", "read", "--trusted-proxies", "127.0.0.1/32", "--mechas-per-account", "10000"] }),
);
for (const node of nodes) if (!(await node.start())) throw new Error("a node did not start");

let owners = 0;
/** Creates an account from a new network and returns its cookie; `null` if there is no response. */
async function owner(node) {
  owners += 1;
  const from = { "X-Forwarded-For": `10.${(owners >> 16) & 255}.${(owners >> 8) & 255}.${owners & 255}` };
  try {
    return await node.signUp(`owner${owners}@example.com`, from);
  } catch {
    return null;
  }
}

/** Verifies each key on all nodes while one node revokes it, and records verifications that were allowed too late. */
class History {
  verifications = 0;
  allowed = 0;
  unacknowledged = 0;
  trials = 0;
  stale = [];
  durations = [];

  async race(node, trial) {
    for (;;) {
      const startedAt = performance.now();
      const status = await node.verify(trial.secret, "?scope=trigger");
      this.verifications += 1;
      if (status === 204) {
        this.allowed += 1;
        if (trial.acknowledgedAt !== undefined && startedAt > trial.acknowledgedAt) {
          this.stale.push(`${node.port}: began ${(startedAt - trial.acknowledgedAt).toFixed(1)} ms after ${trial.by} acknowledged ${trial.path}`);
        }
      } else if (![401, 403, 503, undefined].includes(status)) {
        throw new Error(`/verify returned ${status}`);
      } else if (![401, 403].includes(status)) await sleep(20);
      // If the revocation takes long, leaves the processor to the servers.
      if (performance.now() - trial.startedAt > 30) await sleep(10);
      if (trial.isOver || (trial.acknowledgedAt !== undefined && startedAt > trial.acknowledgedAt)) return;
    }
  }

  /** Repeatedly creates a key, races its revocation, and deletes it. */
  async lane(isOver, choose) {
    let cookie = null;
    for (let n = 0; !isOver(this); n += 1) {
      const [creator, revoker] = [choose(), choose()];
      cookie ??= await owner(creator);
      if (!cookie) {
        await sleep(50);
        continue;
      }
      const created = await creator.post("/rpc/keys/create", { name: "Raced", expire_in: "7" }, { cookie });
      if (created?.status !== 200) {
        cookie = null;
        continue;
      }
      const { id, secret } = JSON.parse(created.body).new;
      const trial = { secret, by: revoker.port, startedAt: performance.now() };
      const racers = nodes.map((node) => this.race(node, trial));
      await sleep(random(0, 10));
      if (n % 5 === 3) {
        const rotated = await revoker.post("/rpc/keys/rotate", { key_id: id, grace: "24h" }, { cookie });
        trial.isUnknown = rotated?.status !== 200;
      }
      const [path, fields] = [
        ["delete", { confirm_name: "Raced" }],
        ["set-active", { active: "false" }],
        ["rotate", { grace: "0" }],
        ["retire", {}],
        ["edit", { name: "Raced", access: "chosen", scopes: "read" }],
      ][n % 5];
      trial.path = path;
      const [startedAt, pauses] = [performance.now(), revoker.pauses];
      const response = await revoker.post(`/rpc/keys/${path}`, { key_id: id, ...fields }, { cookie });
      if (response?.status === 200 && !trial.isUnknown) {
        trial.acknowledgedAt = performance.now();
        // Excludes the durations on a node that was paused meanwhile.
        if (revoker.pauses === pauses && !revoker.isPaused) this.durations.push(trial.acknowledgedAt - startedAt);
        this.trials += 1;
      } else {
        // Without an acknowledgement, the outcome is unknown, and either is correct.
        trial.isOver = true;
        this.unacknowledged += 1;
        cookie = null;
      }
      await Promise.all(racers);
      if (n % 5 === 0 || !cookie) continue;
      const deleted = await creator.post("/rpc/keys/delete", { key_id: id, confirm_name: "Raced" }, { cookie });
      if (deleted?.status !== 200) cookie = null;
    }
  }
}

const any = () => nodes[Math.floor(Math.random() * 3)];

/** Races `count` revocations in some concurrent lanes, while `fault` runs repeatedly. */
async function trials(what, count, lanes, { fault = () => sleep(50), choose = any } = {}) {
  if (!new RegExp(process.env.ONLY ?? "").test(what)) return;
  const history = new History();
  const isOver = () => history.trials >= count;
  const startedAt = performance.now();
  const running = Array.from({ length: lanes }, () => history.lane(isOver, choose));
  let isDone = false;
  const faults = (async () => {
    while (!isDone) await fault();
  })();
  await Promise.all(running);
  isDone = true;
  await faults;
  const [p50, p99, maximum] = [0.5, 0.99, 1].map((part) => quantile(history.durations, part).toFixed(1));
  report(
    `${history.trials} trials: ${what}`,
    `${history.stale.length} stale of ${history.verifications} verifications (${history.allowed} allowed); acknowledged by running nodes after ${p50} ms p50, ${p99} ms p99, ${maximum} ms at most; ` +
      `${history.unacknowledged} without acknowledgement; ${((performance.now() - startedAt) / 1000).toFixed(0)} s`,
    history.stale.length === 0 && history.allowed > count,
  );
  history.stale.slice(0, 5).forEach((line) => console.log(`       ${line}`));
}

const postmaster = () => Number(readFileSync(`${PGDATA}/postmaster.pid`, "utf8").split("\n")[0]);
const asPostgres = process.getuid() === 0 ? ["runuser", "-u", "postgres", "--"] : [];
function control(...options) {
  const [command, ...args] = [...asPostgres, `${PGBIN}/pg_ctl`, "-D", PGDATA, "-l", `${PGDATA}/../log`, "-w", "-s", ...options];
  return run(command, args, { cwd: "/" });
}
async function startDatabase() {
  for (;;) {
    try {
      return await control("start");
    } catch {
      // Processes of the previous server may still run. They exit by themselves.
      await sleep(50);
    }
  }
}
async function killDatabase() {
  process.kill(postmaster(), "SIGKILL");
  await startDatabase();
}

/** Revokes keys of connected runtimes `count` times in some concurrent lanes, while `fault` runs repeatedly. */
async function runtimeTrials(what, count, lanes, fault = () => sleep(50)) {
  if (!new RegExp(process.env.ONLY ?? "").test(what)) return;
  const history = new RuntimeHistory(nodes, owner, sql);
  let isDone = false;
  const faults = (async () => {
    while (!isDone) await fault();
  })();
  const startedAt = performance.now();
  await Promise.all(Array.from({ length: lanes }, () => history.lane(count)));
  isDone = true;
  await faults;
  await history.check();
  const [p50, p99, maximum] = [0.5, 0.99, 1].map((part) => quantile(history.closed, part).toFixed(1));
  report(
    `${history.trials} revocations: ${what}`,
    `${history.late.length} effects after the response, of ${history.effects} checked; ${history.closed.length} sockets closed after ${p50} ms p50, ${p99} ms p99, ${maximum} ms at most; ` +
      `${history.open} sockets left open; ${((performance.now() - startedAt) / 1000).toFixed(0)} s`,
    history.late.length === 0 && history.open === 0 && history.effects > 0,
  );
  history.late.slice(0, 5).forEach((line) => console.log(`       ${line}`));
}

async function pause() {
  const node = any();
  node.pauses = (node.pauses ?? 0) + 1;
  node.isPaused = true;
  process.kill(node.pid, "SIGSTOP");
  await sleep(random(1_600, 2_500));
  process.kill(node.pid, "SIGCONT");
  node.isPaused = false;
  await sleep(random(100, 600));
}

async function restartDatabase() {
  await sleep(random(1_000, 2_500));
  await control("-m", "immediate", "restart");
}

await trials("revocations on any node, verified on all", TRIALS, 3);
const RUNTIME_TRIALS = Math.ceil(TRIALS / 4);
await runtimeTrials("runtimes on all nodes", RUNTIME_TRIALS, 4);

proxies[1].blockListen();
await trials("one node receives no notification", TRIALS, 16);
await runtimeTrials("runtimes, one node receives no notification", RUNTIME_TRIALS, 8);
proxies[1].blocksListen = false;
await sleep(1_000);

await trials("nodes are paused beyond their lease", TRIALS, 64, { fault: pause });
await runtimeTrials("runtimes, nodes are paused beyond their lease", RUNTIME_TRIALS, 32, pause);

proxies[2].delay = 200;
// A change on that node takes a dozen round trips, and at most eight run at once: it receives one change in ten.
const seldomSlow = () => (Math.random() < 0.1 ? nodes[2] : nodes[Math.floor(Math.random() * 2)]);
await trials("200 ms each way between one node and the database", TRIALS, 32, { choose: seldomSlow });
proxies[2].delay = 0;
await sleep(2_000);

await trials("the database is restarted", TRIALS, 16, { fault: restartDatabase });
await runtimeTrials("runtimes, the database is restarted", RUNTIME_TRIALS, 16, restartDatabase);

{
  const loads = [];
  for (const node of nodes) {
    while (!(node.cookie = await owner(node))) await sleep(50);
    loads.push(new Load(node));
  }
  let slowest = 0;
  let idle = 0;
  for (let round = 0; round < KILLS; round += 1) {
    const running = loads.map((load) => load.run());
    await sleep(random(50, 400));
    await killDatabase();
    const restartedAt = performance.now();
    loads.forEach((load) => (load.isStopped = true));
    await Promise.all(running);
    for (const node of nodes) while ((await node.request("/readyz"))?.status !== 200) await sleep(5);
    for (const load of loads) {
      // Every node must have the changes that one node has acknowledged.
      for (const node of nodes) await checked(load, node, round);
    }
    slowest = Math.max(slowest, performance.now() - restartedAt);
    idle += Number(sql("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' AND state_change < now() - interval '4 seconds'"));
  }
  const acknowledged = loads.reduce((sum, load) => sum + load.acknowledged, 0);
  report(`the database is killed ${KILLS} times under load`, `${acknowledged} changes acknowledged, none lost or undone; all nodes ready again after ${(slowest / 1000).toFixed(2)} s at most, checks included`, acknowledged > KILLS && slowest < 5_000);
  report("sessions left idle in a transaction", String(idle), idle === 0);
}

/** `Load.check` on another node. Repeats a verification until it returns 204 or 401. */
async function checked(load, node, round) {
  const other = Object.create(Object.getPrototypeOf(load), Object.getOwnPropertyDescriptors(load));
  other.server = { verify: async (secret) => {
    for (;;) {
      const status = await node.verify(secret);
      if (status === 204 || status === 401) return status;
      await sleep(5);
    }
  } };
  await other.check(round);
  load.keys = other.keys;
}

{
  // Another session locks the account for longer than a change waits, which exhausts the write pool.
  const [node] = nodes;
  const cookie = await owner(node);
  const created = JSON.parse((await node.post("/rpc/keys/create", { name: "Held", expire_in: "7" }, { cookie })).body).new;
  const lock = run(`${PGBIN}/psql`, ["-XAtq", `${POSTGRES}/cluster`, "-c", `BEGIN; SELECT 1 FROM accounts WHERE id = (SELECT account_id FROM api_keys WHERE id = '${created.id}') FOR UPDATE; SELECT pg_sleep(7); COMMIT;`]);
  await sleep(300);
  const changes = Promise.all(Array.from({ length: 40 }, () => node.post("/rpc/keys/set-active", { key_id: created.id, active: "false" }, { cookie })));
  const meanwhile = [];
  for (let n = 0; n < 20; n += 1) {
    meanwhile.push(await node.verify(created.secret), (await node.request("/settings/api-keys", { headers: { Cookie: cookie } }))?.status);
    await sleep(100);
  }
  const statuses = (await changes).map((response) => response?.status);
  await lock;
  const after = await node.post("/rpc/keys/set-active", { key_id: created.id, active: "false" }, { cookie });
  const isDenied = (await node.verify(created.secret)) === 401;
  report(
    "40 changes while another session locks their account for 7 s",
    `${statuses.filter((status) => status === 503).length} × 503, ${statuses.filter((status) => status === 200).length} × 200; meanwhile ${meanwhile.filter((status) => status === 204 || status === 200).length} of 40 verifications and pages; then ${after?.status}`,
    statuses.every((status) => status === 503 || status === 200) && meanwhile.every((status) => status === 204 || status === 200) && after?.status === 200 && isDenied,
  );
}

for (const node of nodes) await node.stop("SIGTERM");
report("leases left after the shutdown of all nodes", sql("SELECT count(*) FROM nodes WHERE lease_until > clock_timestamp()"), sql("SELECT count(*) FROM nodes WHERE lease_until > clock_timestamp()") === "0");
proxies.forEach(({ server }) => server.close());
finish();
