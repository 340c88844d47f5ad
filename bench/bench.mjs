// What a verification costs on SQLite, beside a bare axum server that answers alike without asking anything.
// `make bench` runs it.
import { mkdirSync, writeFileSync } from "node:fs";
import { BARE, PROXY, SERVER, answers, compare, fill, finish, folder, load, memory, report, root, start, stop } from "./lib.mjs";

const SIZES = [10, 100_000, 1_000_000];
const options = ["--listen", `127.0.0.1:${SERVER}`, "--refusals-per-minute", "0"];
const bare = start(`${root}target/release/examples/bare`, [`127.0.0.1:${BARE}`]);
await answers(BARE);

const weights = {};
const rates = {};
for (const keys of SIZES) {
  const { database, secrets, unknown } = fill(keys);
  const began = performance.now();
  const server = start(`${root}target/release/server`, [...options, "--database-url", `sqlite:${database}`]);
  await answers(SERVER, "/healthz");
  const seconds = (performance.now() - began) / 1000;
  weights[keys] = memory(server.pid);
  for (const [kind, path, file, status] of [["hits", "/hit", secrets, 204], ["misses", "/miss", unknown, 401]]) {
    const { base, target } = compare(
      () => load(BARE, path, file, [bare.pid], status),
      () => load(SERVER, "/verify", file, [server.pid], status),
    );
    const name = `${keys.toLocaleString("en")} keys, ${kind}`;
    const ratio = (of) => target[of] / base[of];
    const beside = (of, digits) => `${target[of].toFixed(digits)} : ${base[of].toFixed(digits)}`;
    console.log(`\n${name}: requests/s ${beside("rate", 0)}, CPU µs ${beside("cpu", 2)}, p99 ms ${beside("p99", 2)}`);
    report(`${name}: requests a second, of bare axum`, ratio("rate").toFixed(3), "≥ 0.90", ratio("rate") >= 0.9);
    report(`${name}: CPU a request, of bare axum`, ratio("cpu").toFixed(3), "≤ 1.2", ratio("cpu") <= 1.2);
    report(`${name}: p99, of bare axum`, ratio("p99").toFixed(3), "≤ 1.25", ratio("p99") <= 1.25);
    rates[`${kind} ${keys}`] = ratio("rate");
  }
  if (keys === SIZES.at(-1)) {
    const lost = Math.max(...["hits", "misses"].map((kind) => 1 - rates[`${kind} ${keys}`] / rates[`${kind} ${SIZES[0]}`]));
    const weight = (weights[keys] - weights[SIZES[0]]) / (keys - SIZES[0]);
    console.log();
    report("lost from 10 keys to 1,000,000", `${(lost * 100).toFixed(1)} %`, "≤ 10 %", lost <= 0.1);
    report("memory a key (resident, from 10 to 1,000,000)", `${weight.toFixed(1)} bytes`, "≤ 100", weight <= 100);
    report("start-up with 1,000,000 keys, to the first answer", `${seconds.toFixed(2)} s`, "< 2.5 s", seconds < 2.5);
    await gateway(server, secrets);
  }
  await stop(server);
}
await stop(bare);
finish();

/** The same proxy with auth_request and without. */
async function gateway(server, secrets) {
  const prefix = `${folder}nginx/`;
  mkdirSync(prefix, { recursive: true });
  const location = (path, auth) => `location ${path} { ${auth} proxy_pass http://api/; proxy_http_version 1.1; proxy_set_header Connection ""; }`;
  writeFileSync(`${prefix}nginx.conf`, `
    daemon off; worker_processes 1; pid ${prefix}pid; error_log ${prefix}error.log;
    events { worker_connections 1024; }
    http {
      access_log off;
      ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${prefix}${name};`).join(" ")}
      keepalive_requests 1000000;
      upstream console { server 127.0.0.1:${SERVER}; keepalive 64; keepalive_requests 1000000; }
      upstream api { server 127.0.0.1:${BARE}; keepalive 64; keepalive_requests 1000000; }
      server {
        listen 127.0.0.1:${PROXY};
        ${location("/open", "")}
        ${location("/guarded", "auth_request /verify;")}
        location = /verify { internal; proxy_pass http://console/verify; proxy_http_version 1.1; proxy_set_header Connection "";
          proxy_pass_request_body off; proxy_set_header Content-Length ""; }
      }
    }`);
  const nginx = start("nginx", ["-p", prefix, "-c", `${prefix}nginx.conf`]);
  await answers(PROXY);
  const { base, target } = compare(
    () => load(PROXY, "/open", secrets, [server.pid], 200),
    () => load(PROXY, "/guarded", secrets, [server.pid], 200),
  );
  const ratio = target.rate / base.rate;
  console.log(`\nthrough nginx: requests/s ${target.rate.toFixed(0)} : ${base.rate.toFixed(0)}`);
  report("through nginx with auth_request, of the same without", ratio.toFixed(3), "≥ 0.60", ratio >= 0.6);
  await stop(nginx);
}
