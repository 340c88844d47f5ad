// Requests of programs and of browsers on loopback, for the harnesses, which hold connections in their own hands.
import http from "node:http";

/** One request; `null` if there is no answer. */
export function request(port, path, { method = "GET", headers = {}, body, localAddress, agent } = {}) {
  return new Promise((resolve) => {
    const options = { host: "127.0.0.1", port, path, method, headers: { Host: `127.0.0.1:${port}`, ...headers }, localAddress, agent };
    const sent = http.request(options, (answer) => {
      const parts = [];
      answer.on("data", (part) => parts.push(part));
      answer.on("end", () => resolve({ status: answer.statusCode, headers: answer.headers, body: Buffer.concat(parts).toString() }));
      answer.on("error", () => resolve(null));
    });
    sent.on("error", () => resolve(null));
    sent.end(body);
  });
}

/** A form, as a page of the console sends it. */
export function post(port, path, fields, { cookie, headers, ...options } = {}) {
  const own = { Origin: `http://127.0.0.1:${port}`, Accept: "application/json", "Content-Type": "application/x-www-form-urlencoded" };
  const all = { ...headers, ...own, ...(cookie && { Cookie: cookie }) };
  return request(port, path, { ...options, method: "POST", headers: all, body: new URLSearchParams(fields).toString() });
}

/** The cookie that an answer has set, as it is sent back. */
export const cookieOf = (answer) => answer.headers["set-cookie"][0].split(";")[0];
