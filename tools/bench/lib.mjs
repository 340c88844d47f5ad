// Shared by the benchmarks. Loopback only.
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const ROUNDS = Number(process.env.ROUNDS ?? 5);
const SECONDS = Number(process.env.SECONDS ?? 2);
const CONNECTIONS = 32;
export const folder = new URL("../../target/bench/", import.meta.url).pathname;
export const root = new URL("../../", import.meta.url).pathname;
export const BARE = 3301;
export const SERVER = 3302;
export const PROXY = 3303;
export const CONTROL = 3304;
/** The server's listener for gateways. */
export const VERIFY = 3305;

mkdirSync(folder, { recursive: true });
const children = new Set();
process.on("exit", () => children.forEach((child) => child.kill("SIGKILL")));
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

export function start(command, args, env = {}) {
  const child = spawn(command, args, { stdio: "ignore", env: { ...process.env, RUST_LOG: "warn", ...env } });
  children.add(child);
  child.on("exit", () => children.delete(child));
  return child;
}

/** Waits until a server responds. */
export async function untilReady(port, path = "/") {
  for (;;) {
    try {
      await fetch(`http://127.0.0.1:${port}${path}`);
      return;
    } catch {
      // A shorter interval would slow down a server that reads a million keys.
      await sleep(25);
    }
  }
}

export async function stop(child) {
  const ended = new Promise((resolve) => child.on("exit", resolve));
  child.kill("SIGTERM");
  await ended;
}

/** The processor time of all threads of some processes, in seconds. */
function cpu(pids) {
  const seconds = (pid) => {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
    return (Number(fields[11]) + Number(fields[12])) / 100;
  };
  return pids.map(seconds).reduce((sum, each) => sum + each, 0);
}

/** The resident memory of a process, in bytes. */
export const memory = (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]) * 1024;

/** Runs one load. Returns the requests per second, the 99th percentile in milliseconds, and the processor time per request in µs. */
export function load(port, path, secrets, pids, status, { seconds = SECONDS, headers = {}, connections = CONNECTIONS, body } = {}) {
  const before = cpu(pids);
  const url = `http://127.0.0.1:${port}`;
  const args = ["-t1", `-c${connections}`, `-d${seconds}s`, "--latency", "-s", `${root}tools/bench/requests.lua`, url, path, secrets, ...Object.entries(headers).flat()];
  const text = execFileSync("wrk", args, { encoding: "utf8", env: { ...process.env, ...(body && { BODY: body }) } });
  const used = cpu(pids) - before;
  const [, amount, unit] = /99%\s+([\d.]+)(us|ms|s)/.exec(text);
  const requests = Number(/(\d+) requests in/.exec(text)[1]);
  const wrong = Number(/Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0);
  if (/Socket errors/.test(text) || wrong !== (status < 300 ? 0 : requests)) throw new Error(`${url}${path}:\n${text}`);
  return {
    rate: Number(/Requests\/sec:\s+([\d.]+)/.exec(text)[1]),
    p99: Number(amount) * { us: 0.001, ms: 1, s: 1000 }[unit],
    cpu: (used / requests) * 1e6,
  };
}

/** The quantile of some numbers; `part` is between 0 and 1. */
const quantile = (numbers, part) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length * part)];
export const median = (numbers) => quantile(numbers, 0.5);

/**
 * Runs base, target and control in turns. Each run of the target and of the control is compared with the two runs of the
 * base around it, so that other work of the machine affects all. The control is a second process of the base: how far it
 * differs from the base is the noise of the comparison.
 */
export function turns(base, target, control) {
  const all = control ? { target, control } : { target };
  // Warms up all.
  base();
  Object.values(all).forEach((run) => run());
  const rounds = [];
  let before = base();
  for (let round = 0; round < ROUNDS; round += 1) {
    const measured = Object.fromEntries(Object.entries(all).map(([name, run]) => [name, run()]));
    const after = base();
    const mean = (metric) => (before[metric] + after[metric]) / 2;
    rounds.push({ ...measured, base: { rate: mean("rate"), cpu: mean("cpu"), p99: mean("p99") } });
    before = after;
  }
  return rounds;
}

/** The medians of the target, of the base, and of the ratio of target to base in each round; and the noise of the ratio. */
export function compare(rounds) {
  const of = (metric) => {
    const ratios = (name) => rounds.filter((round) => round[name]).map((round) => round[name][metric] / round.base[metric]);
    const text = (values) => `${median(values).toFixed(3)} (${quantile(values, 0.25).toFixed(2)}–${quantile(values, 0.75).toFixed(2)})`;
    const [target, control] = [ratios("target"), ratios("control")];
    return {
      target: median(rounds.map((round) => round.target[metric])),
      base: median(rounds.map((round) => round.base[metric])),
      ratio: median(target),
      /** The median ratio and the interquartile range; that of the control follows. */
      text: text(target) + (control.length > 0 ? `, control ${text(control)}` : ""),
      /** How far a quartile of the control is from 1. */
      noise: control.length > 0 ? Math.max(...[0.25, 0.75].map((part) => Math.abs(quantile(control, part) - 1))) : 0,
    };
  };
  return { rate: of("rate"), cpu: of("cpu"), p99: of("p99") };
}

const rows = [];
/** Prints one row of the report. */
export function report(what, figure, goal, isMet) {
  rows.push([what, figure, goal, isMet ? "met" : "NOT MET"]);
  console.log(`${what.padEnd(72)}${figure.padStart(52)}   ${goal.padEnd(12)}${isMet ? "met" : "NOT MET"}`);
}

/** Creates a database with some keys, unless it exists, and files with their secrets and with unknown secrets. */
export function fill(keys) {
  const database = `${folder}${keys}.db`;
  const [secrets, unknown] = [`${folder}${keys}.secrets`, `${folder}${keys}.unknown`];
  if (!existsSync(unknown)) {
    ["", "-wal", "-shm"].forEach((end) => rmSync(`${database}${end}`, { force: true }));
    console.log(`creating a database with ${keys} keys`);
    execFileSync(`${root}target/release/examples/fill`, [`sqlite:${database}`, `${keys}`, secrets, unknown]);
  }
  return { database, secrets, unknown };
}

export const finish = () => process.exit(rows.every((row) => row[3] === "met") ? 0 : 1);
