// better-auth with its API-key plugin on Node, on PostgreSQL: creates keys, writes them to a file, and verifies them.
//
//     node better-auth.mjs PORT DATABASE_URL KEYS SECRETS_FILE
import { apiKey } from "@better-auth/api-key";
import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import { writeFileSync } from "node:fs";
import http from "node:http";
import pg from "pg";

const [port, url, keys, file] = process.argv.slice(2);
const options = {
  database: new pg.Pool({ connectionString: url }),
  secret: "for a benchmark on loopback, and nothing else",
  baseURL: `http://127.0.0.1:${port}`,
  emailAndPassword: { enabled: true },
  telemetry: { enabled: false },
  // By default, a key may send ten requests a day.
  plugins: [apiKey({ rateLimit: { enabled: false } })],
};
const auth = betterAuth(options);
await (await getMigrations(options)).runMigrations();
const { user } = await auth.api.signUpEmail({ body: { name: "Ada", email: "ada@example.com", password: "plum orchard tuesday lantern" } });
const secrets = [];
for (let n = 0; n < Number(keys); n += 1) {
  secrets.push((await auth.api.createApiKey({ body: { name: `Service ${n}`, userId: user.id } })).key);
}
writeFileSync(file, secrets.join("\n"));

http
  .createServer(async (request, response) => {
    const key = request.headers.authorization?.replace(/^Bearer /, "");
    const { valid } = key ? await auth.api.verifyApiKey({ body: { key } }) : { valid: false };
    response.writeHead(valid ? 204 : 401, { "Cache-Control": "no-store" }).end();
  })
  .listen(Number(port), "127.0.0.1");
