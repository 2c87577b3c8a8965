"""The client's end of a flow of messages, from another family of software.

Does what the page `flow.html` does, and takes what stands behind the `?` of its
address:

    flow.py "host=203.0.113.1&port=3000&seconds=30&up=1x60x200"

Prints every two seconds a line of JSON with the messages that it sent, as
[number, time], and those that arrived, as [number, time sent, time arrived]. A
message begins with its number and the time, 8 bytes each in little endian; times
are in microseconds since 1970.
"""

import asyncio
import json
import struct
import sys
import time
from urllib.parse import parse_qs

from client import Client
from websockets.asyncio.client import connect

REPORT_EVERY = 2.0  # seconds
LAST = 2.0  # seconds for the last messages to arrive
STAMP = struct.Struct("<QQ")


def micros():
    return time.time_ns() // 1000


class Rows:
    """What was sent and what arrived since the last report."""

    def __init__(self):
        self.sent = []
        self.arrived = []

    def message(self, number, size):
        now = micros()
        self.sent.append([number, now])
        return STAMP.pack(number, now).ljust(size, b"\x5a")

    def receive(self, message):
        now = micros()
        self.arrived.append([*STAMP.unpack_from(message), now])

    def report(self, **extra):
        rows = {"ok": True, "sent": self.sent, "arrived": self.arrived, **extra}
        self.sent, self.arrived = [], []
        print(json.dumps(rows), flush=True)


class Flow(Client):
    """A client that counts messages instead of comparing echoes."""

    def __init__(self, socket):
        super().__init__(socket)
        self.rows = Rows()
        self.begin = asyncio.Event()

    def receive(self, _message):
        """The only message over the websocket says that it begins."""
        self.begin.set()

    def channel_opened(self, channel):
        channel.on("message", self.rows.receive)
        self.channel.set_result(channel)

    async def send(self, load, seconds):
        burst, per_second, size = map(int, load.split("x"))
        channel = await self.channel
        began = time.monotonic()
        for index in range(seconds * per_second):
            await asyncio.sleep(max(0, began + index / per_second - time.monotonic()))
            for nth in range(burst):
                channel.send(self.rows.message(index * burst + nth, size))

    async def report(self, seconds):
        end = time.monotonic() + seconds + LAST
        while time.monotonic() < end:
            await asyncio.sleep(min(REPORT_EVERY, max(0, end - time.monotonic())))
            self.rows.report()


async def run(query):
    seconds = int(query["seconds"])
    url = f"ws://{query['host']}:{query['port']}"
    async with connect(url, proxy=None) as socket:
        flow = Flow(socket)
        reading = asyncio.create_task(flow.read())
        await flow.channel
        flow.rows.report(open=True)
        await flow.begin.wait()
        work = [asyncio.create_task(flow.report(seconds))]
        if "up" in query:
            work.append(asyncio.create_task(flow.send(query["up"], seconds)))
        await asyncio.wait([reading, *work], return_when=asyncio.FIRST_COMPLETED)
        if reading.done():
            raise ConnectionError(f"closed by the server: {socket.close_reason}")
        await asyncio.gather(*work)
        flow.rows.report(done=True)
        reading.cancel()
        await flow.peer.close()


def main():
    query = {name: values[0] for name, values in parse_qs(sys.argv[1]).items()}
    try:
        asyncio.run(run(query))
    except Exception as error:  # one line of JSON, whatever happens
        print(json.dumps({"ok": False, "error": repr(error)}), flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
