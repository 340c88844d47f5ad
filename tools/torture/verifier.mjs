// Verifies one secret again and again, in a process of its own, so that nothing of the attack slows it down here; says
// on SIGTERM how long each took, in milliseconds.  node verifier.mjs PORT SECRET LOCAL_ADDRESS
import http from "node:http";
import { request } from "../http.mjs";
import { sleep } from "./lib.mjs";

const [port, secret, localAddress] = process.argv.slice(2);
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const took = [];
let isOver = false;
process.removeAllListeners("SIGTERM");
process.on("SIGTERM", () => (isOver = true));
while (!isOver) {
  const began = performance.now();
  const answer = await request(port, "/verify", { headers: { "X-Api-Key": secret }, agent, localAddress });
  if (answer?.status !== 204) throw new Error(`/verify answered ${answer?.status}`);
  took.push(performance.now() - began);
  await sleep(1);
}
agent.destroy();
// It ends by itself once all of it is written.
process.stdout.write(JSON.stringify(took));
