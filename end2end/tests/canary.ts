import { createReadStream, readdirSync } from "node:fs";
import { join } from "node:path";
import { DATA, LOG, PASSWORD, SECRET } from "./support";

/**
 * After all tests: no secret, no password and no session was ever logged, at the finest level, or written to the
 * database. A wrong password that a test typed counts too.
 */
export default async function canary(): Promise<void> {
  const never = [
    ["a secret", SECRET],
    // What remains of one in basic authentication: a Key ID, a colon and the prefix.
    ["a pair", /(?:[A-Za-z0-9+/]{4}){11}[A-Za-z0-9+/]{1,3}bW1fdG9r/],
    ["the password", new RegExp(PASSWORD.split(" ").join("(?: |\\+|%20)"))],
    ["another password", /velvet.{1,3}anchor/],
    ["a session", /__Host-session=[A-Za-z0-9_-]{10,}/],
  ] as const;
  const folder = join(__dirname, "..", DATA);
  let bytes = 0;
  for (const file of readdirSync(folder)) {
    let kept = "";
    for await (const part of createReadStream(join(folder, file), "latin1")) {
      const text = kept + part;
      bytes += part.length;
      for (const [what, pattern] of never) {
        const found = pattern.exec(text);
        if (found) throw new Error(`${what} is in ${file}: …${text.slice(Math.max(0, found.index - 300), found.index)}…`);
      }
      kept = text.slice(-200);
    }
  }
  if (!readdirSync(folder).includes(LOG.split("/").pop() ?? "") || bytes === 0) throw new Error("there is no log");
  console.log(`canary: nothing private in ${readdirSync(folder).length} files with ${(bytes / 1e6).toFixed(1)} MB`);
}
