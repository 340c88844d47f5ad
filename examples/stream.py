#!/usr/bin/env python3
"""Responds word by word. With --stream, the client gets each line as soon as it is written. Connect with a key of a Mecha, and
call it with a key of the account:

    mecha connect --profile mecha --handle chat=examples/stream.py
    mecha trigger chat --stream '{"message": "Hello from a Mecha"}'
"""
import json
import os
import sys
import time

try:
    message = json.load(sys.stdin)["message"]
    words = message.split()
except (ValueError, KeyError, TypeError, AttributeError):
    # Standard error is the log of the runtime. The client gets 422 for the exit status 65 (EX_DATAERR).
    print("the request has no \"message\"", file=sys.stderr)
    sys.exit(65)

if os.environ["MECHA_STREAM"] == "true":
    for word in words:
        print(word, flush=True)
        time.sleep(0.2)
else:
    print(json.dumps({"reply": " ".join(words)}))
