"""Peers that open honestly and then do inside of DTLS what no honest one does.

    evil.py ws://127.0.0.1:3000

Does every deed below at once, each as a peer of its own, for some seconds, and
prints one line of JSON that says how each ended:

    {"jump": [1008, "limit: a TSN far beyond the last"], "duplicates": null}

with the code and the reason of the server's close frame, or null where the peer
was still welcome at the end.
"""

import asyncio
import json
import random
import sys
from struct import pack

from aiortc.rtcsctptransport import (
    AbortChunk,
    Chunk,
    CookieEchoChunk,
    DataChunk,
    ForwardTsnChunk,
    InitChunk,
    ReconfigChunk,
    SackChunk,
    ShutdownChunk,
)
from client import Client
from websockets.asyncio.client import connect

SECONDS = 3.0
PACE = 0.005  # seconds from one deed to the next
PATIENCE = 10.0  # seconds to open
FLAGS = 4 | 2 | 1  # unordered, the first and the last piece
BINARY = 53
DCEP = 50


class Raw(Chunk):
    """Bytes in place of chunks."""

    def __init__(self, data):
        self.data = data

    def __bytes__(self):
        return self.data


def data(sctp, ahead, stream=0, flags=FLAGS, payload=b"evil", protocol=BINARY):
    """A message whose TSN is so far ahead of the next."""
    chunk = DataChunk(flags=flags)
    chunk.tsn = (sctp._local_tsn + ahead) % 2**32
    chunk.stream_id = stream
    chunk.protocol = protocol
    chunk.user_data = payload
    return chunk


def wrong_tsns(sctp, _):
    return data(sctp, random.randrange(2**20, 2**31))


def gaps_without_end(sctp, count):
    return data(sctp, 2 * count + 1)


def duplicates(sctp, _):
    return data(sctp, -1)


def pieces_without_end(sctp, count):
    return data(sctp, count, flags=4 if count else 6, payload=bytes(1000))


def streams(sctp, count):
    return data(sctp, count, stream=65_534 - count)


def channels(sctp, count):
    opening = pack("!BBHLHH", 3, 0x80, 0, 0, 1, 0) + b"x"
    return data(sctp, count, 1 + 2 * count, 3, opening, DCEP)


def inits(sctp, _):
    chunk = InitChunk()
    chunk.initiate_tag = random.getrandbits(32)
    chunk.inbound_streams = chunk.outbound_streams = 65_535
    chunk.initial_tsn = random.getrandbits(32)
    return chunk


def cookies(_sctp, _):
    return CookieEchoChunk(body=random.randbytes(32))


def jump(sctp, _):
    chunk = ForwardTsnChunk()
    chunk.cumulative_tsn = (sctp._local_tsn + 2**24) % 2**32
    return chunk


def resets(_sctp, count):
    chunk = ReconfigChunk()
    chunk.params.append((13, pack("!LLLH", count, 0, count, 0)))
    return chunk


def sack(sctp, ahead, window):
    chunk = SackChunk()
    chunk.cumulative_tsn = (sctp._last_received_tsn + ahead) % 2**32
    chunk.advertised_rwnd = window
    return chunk


def no_window(sctp, _):
    return sack(sctp, 0, 0)


def false_sacks(sctp, _):
    return sack(sctp, 2**20, 2**17)


def lengths_that_lie(_sctp, _):
    length = random.choice([0, 1, 3, 5, 2**16 - 1, random.getrandbits(16)])
    return Raw(pack("!BBH", random.randrange(256), 0, length) + random.randbytes(8))


def abort(_sctp, _):
    return AbortChunk()


def shutdown(sctp, _):
    chunk = ShutdownChunk()
    chunk.cumulative_tsn = sctp._last_received_tsn
    return chunk


DEEDS = [
    wrong_tsns,
    gaps_without_end,
    duplicates,
    pieces_without_end,
    streams,
    channels,
    inits,
    cookies,
    jump,
    resets,
    no_window,
    false_sacks,
    lengths_that_lie,
    abort,
    shutdown,
]


async def do(deed, client):
    count = 0
    while True:
        try:
            await client.peer.sctp._send_chunk(deed(client.peer.sctp, count))
        except ConnectionError:
            return  # the server has ended it
        count += 1
        await asyncio.sleep(PACE)


async def fate(url, deed):
    async with connect(url, proxy=None) as socket:
        client = Client(socket)
        reading = asyncio.create_task(client.read())
        await asyncio.wait_for(asyncio.shield(client.channel), PATIENCE)
        doing = asyncio.create_task(do(deed, client))
        ended, _ = await asyncio.wait([reading], timeout=SECONDS)
        code, reason = socket.close_code, socket.close_reason
        doing.cancel()
        reading.cancel()
        await client.peer.close()
        return [code, reason] if ended else None


async def main():
    fates = await asyncio.gather(*(fate(sys.argv[1], deed) for deed in DEEDS))
    print(json.dumps({deed.__name__: fate for deed, fate in zip(DEEDS, fates)}))


if __name__ == "__main__":
    asyncio.run(main())
