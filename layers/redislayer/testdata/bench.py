"""Measures a group of channels_redis: one layer sends, members of another in the same process receive.

The argument is a JSON object: "layer" is the class, "config" its arguments, "members" and "rounds" numbers. The output is a
JSON object: CPU in ns for each delivery, and the time from a send to the last delivery, in µs.
"""

import asyncio
import importlib
import json
import sys
import time


async def main():
    setup = json.loads(sys.argv[1])
    module, _, name = setup["layer"].rpartition(".")
    make = getattr(importlib.import_module(module), name)
    sender, receiver = make(**setup["config"]), make(**setup["config"])
    members, rounds = setup["members"], setup["rounds"]
    got, everybody = 0, asyncio.Event()

    async def member(channel):
        nonlocal got
        while True:
            await receiver.receive(channel)
            got += 1
            if got == members:
                got = 0
                everybody.set()

    tasks = []
    for _ in range(members):
        channel = await receiver.new_channel()
        await receiver.group_add("room", channel)
        tasks.append(asyncio.ensure_future(member(channel)))
    await asyncio.sleep(0.5)
    took, cpu = [], time.process_time()
    for _ in range(rounds):
        everybody.clear()
        begun = time.perf_counter()
        await sender.group_send("room", {"type": "note", "text": "x" * 100})
        await everybody.wait()
        took.append(time.perf_counter() - begun)
    cpu = time.process_time() - cpu
    took.sort()
    print(json.dumps({
        "cpu": cpu * 1e9 / rounds / members,
        "p50": took[len(took) // 2] * 1e6,
        "p99": took[len(took) * 99 // 100] * 1e6,
    }), flush=True)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


asyncio.run(main())
