// Durability: no acknowledged change is lost or undone when the server is killed, and changes fail cleanly when the disk
// does.
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { Load, Server, finish, folder, report, sleep, start } from "./lib.mjs";

const KILLS = Number(process.env.KILLS ?? 300);
const INJECTIONS = Number(process.env.INJECTIONS ?? 100);
const TERMS = Number(process.env.TERMS ?? 50);
const work = folder();
const random = (least, most) => least + Math.floor(Math.random() * (most - least));

async function prepared(port, name) {
  const server = new Server(port, `${work}/${name}/console.db`);
  await server.start();
  await server.signUp();
  return server;
}

/** In each round: starts the server, checks all acknowledged changes, runs the load, and ends the server with `end`. */
async function rounds(name, port, count, end) {
  const server = await prepared(port, name);
  const load = new Load(server);
  await server.stop("SIGTERM");
  let done = 0;
  const slowest = { exit: 0 };
  while (done < count) {
    if (!(await server.start())) throw new Error(`${name}: round ${done}: the server did not start again`);
    await load.check(done);
    const running = load.run();
    await end(server, load, done, slowest);
    load.isStopped = true;
    await running;
    await server.child.ended;
    server.checkIntegrity();
    done += 1;
  }
  await server.start();
  await load.check(done);
  await server.stop("SIGTERM");
  return { acknowledged: load.acknowledged, slowest };
}

{
  const { acknowledged } = await rounds("kill", 3410, KILLS, async (server) => {
    await sleep(random(5, 120));
    await server.stop("SIGKILL");
  });
  report(`kill -9 at random moments of a write load, ${KILLS} times`, `${acknowledged} changes acknowledged, none lost or undone`, acknowledged > KILLS);
}

{
  // System calls of SQLite, and those that open the database, in turn. strace kills the server at the n-th call.
  const calls = ["pwrite64", "fdatasync", "pwrite64", "fsync", "pwrite64", "ftruncate", "openat", "fcntl"];
  const server = await prepared(3411, "strace");
  const load = new Load(server);
  await server.stop("SIGTERM");
  let died = 0;
  for (let round = 0; round < INJECTIONS; round += 1) {
    const call = calls[round % calls.length];
    const when = call === "openat" ? random(20, 60) : random(1, 120);
    const inject = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", `trace=${call}`, "-e", `inject=${call}:signal=SIGKILL:when=${when}`];
    if (await server.start(inject)) {
      const running = load.run();
      await Promise.race([server.child.ended, sleep(1_500)]);
      if (server.child.exitCode === null && server.child.signalCode === null) {
        // There were fewer such calls. Kills the server that strace started, by its process id.
        const children = spawnSync("ps", ["-o", "pid=", "--ppid", String(server.child.pid)], { encoding: "utf8" }).stdout;
        for (const pid of children.split(/\s+/).filter(Boolean)) process.kill(Number(pid), "SIGKILL");
      } else died += 1;
      load.isStopped = true;
      await running;
    } else died += 1;
    await server.child.ended;
    server.checkIntegrity();
    if (!(await server.start([]))) throw new Error(`round ${round}: the server did not start again`);
    await load.check(round);
    await server.stop("SIGKILL");
  }
  report(`killed in a system call, ${INJECTIONS} times`, `${died} died in the call; ${load.acknowledged} changes acknowledged, none lost or undone`, died >= INJECTIONS / 2);
}

{
  const { acknowledged, slowest } = await rounds("term", 3412, TERMS, async (server, _, __, slowest) => {
    await sleep(random(20, 150));
    const startedAt = performance.now();
    const { code } = await server.stop("SIGTERM");
    slowest.exit = Math.max(slowest.exit, performance.now() - startedAt);
    if (code !== 0) throw new Error(`exit code ${code}`);
  });
  report(`SIGTERM under load, ${TERMS} times`, `${acknowledged} changes acknowledged, none lost; exited after ${slowest.exit.toFixed(0)} ms at most`, slowest.exit < 10_000);
}

/** During a fault, changes return 503 and are not applied later, and verifications succeed. Afterwards, changes succeed. */
async function fault(name, server, begin, end) {
  const load = new Load(server);
  for (let step = 0; step < 6; step += 1) await load.step();
  const [secret] = [...load.keys].find(([, key]) => key.expected === "allowed");
  await begin();
  // Concurrent: a change can wait for those before it. None may wait longer than a client does.
  const startedAt = performance.now();
  const create = async (_, attempt) => {
    const response = await server.post("/rpc/keys/create", { name: `During ${attempt}`, expire_in: "7" });
    return `${response?.status}${response?.headers["retry-after"] ? "" : " without Retry-After"}`;
  };
  const results = await Promise.all(Array.from({ length: 9 }, create));
  const seconds = (performance.now() - startedAt) / 1000;
  const during = await server.verify(secret);
  await end();
  let after;
  for (let attempt = 0; attempt < 100 && after !== 200; attempt += 1) {
    after = (await server.post("/rpc/keys/create", { name: "After", expire_in: "7" }))?.status;
    if (after !== 200) await sleep(100);
  }
  await load.check(name);
  const page = await server.request("/settings/api-keys", { headers: { Cookie: server.cookie } });
  const late = page.body.match(/During \d/g)?.length ?? 0;
  const isMet = results.every((result) => result === "503") && during === 204 && after === 200 && seconds < 20 && late === 0;
  const statuses = [...new Set(results)].map((result) => `${results.filter((other) => other === result).length} × ${result}`);
  report(name, `changes ${statuses.join(", ")} within ${seconds.toFixed(1)} s, ${late} of them applied later; /verify ${during}; afterwards ${after}`, isMet);
}

{
  const server = await prepared(3413, "locked");
  let holder;
  await fault("another process holds the database's lock", server, async () => {
    holder = spawn("sqlite3", [server.database], { stdio: ["pipe", "pipe", "inherit"] });
    holder.stdin.write("BEGIN EXCLUSIVE;\nSELECT 'held';\n");
    await new Promise((resolve) => holder.stdout.once("data", resolve));
  }, async () => holder.stdin.end("ROLLBACK;\n"));
  await server.stop("SIGTERM");
}

{
  const server = await prepared(3414, "read-only");
  let tracer;
  await fault("the disk becomes read-only", server, async () => {
    tracer = start("strace", ["-f", "-qq", "-o", "/dev/null", "-p", String(server.pid), "-e", "trace=pwrite64,fdatasync,fsync,ftruncate",
      "-e", "inject=pwrite64,fdatasync,fsync,ftruncate:error=EROFS"]);
    const isTraced = () => spawnSync("grep", ["-q", "^TracerPid:\t0$", `/proc/${server.pid}/status`]).status !== 0;
    while (!isTraced()) await sleep(10);
  }, async () => {
    tracer.kill("SIGINT");
    await tracer.ended;
  });
  await server.stop("SIGTERM");
}

{
  const mount = `${work}/small`;
  mkdirSync(mount);
  if (spawnSync("mount", ["-t", "tmpfs", "-o", "size=6m", "tmpfs", mount]).status !== 0) {
    report("the disk is full", "skipped: only root can mount a small file system", false);
  } else {
    try {
      const server = new Server(3415, `${mount}/console.db`);
      await server.start();
      await server.signUp();
      await fault("the disk is full", server, async () => {
        const { bavail, bsize } = statfsSync(mount);
        writeFileSync(`${mount}/filler`, Buffer.alloc(Number(bavail) * Number(bsize)));
      }, async () => rmSync(`${mount}/filler`));
      await server.stop("SIGTERM");
      server.checkIntegrity();
    } finally {
      spawnSync("umount", [mount]);
    }
  }
}
finish();
