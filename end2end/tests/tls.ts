import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Creates a certificate authority in `folder`; returns a certificate for `host` that it has signed, valid for some days. */
export function authority(folder: string, ca: string, host: string, days = 2): { key: Buffer; cert: Buffer } {
  const openssl = (...args: string[]) => execFileSync("openssl", args, { cwd: folder, stdio: ["ignore", "ignore", "ignore"] });
  const name = `${ca}-${host}`;
  const ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  writeFileSync(join(folder, `${ca}.ext`), "basicConstraints=critical,CA:TRUE\n");
  openssl("req", "-x509", ...ec, "-keyout", `${ca}.key`, "-out", `${ca}.pem`, "-days", "2", "-subj", `/CN=${ca}`);
  writeFileSync(join(folder, "host.ext"), `subjectAltName=DNS:${host}\n`);
  openssl("req", ...ec, "-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", `/CN=${host}`);
  openssl("x509", "-req", "-in", `${name}.csr`, "-CA", `${ca}.pem`, "-CAkey", `${ca}.key`, "-CAcreateserial", "-days", `${days}`, "-extfile", "host.ext", "-out", `${name}.pem`);
  return { key: readFileSync(join(folder, `${name}.key`)), cert: readFileSync(join(folder, `${name}.pem`)) };
}
