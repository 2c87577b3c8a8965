"""A client of the protocol's earlier versions, from another family of software.

Connects to a server that echoes, as clients have always done: looks only for
`sdp` and `candidate` in a text frame, answers with the bare text of its session
description and sends candidates as {"type": "ice", ...}. Then echoes messages
over both paths and prints one line of JSON that says what came back.

    client.py ws://127.0.0.1:3000 --messages 100
"""

import argparse
import asyncio
import json
import sys
import time

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.sdp import candidate_from_sdp
from websockets.asyncio.client import connect

PACE = 0.01  # seconds between two messages
PATIENCE = 5.0  # seconds for the last echoes to arrive


class Path:
    """One of the two ways to the server: what was sent and what came back."""

    def __init__(self, name):
        self.name = name
        self.sent = []
        self.echoed = []

    def next_message(self, number):
        message = f"{self.name} {number} ".encode() + bytes(range(256))
        self.sent.append(message)
        return message

    def complete(self):
        return len(self.echoed) >= len(self.sent)

    def result(self):
        return {
            "sent": len(self.sent),
            "echoed": len(set(self.echoed) & set(self.sent)),
            "in_order": self.echoed == self.sent,
            "duplicates": len(self.echoed) - len(set(self.echoed)),
            "strange": len(set(self.echoed) - set(self.sent)),
        }


class Client:
    def __init__(self, socket):
        self.socket = socket
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.peer.on("datachannel", self.channel_opened)
        self.channel = asyncio.get_running_loop().create_future()
        self.reliable = Path("reliable")
        self.unreliable = Path("unreliable")

    def channel_opened(self, channel):
        channel.on("message", self.unreliable.echoed.append)
        self.channel.set_result(channel)

    async def read(self):
        async for frame in self.socket:
            if isinstance(frame, bytes):
                self.receive(frame)
            else:
                await self.signal(json.loads(frame))

    def receive(self, message):
        self.reliable.echoed.append(message)

    async def signal(self, message):
        if message.get("sdp"):
            await self.answer(message["sdp"])
        elif message.get("candidate"):
            await self.add_candidate(message["candidate"])

    async def answer(self, sdp):
        offer = RTCSessionDescription(sdp=sdp, type="offer")
        await self.peer.setRemoteDescription(offer)
        await self.peer.setLocalDescription(await self.peer.createAnswer())
        answer = self.peer.localDescription.sdp
        assert answer.startswith("v=0")
        await self.socket.send(answer)
        await self.send_candidates(answer)

    async def send_candidates(self, sdp):
        """Earlier clients sent each candidate by itself as well."""
        for line in sdp.splitlines():
            if line.startswith("a=candidate:"):
                candidate = {
                    "candidate": line.removeprefix("a="),
                    "sdpMid": "0",
                    "sdpMLineIndex": 0,
                }
                await self.socket.send(
                    json.dumps({"type": "ice", "candidate": candidate})
                )

    async def add_candidate(self, init):
        text = init["candidate"].removeprefix("candidate:")
        if text:
            candidate = candidate_from_sdp(text)
            candidate.sdpMid = init.get("sdpMid")
            candidate.sdpMLineIndex = init.get("sdpMLineIndex")
            await self.peer.addIceCandidate(candidate)

    async def echo(self, messages):
        channel = await self.channel
        for number in range(messages):
            await self.socket.send(self.reliable.next_message(number))
            channel.send(self.unreliable.next_message(number))
            await asyncio.sleep(PACE)
        await self.wait_for_echoes()
        return channel

    async def wait_for_echoes(self):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if self.reliable.complete() and self.unreliable.complete():
                return
            await asyncio.sleep(PACE)


async def run(url, messages):
    began = time.monotonic()
    async with connect(url, proxy=None) as socket:
        client = Client(socket)
        reading = asyncio.create_task(client.read())
        echoing = asyncio.create_task(client.echo(messages))
        await asyncio.wait({reading, echoing}, return_when=asyncio.FIRST_COMPLETED)
        if not echoing.done():
            echoing.cancel()
            await reading  # raises what ended it
            raise ConnectionError(f"closed by the server: {socket.close_reason}")
        channel = await echoing
        reading.cancel()
        await client.peer.close()
    return {
        "ordered": channel.ordered,
        "max_retransmits": channel.maxRetransmits,
        "max_packet_life_time": channel.maxPacketLifeTime,
        "reliable": client.reliable.result(),
        "unreliable": client.unreliable.result(),
        "seconds": round(time.monotonic() - began, 3),
    }


def passed(result):
    """Whatever the network, the reliable path is whole; on loopback the
    unreliable one very nearly is."""
    reliable, unreliable = result["reliable"], result["unreliable"]
    return (
        result["ordered"] is False
        and result["max_retransmits"] == 0
        and reliable["in_order"]
        and unreliable["strange"] == unreliable["duplicates"] == 0
        and unreliable["echoed"] >= 0.95 * unreliable["sent"]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", help="for example ws://127.0.0.1:3000")
    parser.add_argument("--messages", type=int, default=100, help="on each path")
    parser.add_argument("--timeout", type=float, default=30, help="seconds for all")
    arguments = parser.parse_args()
    work = run(arguments.url, arguments.messages)
    try:
        result = asyncio.run(asyncio.wait_for(work, arguments.timeout))
    except Exception as error:  # one line of JSON, whatever happens
        print(json.dumps({"passed": False, "error": repr(error)}))
        return 1
    result["passed"] = passed(result)
    print(json.dumps(result))
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
