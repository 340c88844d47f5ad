// HTTP requests on loopback for the harnesses, as clients and browsers send them. The caller controls the connections.
import http from "node:http";

/** Sends one request; returns `null` if there is no response. */
export function request(port, path, { method = "GET", headers = {}, body, localAddress, agent } = {}) {
  return new Promise((resolve) => {
    const options = { host: "127.0.0.1", port, path, method, headers: { Host: `127.0.0.1:${port}`, ...headers }, localAddress, agent };
    const sent = http.request(options, (response) => {
      const parts = [];
      response.on("data", (part) => parts.push(part));
      response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(parts).toString() }));
      response.on("error", () => resolve(null));
    });
    sent.on("error", () => resolve(null));
    sent.end(body);
  });
}

/** Sends a form as a page of the console does. */
export function post(port, path, fields, { cookie, headers, ...options } = {}) {
  const own = { Origin: `http://127.0.0.1:${port}`, Accept: "application/json", "Content-Type": "application/x-www-form-urlencoded" };
  const all = { ...headers, ...own, ...(cookie && { Cookie: cookie }) };
  return request(port, path, { ...options, method: "POST", headers: all, body: new URLSearchParams(fields).toString() });
}

/** The cookie that a response sets, as the value of a `Cookie` header. */
export const cookieOf = (response) => response.headers["set-cookie"][0].split(";")[0];
