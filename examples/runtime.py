"""Connects as a Mecha. Needs `pip install websockets`; reads MECHA_KEY and MECHA_URL from the environment."""
import asyncio, json, os, platform, random, secrets, signal, sys
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

URL = os.environ.get("MECHA_URL", "http://127.0.0.1:3000").replace("http", "ws", 1) + "/api/v1/runtime"
KEY = {"Authorization": "Bearer " + os.environ["MECHA_KEY"]}
HELLO = {"type": "hello", "instance": secrets.token_hex(16), "name": "runtime.py", "version": "1.0",
         "os": platform.system().lower(), "arch": platform.machine(), "host": platform.node(), "actions": ["chat"]}
STOPS = {4401: 4, 4409: 4, 4410: 4, 1002: 1, 1003: 1, 1007: 1, 1008: 1, 1009: 1}  # close code: exit code

async def respond(socket, request):
    """The work: replace it with yours. Send at most `window` bytes, and more only as window frames extend that."""
    reply = json.dumps({"reply": "You said: " + request.get("body", "")[:1000]})
    await socket.send(json.dumps({"type": "chunk", "id": request["id"], "data": reply}))
    await socket.send(json.dumps({"type": "end", "id": request["id"], "status": 200, "content_type": "application/json"}))

async def session(stop):
    async with connect(URL, additional_headers=KEY, subprotocols=["mecha.runtime.v1"], max_size=2**21) as socket:
        await socket.send(json.dumps(HELLO))
        stopping, work = asyncio.create_task(stop.wait()), {}
        while not stop.is_set():
            frame = asyncio.create_task(socket.recv())
            await asyncio.wait([frame, stopping], return_when=asyncio.FIRST_COMPLETED)
            if frame.done():
                message = json.loads(frame.result())
                print(json.dumps(message), flush=True)
                if message["type"] == "drain":
                    stop.set()
                elif message["type"] == "request":
                    work = {id: task for id, task in work.items() if not task.done()}
                    work[message["id"]] = asyncio.create_task(respond(socket, message))
                elif message["type"] == "cancel" and message["id"] in work:
                    work[message["id"]].cancel()
        frame.cancel()
        await socket.send('{"type":"status","state":"draining"}')
        await asyncio.gather(*work.values(), return_exceptions=True)
        await socket.send('{"type":"bye"}')
        await socket.wait_closed()

async def main():
    stop, attempt, is_off = asyncio.Event(), 0, False
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    while not stop.is_set():
        started, code, status = asyncio.get_running_loop().time(), None, None
        try:
            await session(stop)
        except ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd else None
            print(f"closed: {code}", file=sys.stderr, flush=True)
        except InvalidStatus as rejected:
            status = rejected.response.status_code
        except (OSError, TimeoutError):
            pass
        is_off = code == 4403 or (is_off and status == 401)  # After 4403, a rejected key may be switched on again.
        if code in STOPS or (status in (400, 401, 403) and not is_off):
            print(f"stopped: close code {code}, status {status}", file=sys.stderr)
            return STOPS.get(code, 4)
        attempt = 0 if asyncio.get_running_loop().time() - started > 30 else attempt + 1
        delay = 60 if is_off else random.uniform(0, min(30, 0.5 * 2**attempt))
        if not stop.is_set():
            await asyncio.wait([asyncio.create_task(stop.wait())], timeout=delay)
    return 0

sys.exit(asyncio.run(main()))
