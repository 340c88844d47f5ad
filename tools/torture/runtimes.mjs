// Runtimes that send frames on all nodes, while the key or the Mecha of all of them is revoked on one node.
import { connectRuntime } from "../websocket.mjs";
import { sleep } from "./lib.mjs";

/** Interval between the frames of one runtime in milliseconds: the protocol allows 20 per second. */
const FRAME_INTERVAL = 51;
/** Runtimes per node. Together they send a frame every few milliseconds. */
const PER_NODE = 3;
/** How long a socket may stay open after the response, in milliseconds. A node that is paused meanwhile takes longer. */
const CLOSE_LIMIT = 20_000;
/** Trials between reads of the notes that took effect. */
const TRIALS_PER_CHECK = 250;

export class RuntimeHistory {
  trials = 0;
  /** Notes that took effect although they were sent after the response. */
  late = [];
  /** Notes that took effect and were checked. */
  effects = 0;
  /** Times from the response to the end of each socket on running nodes, in milliseconds. */
  closed = [];
  open = 0;
  #unchecked = new Map();

  constructor(nodes, owner, sql) {
    Object.assign(this, { nodes, owner, sql });
  }

  /** Repeatedly creates a Mecha with a key, connects runtimes on all nodes, and revokes the key. */
  async lane(count) {
    const any = () => this.nodes[Math.floor(Math.random() * this.nodes.length)];
    let cookie = null;
    for (let n = 0; this.trials < count; n += 1) {
      const [creator, revoker] = [any(), any()];
      cookie ??= await this.owner(creator);
      if (!cookie) {
        await sleep(50);
        continue;
      }
      const created = await creator.post("/rpc/mechas/create", { mecha_name: `Raced ${n}`, description: "" }, { cookie });
      const mecha = created?.status === 200 ? /[0-9a-f]{32}/.exec(created.body)[0] : undefined;
      const key = mecha && (await creator.post("/rpc/keys/create", { name: "Raced", expire_in: "7", mecha_id: mecha }, { cookie }));
      if (key?.status !== 200) {
        cookie = null;
        continue;
      }
      const { id, secret } = JSON.parse(key.body).new;
      const trial = { mecha, isOver: false, respondedAt: undefined, sent: [] };
      const pauses = this.nodes.map((node) => node.pauses);
      const runtimes = this.nodes.flatMap((node, at) => Array.from({ length: PER_NODE }, (_, n) => this.runtime(node, secret, trial, at * PER_NODE + n)));
      await sleep(60 + Math.random() * 60);
      const [path, fields] = [
        ["keys/set-active", { key_id: id, active: "false" }],
        ["mechas/set-active", { mecha_id: mecha, active: "false" }],
        ["keys/rotate", { key_id: id, grace: "0" }],
        ["keys/delete", { key_id: id, confirm_name: "Raced" }],
        ["mechas/delete", { mecha_id: mecha, confirm_name: `Raced ${n}` }],
      ][n % 5];
      const response = await revoker.post(`/rpc/${path}`, fields, { cookie });
      if (response?.status !== 200) {
        // Without an acknowledgement, the outcome is unknown, and either is correct.
        trial.isOver = true;
        cookie = null;
        await Promise.all(runtimes);
        continue;
      }
      trial.respondedAt = performance.now();
      const closedAt = await Promise.all(runtimes);
      closedAt.forEach((at, runtime) => {
        const node = this.nodes[Math.floor(runtime / PER_NODE)];
        const wasPaused = node.isPaused || node.pauses !== pauses[this.nodes.indexOf(node)];
        if (at === null) this.open += 1;
        else if (at !== undefined && !wasPaused) this.closed.push(Math.max(0, at - trial.respondedAt));
      });
      this.trials += 1;
      this.#unchecked.set(mecha, trial);
      if (this.#unchecked.size >= TRIALS_PER_CHECK) await this.check();
    }
  }

  /** Connects, and sends frames until the socket is closed. Resolves to the time of that; `null` if it stays open. */
  async runtime(node, secret, trial, n) {
    const connection = await connectRuntime(node.port, secret);
    if (typeof connection === "number") return undefined;
    if (!(await connection.hello(`instance ${n}`))) return undefined;
    const sent = (trial.sent[n] = []);
    await sleep((n * FRAME_INTERVAL) / (this.nodes.length * PER_NODE));
    for (;;) {
      const now = performance.now();
      if (connection.closeCode !== undefined) return connection.closedAt;
      if (trial.isOver || now > (trial.respondedAt ?? now) + CLOSE_LIMIT) {
        connection.destroy();
        return trial.isOver ? undefined : null;
      }
      sent.push(now);
      connection.send({ type: "status", state: "busy", note: `${n}.${sent.length - 1}` });
      await Promise.race([sleep(FRAME_INTERVAL), connection.closed]);
    }
  }

  /** Reads the last note of each runtime that took effect, and records those that were sent after the response. */
  async check() {
    const trials = [...this.#unchecked];
    this.#unchecked = new Map();
    // A node stores the last state of a connection as soon as the database responds.
    await sleep(3_000);
    const ids = trials.map(([mecha]) => `'${mecha}'`).join(",");
    const rows = ids ? (await this.#query(`SELECT mecha_id, note FROM runtimes WHERE note <> '' AND mecha_id IN (${ids})`)).split("\n") : [];
    const notes = group(rows);
    for (const [mecha, { sent, respondedAt }] of trials) {
      for (const row of notes.get(mecha) ?? []) {
        const [n, frame] = row.slice(33).split(".").map(Number);
        this.effects += 1;
        const after = sent[n][frame] - respondedAt;
        if (after > 0) this.late.push(`frame ${row} was sent ${after.toFixed(1)} ms after the response`);
      }
    }
  }

  /** Repeats a query until the database responds. */
  async #query(text) {
    for (;;) {
      try {
        return this.sql(text);
      } catch {
        await sleep(100);
      }
    }
  }
}

/** The rows by the id that they begin with. */
function group(rows) {
  const groups = new Map();
  for (const row of rows) groups.set(row.slice(0, 32), [...(groups.get(row.slice(0, 32)) ?? []), row]);
  return groups;
}
