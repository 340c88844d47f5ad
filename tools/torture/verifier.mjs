// Verifies one secret repeatedly until SIGTERM, then writes the duration of each verification in milliseconds, as JSON. It
// is a separate process, so that the load of the harness does not distort the durations.
//
//     node verifier.mjs PORT SECRET LOCAL_ADDRESS
import http from "node:http";
import { request } from "../http.mjs";
import { sleep } from "./lib.mjs";

const [port, secret, localAddress] = process.argv.slice(2);
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const durations = [];
let isStopped = false;
process.removeAllListeners("SIGTERM");
process.on("SIGTERM", () => (isStopped = true));
while (!isStopped) {
  const startedAt = performance.now();
  const response = await request(port, "/verify", { headers: { "X-Api-Key": secret }, agent, localAddress });
  if (response?.status !== 204) throw new Error(`/verify returned ${response?.status}`);
  durations.push(performance.now() - startedAt);
  await sleep(1);
}
agent.destroy();
// No process.exit: the process ends once the output is written.
process.stdout.write(JSON.stringify(durations));
