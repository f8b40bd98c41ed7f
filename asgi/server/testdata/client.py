"""What the "websockets" package of Python, as a client, demands of a server. usage: python3 client.py URL compressed|plain"""
import asyncio
import ssl
import sys

import websockets

url, mode = sys.argv[1:]


def connect(path, **options):
    if url.startswith("wss:"):
        options["ssl"] = ssl._create_unverified_context()
    return websockets.connect(
        url + path, compression="deflate" if mode == "compressed" else None, max_size=None, **options
    )


async def echo():
    async with connect("/ws/") as ws:
        assert bool(ws.extensions) == (mode == "compressed"), ws.extensions
        for text in ["", "a", "é🚣🏽", "x" * 125, "x" * 126, "y" * 65536, "z" * (1 << 20)]:
            await ws.send(text)
            assert await ws.recv() == text, "text of %d" % len(text)
            data = (text.encode() + b"\xff\x00")[-(1 << 20):]
            await ws.send(data)
            assert await ws.recv() == data, "binary of %d" % len(data)


async def fragments():
    async with connect("/ws/") as ws:
        await ws.send(["one, ", "two, ", "three"])
        assert await ws.recv() == "one, two, three"
        await ws.send([b"one, ", b"", b"three\xff"])
        assert await ws.recv() == b"one, three\xff"


async def ping():
    async with connect("/ws/") as ws:
        await asyncio.wait_for(await ws.ping("are you there?"), 10)
        await ws.close(4003, "from Python")
        assert ws.close_code == 4003, ws.close_code  # the server returns the code (RFC 6455 section 5.5.1)


async def closed_by_server():
    async with connect("/ws/") as ws:
        await ws.send("close 4001 bye")
        await ws.wait_closed()
        assert (ws.close_code, ws.close_reason) == (4001, "bye"), ws.close_code


async def too_big():
    async with connect("/ws/") as ws:
        await ws.send(b"x" * ((1 << 20) + 1))
        await ws.wait_closed()
        assert ws.close_code == 1009, ws.close_code


async def subprotocols():
    async with connect("/ws/", subprotocols=["chat.v1", "chat.v2"]) as ws:
        assert ws.subprotocol == "chat.v2", ws.subprotocol


async def refused():
    try:
        async with connect("/refused"):
            raise AssertionError("was let in")
    except websockets.InvalidStatusCode as err:
        assert err.status_code == 403, err


async def main():
    for check in [echo, fragments, ping, closed_by_server, too_big, subprotocols, refused]:
        try:
            await asyncio.wait_for(check(), 60)
        except Exception as err:
            sys.exit("%s: %r" % (check.__name__, err))
        print("passed", check.__name__)


asyncio.run(main())
