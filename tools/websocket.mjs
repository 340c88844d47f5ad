// A minimal WebSocket client (RFC 6455) for the harnesses: Node 18 and 20 have none that can send headers.
import { randomBytes } from "node:crypto";
import http from "node:http";

/** Connects to `/api/v1/runtime`. Resolves to a connection, or to the status of the response that rejected it. */
export function connectRuntime(port, secret, { respondsToPings = true } = {}) {
  return new Promise((resolve) => {
    const request = http.request({
      port,
      host: "127.0.0.1",
      path: "/api/v1/runtime",
      agent: false,
      headers: {
        Authorization: `Bearer ${secret}`,
        Connection: "Upgrade",
        Upgrade: "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": randomBytes(16).toString("base64"),
        "Sec-WebSocket-Protocol": "mecha.runtime.v1",
      },
    });
    request.on("response", (response) => resolve(response.resume().statusCode));
    request.on("error", () => resolve(0));
    request.on("upgrade", (_, socket, head) => resolve(new Connection(socket, head, respondsToPings)));
    request.end();
  });
}

const TEXT = 1;
const CLOSE = 8;
const PING = 9;
const PONG = 10;

export class Connection {
  frames = [];
  /** The code of the close frame; `undefined` while the connection is open, and 0 if it ended without one. */
  closeCode;
  constructor(socket, head, respondsToPings) {
    this.respondsToPings = respondsToPings;
    this.socket = socket.setNoDelay(true);
    this.buffer = head;
    this.closed = new Promise((resolve) => (this.resolveClosed = resolve));
    this.waiting = [];
    socket.on("data", (data) => this.receive(data));
    socket.on("error", () => {});
    socket.on("close", () => this.end(0));
    this.receive(Buffer.alloc(0));
  }

  end(code) {
    this.closeCode ??= code;
    this.closedAt ??= performance.now();
    this.resolveClosed(this.closeCode);
    this.waiting.splice(0).forEach((resolve) => resolve(undefined));
  }

  receive(data) {
    this.buffer = Buffer.concat([this.buffer, data]);
    for (;;) {
      if (this.buffer.length < 2) return;
      let [length, start] = [this.buffer[1] & 127, 2];
      if (length === 126) {
        if (this.buffer.length < 4) return;
        [length, start] = [this.buffer.readUInt16BE(2), 4];
      }
      if (this.buffer.length < start + length) return;
      const [opcode, payload] = [this.buffer[0] & 15, this.buffer.subarray(start, start + length)];
      this.buffer = this.buffer.subarray(start + length);
      if (opcode === PING && this.respondsToPings) this.write(PONG, payload);
      if (opcode === CLOSE) {
        this.end(length >= 2 ? payload.readUInt16BE(0) : 1005);
        this.write(CLOSE, payload);
        this.socket.end();
      }
      if (opcode === TEXT) {
        const frame = JSON.parse(payload.toString());
        const resolve = this.waiting.shift();
        if (resolve) resolve(frame);
        else this.frames.push(frame);
      }
    }
  }

  /** The next JSON frame; `undefined` if the connection has ended. */
  next() {
    if (this.frames.length > 0) return Promise.resolve(this.frames.shift());
    if (this.closeCode !== undefined) return Promise.resolve(undefined);
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  send(frame) {
    this.write(TEXT, Buffer.from(JSON.stringify(frame)));
  }

  write(opcode, payload) {
    if (this.socket.destroyed || this.socket.writableEnded) return;
    const length = payload.length < 126 ? [128 | payload.length] : [254, payload.length >> 8, payload.length & 255];
    const mask = randomBytes(4);
    const masked = Buffer.from(payload.map((byte, at) => byte ^ mask[at & 3]));
    this.socket.write(Buffer.concat([Buffer.from([128 | opcode, ...length]), mask, masked]));
  }

  /** Sends the hello; resolves to the welcome. */
  async hello(instance) {
    this.send({ type: "hello", instance, name: "harness", host: "loopback" });
    return this.next();
  }

  destroy() {
    this.socket.destroy();
  }
}
