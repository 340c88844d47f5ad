// Three nodes on one PostgreSQL: whoever asks any of them after a revocation was answered by any of them is refused,
// whatever happens to the nodes, to the database and to what lies between. Run it with tools/postgres.sh.
import { execFile, execFileSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import net from "node:net";
import { promisify } from "node:util";
import { Load, Server, finish, quantile, report, sleep } from "./lib.mjs";

const TRIALS = Number(process.env.TRIALS ?? 10_000);
const KILLS = Number(process.env.KILLS ?? 50);
const { POSTGRES, PGBIN, PGDATA } = process.env;
if (!POSTGRES) throw new Error("run this with tools/postgres.sh");
const run = promisify(execFile);
const [, host, port] = /@(.*):(\d+)$/.exec(POSTGRES);
const sql = (text) => execFileSync(`${PGBIN}/psql`, ["-XAtq", `${POSTGRES}/cluster`, "-c", text], { encoding: "utf8" }).trim();
const random = (least, most) => least + Math.random() * (most - least);

/** What lies between a node and the database. */
class Wire {
  delay = 0;
  isDeaf = false;
  constructor(own) {
    this.sockets = new Set();
    this.server = net.createServer((near) => this.join(near)).listen(own, "127.0.0.1");
    this.own = own;
  }

  join(near) {
    const far = net.connect(port, host);
    const both = { near, far, isListener: false };
    this.sockets.add(both);
    const carry = (from, to, isBack) => {
      from.on("data", (data) => {
        if (!isBack && data.includes("LISTEN ")) {
          both.isListener = true;
          if (this.isDeaf) return near.destroy();
        }
        if (this.delay > 0) setTimeout(() => to.write(data), this.delay);
        else to.write(data);
      });
      for (const event of ["close", "error"]) {
        from.on(event, () => {
          to.destroy();
          this.sockets.delete(both);
        });
      }
    };
    for (const socket of [near, far]) socket.setNoDelay(true);
    carry(near, far, false);
    carry(far, near, true);
  }

  /** Nothing is told to the node any more. */
  cutListener() {
    this.isDeaf = true;
    for (const { near, isListener } of this.sockets) if (isListener) near.destroy();
  }
}

execFileSync(`${PGBIN}/psql`, ["-XAtq", `${POSTGRES}/postgres`, "-c", "CREATE DATABASE cluster"]);
const wires = [3440, 3441, 3442].map((own) => new Wire(own));
await Promise.all(wires.map(({ server }) => once(server, "listening")));
const nodes = wires.map(
  ({ own }, n) => new Server(3430 + n, `postgres://mecha@127.0.0.1:${own}/cluster`, { flags: ["--sign-ups", "open", "--trusted-proxies", "127.0.0.1/32"] }),
);
for (const node of nodes) if (!(await node.start())) throw new Error("a node did not start");

let owners = 0;
/** A new account, from a network of its own; `null` if there is no answer. */
async function owner(node) {
  owners += 1;
  const from = { "X-Forwarded-For": `10.${(owners >> 16) & 255}.${(owners >> 8) & 255}.${owners & 255}` };
  try {
    return await node.signUp(`owner${owners}@example.com`, from);
  } catch {
    return null;
  }
}

/** Each key is verified on all nodes while its right is taken from it on one. */
class History {
  verifications = 0;
  admitted = 0;
  unanswered = 0;
  trials = 0;
  stale = [];
  took = [];

  async race(node, trial) {
    for (;;) {
      const began = performance.now();
      const status = await node.verify(trial.secret);
      this.verifications += 1;
      if (status === 204) {
        this.admitted += 1;
        trial.isAdmitted = true;
        if (trial.answeredAt !== undefined && began > trial.answeredAt) {
          this.stale.push(`${node.port}: began ${(began - trial.answeredAt).toFixed(1)} ms after ${trial.path} was answered by ${trial.by}`);
        }
      } else if (status !== 401 && status !== 503 && status !== undefined) {
        throw new Error(`/verify answered ${status}`);
      } else if (status !== 401) await sleep(20);
      // Where an answer takes long, the processor is left to those who work at it.
      if (performance.now() - trial.began > 30) await sleep(10);
      if (trial.isOver || (trial.answeredAt !== undefined && began > trial.answeredAt)) return;
    }
  }

  /** Each lane makes a key, races its revocation, and cleans up. */
  async lane(isOver, choose) {
    let cookie = null;
    for (let n = 0; !isOver(this); n += 1) {
      const [maker, taker] = [choose(), choose()];
      cookie ??= await owner(maker);
      if (!cookie) {
        await sleep(50);
        continue;
      }
      const made = await maker.post("/rpc/keys/create", { name: "Raced", expire_in: "7" }, { cookie });
      if (made?.status !== 200) {
        cookie = null;
        continue;
      }
      const { id, secret } = JSON.parse(made.body).new;
      const trial = { secret, by: taker.port, began: performance.now() };
      const racers = nodes.map((node) => this.race(node, trial));
      await sleep(random(0, 10));
      if (n % 4 === 3) {
        const rotated = await taker.post("/rpc/keys/rotate", { key_id: id, grace: "24h" }, { cookie });
        trial.isUnknown = rotated?.status !== 200;
      }
      const [path, fields] = [
        ["delete", { confirm_name: "Raced" }],
        ["set-active", { active: "false" }],
        ["rotate", { grace: "0" }],
        ["retire", {}],
      ][n % 4];
      trial.path = path;
      const [began, stops] = [performance.now(), taker.stops];
      const answer = await taker.post(`/rpc/keys/${path}`, { key_id: id, ...fields }, { cookie });
      if (answer?.status === 200 && !trial.isUnknown) {
        trial.answeredAt = performance.now();
        // What a node does not answer because it is stopped says nothing of the others.
        if (taker.stops === stops && !taker.isStopped) this.took.push(trial.answeredAt - began);
        this.trials += 1;
      } else {
        // Whether it was done is not known; nothing was promised.
        trial.isOver = true;
        this.unanswered += 1;
        cookie = null;
      }
      await Promise.all(racers);
      if (n % 4 === 0 || !cookie) continue;
      const gone = await maker.post("/rpc/keys/delete", { key_id: id, confirm_name: "Raced" }, { cookie });
      if (gone?.status !== 200) cookie = null;
    }
  }
}

const any = () => nodes[Math.floor(Math.random() * 3)];

async function trials(what, count, lanes, { fault = () => sleep(50), choose = any } = {}) {
  if (!new RegExp(process.env.ONLY ?? "").test(what)) return;
  const history = new History();
  const isOver = () => history.trials >= count;
  const began = performance.now();
  const running = Array.from({ length: lanes }, () => history.lane(isOver, choose));
  let isDone = false;
  const faults = (async () => {
    while (!isDone) await fault();
  })();
  await Promise.all(running);
  isDone = true;
  await faults;
  const [p50, p99, most] = [0.5, 0.99, 1].map((part) => quantile(history.took, part).toFixed(1));
  report(
    `${history.trials} trials: ${what}`,
    `${history.stale.length} stale of ${history.verifications} verifications (${history.admitted} let in); answered by nodes that ran after ${p50} ms p50, ${p99} p99, ${most} most; ` +
      `${history.unanswered} without an answer; ${((performance.now() - began) / 1000).toFixed(0)} s`,
    history.stale.length === 0 && history.admitted > count,
  );
  history.stale.slice(0, 5).forEach((line) => console.log(`       ${line}`));
}

const postmaster = () => Number(readFileSync(`${PGDATA}/postmaster.pid`, "utf8").split("\n")[0]);
const asPostgres = process.getuid() === 0 ? ["runuser", "-u", "postgres", "--"] : [];
function control(...words) {
  const [command, ...args] = [...asPostgres, `${PGBIN}/pg_ctl`, "-D", PGDATA, "-l", `${PGDATA}/../log`, "-w", "-s", ...words];
  return run(command, args, { cwd: "/" });
}
async function startDatabase() {
  for (;;) {
    try {
      return await control("start");
    } catch {
      // What the last one has left behind ends by itself.
      await sleep(50);
    }
  }
}
async function killDatabase() {
  process.kill(postmaster(), "SIGKILL");
  await startDatabase();
}

await trials("revocations on any node, verified on all", TRIALS, 3);

wires[1].cutListener();
await trials("one node is told of no change", TRIALS, 16);
wires[1].isDeaf = false;
await sleep(1_000);

await trials("nodes are stopped past their lease, and go on", TRIALS, 64, {
  fault: async () => {
    const node = any();
    node.stops = (node.stops ?? 0) + 1;
    node.isStopped = true;
    process.kill(node.pid, "SIGSTOP");
    await sleep(random(1_600, 2_500));
    process.kill(node.pid, "SIGCONT");
    node.isStopped = false;
    await sleep(random(100, 600));
  },
});

wires[2].delay = 200;
// A change on that node is a dozen round trips, eight changes at once: it makes one in ten.
const seldomSlow = () => (Math.random() < 0.1 ? nodes[2] : nodes[Math.floor(Math.random() * 2)]);
await trials("200 ms each way between one node and the database", TRIALS, 32, { choose: seldomSlow });
wires[2].delay = 0;
await sleep(2_000);

await trials("the database is restarted", TRIALS, 16, {
  fault: async () => {
    await sleep(random(1_000, 2_500));
    await control("-m", "immediate", "restart");
  },
});

{
  const loads = [];
  for (const node of nodes) {
    while (!(node.cookie = await owner(node))) await sleep(50);
    loads.push(new Load(node));
  }
  let slowest = 0;
  let left = 0;
  for (let round = 0; round < KILLS; round += 1) {
    const running = loads.map((load) => load.run());
    await sleep(random(50, 400));
    await killDatabase();
    const up = performance.now();
    loads.forEach((load) => (load.isStopped = true));
    await Promise.all(running);
    for (const node of nodes) while ((await node.request("/readyz"))?.status !== 200) await sleep(5);
    for (const load of loads) {
      // What one node has acknowledged is so on all.
      for (const node of nodes) await checked(load, node, round);
    }
    slowest = Math.max(slowest, performance.now() - up);
    left += Number(sql("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' AND state_change < now() - interval '4 seconds'"));
  }
  const acknowledged = loads.reduce((sum, load) => sum + load.acknowledged, 0);
  report(`the database is killed ${KILLS} times under load`, `${acknowledged} changes acknowledged, none lost or undone; all nodes served again after ${(slowest / 1000).toFixed(2)} s at most, checks included`, acknowledged > KILLS && slowest < 5_000);
  report("sessions left idle in a transaction", String(left), left === 0);
}

/** As `Load.check`, on another node and once it does not answer 503 any more. */
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
  // Somebody holds an account for longer than a change waits: the pool of writers is used up.
  const [node] = nodes;
  const cookie = await owner(node);
  const made = JSON.parse((await node.post("/rpc/keys/create", { name: "Held", expire_in: "7" }, { cookie })).body).new;
  const held = run(`${PGBIN}/psql`, ["-XAtq", `${POSTGRES}/cluster`, "-c", `BEGIN; SELECT 1 FROM accounts WHERE id = (SELECT account_id FROM api_keys WHERE id = '${made.id}') FOR UPDATE; SELECT pg_sleep(7); COMMIT;`]);
  await sleep(300);
  const changes = Promise.all(Array.from({ length: 40 }, () => node.post("/rpc/keys/set-active", { key_id: made.id, active: "false" }, { cookie })));
  const meanwhile = [];
  for (let n = 0; n < 20; n += 1) {
    meanwhile.push(await node.verify(made.secret), (await node.request("/settings/api-keys", { headers: { Cookie: cookie } }))?.status);
    await sleep(100);
  }
  const answers = (await changes).map((answer) => answer?.status);
  await held;
  const after = await node.post("/rpc/keys/set-active", { key_id: made.id, active: "false" }, { cookie });
  const isRefused = (await node.verify(made.secret)) === 401;
  report(
    "40 changes while somebody else holds their account for 7 s",
    `${answers.filter((status) => status === 503).length} × 503, ${answers.filter((status) => status === 200).length} × 200; meanwhile ${meanwhile.filter((status) => status === 204 || status === 200).length} of 40 verifications and pages; then ${after?.status}`,
    answers.every((status) => status === 503 || status === 200) && meanwhile.every((status) => status === 204 || status === 200) && after?.status === 200 && isRefused,
  );
}

for (const node of nodes) await node.stop("SIGTERM");
report("leases left after all nodes have stopped", sql("SELECT count(*) FROM nodes WHERE lease_until > clock_timestamp()"), sql("SELECT count(*) FROM nodes WHERE lease_until > clock_timestamp()") === "0");
wires.forEach(({ server }) => server.close());
finish();
