import { createReadStream, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { DATA, LOG, PASSWORD, SECRET } from "./support";

const CONFIDENTIAL = [
  // In the database, the prefix of a secret stands before the id of a Mecha, which is hexadecimal, and that before scopes.
  ["a secret", new RegExp(SECRET.source.replace("mm_tok_", "mm_tok_(?![0-9a-f]{32})"))],
  // In basic authentication the secret follows the Key ID and a colon. These are 33 bytes, a multiple of 3, so the Base64
  // encoding of the secret does not depend on them (RFC 4648).
  ["a pair", /bW1fdG9r[A-Za-z0-9+/]{20}/],
  ["the password", new RegExp(PASSWORD.split(" ").join("(?: |\\+|%20)"))],
  ["another password", /velvet.{1,3}anchor/],
  ["a session", /__Host-session=[A-Za-z0-9_-]{10,}/],
] as const;

/** Scans all files of a folder and throws if one contains a confidential value. Returns the number of files and bytes. */
export async function scan(folder: string): Promise<[number, number]> {
  let bytes = 0;
  const files = readdirSync(folder, { withFileTypes: true }).filter((file) => file.isFile());
  for (const { name: file } of files) {
    let tail = "";
    for await (const chunk of createReadStream(join(folder, file), "latin1")) {
      const text = tail + chunk;
      bytes += chunk.length;
      for (const [what, pattern] of CONFIDENTIAL) {
        const found = pattern.exec(text);
        if (found) throw new Error(`${what} is in ${file}: …${text.slice(Math.max(0, found.index - 300), found.index)}…`);
      }
      // Keeps the end of each chunk, to find a value that spans two chunks.
      tail = text.slice(-200);
    }
  }
  return [files.length, bytes];
}

/**
 * Runs after all tests: checks that no secret, password or session was logged, at the most detailed level, or stored in
 * the database.
 */
export default async function canary(): Promise<void> {
  const folder = join(__dirname, "..", DATA);
  if (!readdirSync(folder).includes(basename(LOG))) throw new Error("there is no log");
  const [files, bytes] = await scan(folder);
  console.log(`canary: nothing private in ${files} files with ${(bytes / 1e6).toFixed(1)} MB`);
}
