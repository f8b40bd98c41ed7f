"""A process of Django Channels, driven from standard input.

The argument is a JSON object: "layer" is the class, "config" its arguments. Each line of input is a JSON object with the
name of a coroutine method and its arguments; a message is msgpack in base 64. Each line of output is its result.
"""

import asyncio
import base64
import importlib
import json
import sys

import msgpack


def pack(message):
    return base64.b64encode(msgpack.packb(message)).decode()


def unpack(text):
    return msgpack.unpackb(base64.b64decode(text))


async def obey(layer, order):
    name, args = order["op"], order.get("args", [])
    if "message" in order:
        args = args + [unpack(order["message"])]
    if name == "receive":
        message = await asyncio.wait_for(layer.receive(*args), order["timeout"])
        return {"message": pack(message)}
    if name == "capacity":
        layer.capacity = args[0]
        return {}
    return {"value": await getattr(layer, name)(*args)}


async def main():
    setup = json.loads(sys.argv[1])
    module, _, name = setup["layer"].rpartition(".")
    layer = getattr(importlib.import_module(module), name)(**setup["config"])
    loop = asyncio.get_running_loop()
    while True:
        line = await loop.run_in_executor(None, sys.stdin.readline)
        if not line:
            return
        try:
            result = await obey(layer, json.loads(line))
        except Exception as e:
            result = {"error": type(e).__name__, "text": str(e)}
        print(json.dumps(result), flush=True)


asyncio.run(main())
