import { createReadStream, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { DATA, LOG, PASSWORD, SECRET } from "./support";

const never = [
  ["a secret", SECRET],
  // In basic authentication it comes after 33 bytes, the Key ID and a colon, so that its own begin anew (RFC 4648).
  ["a pair", /bW1fdG9r[A-Za-z0-9+/]{20}/],
  ["the password", new RegExp(PASSWORD.split(" ").join("(?: |\\+|%20)"))],
  ["another password", /velvet.{1,3}anchor/],
  ["a session", /__Host-session=[A-Za-z0-9_-]{10,}/],
] as const;

/** Looks through all files of a folder for what must never be in one; how many files, and bytes. */
export async function look(folder: string): Promise<[number, number]> {
  let bytes = 0;
  const files = readdirSync(folder, { withFileTypes: true }).filter((file) => file.isFile());
  for (const { name: file } of files) {
    let kept = "";
    for await (const part of createReadStream(join(folder, file), "latin1")) {
      const text = kept + part;
      bytes += part.length;
      for (const [what, pattern] of never) {
        const found = pattern.exec(text);
        if (found) throw new Error(`${what} is in ${file}: …${text.slice(Math.max(0, found.index - 300), found.index)}…`);
      }
      // What is cut in two by the end of a piece is found in the next.
      kept = text.slice(-200);
    }
  }
  return [files.length, bytes];
}

/**
 * After all tests: no secret, no password and no session was ever logged, at the finest level, or written to the
 * database.
 */
export default async function canary(): Promise<void> {
  const folder = join(__dirname, "..", DATA);
  if (!readdirSync(folder).includes(basename(LOG))) throw new Error("there is no log");
  const [files, bytes] = await look(folder);
  console.log(`canary: nothing private in ${files} files with ${(bytes / 1e6).toFixed(1)} MB`);
}
