#!/usr/bin/env python3
"""Writes the corpora's seeds from the golden vectors: every frame, link, content, statement and box that they name, and a
few scripts for the state machines. What a fuzzer finds is committed beside them; this writes no file that is there."""

import hashlib
import json
import pathlib

HERE = pathlib.Path(__file__).parent
VECTORS = HERE.parent / "proto" / "vectors"
LONGEST = 20_000


def vectors(name):
    return json.loads((VECTORS / f"{name}.json").read_text())


def seed(target, data):
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / hashlib.sha1(data).hexdigest()
    if len(data) <= LONGEST and not path.exists():
        path.write_bytes(data)


def hexes(value, key=None):
    """Every string of whole hexadecimal bytes in a tree, with the name of its field."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from hexes(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from hexes(inner, key)
    elif isinstance(value, str):
        try:
            yield key, bytes.fromhex(value)
        except ValueError:
            pass


def frames():
    for name, cases in vectors("frames").items():
        for key, data in hexes(cases):
            if key in ("bytes", "frame"):
                for target in {"to_relay": ["to"], "from_relay": ["from"]}.get(name, ["to", "from"]):
                    seed({"to": "frames_to_relay", "from": "frames_from_relay"}[target], data)


def strings(value):
    if isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)
    elif isinstance(value, str):
        yield value


def links():
    import base64

    for text in strings(vectors("links")):
        if "tacit:" in text or "://" in text:
            seed("links", text.encode())
        body = text.removeprefix("tacit:")
        if body != text:
            try:
                inside = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
            except ValueError:
                continue
            # The target adds a checksum.
            seed("links", inside[:-4])


def content():
    for _, data in hexes(vectors("content")["envelopes"]):
        if len(data) > 16:
            seed("content", b"\0" + data)
    for _, data in hexes(vectors("content")["resets"]):
        if len(data) > 32:
            seed("content", b"\3" + data)
    for key, data in hexes(vectors("statements")):
        if key in ("body", "bytes"):
            for which in range(5):
                seed("statements", bytes([which]) + bytes([0x01, 0x9E, 0x7D, 0x6C, 0, 0, 0, 0]) * (which == 0) + b"en-GB\0\0\0" * (which == 1) + data)
        if key in ("statement", "terms", "consent"):
            seed("statements", b"\6" + data)
    for text in strings(vectors("statements")):
        if "tacit_consent" in text:
            seed("statements", b"\5" + text.encode())
    for key, data in hexes(vectors("statements").get("offer", {})):
        if len(data) > 1_000:
            seed("content", b"\1" + data)


def boxes():
    for key, data in hexes(vectors("sealed-boxes")):
        if key == "box":
            seed("boxes", b"\0" + data)
    for payload in (b"", b"hello", bytes(844), bytes(845)):
        seed("boxes", b"\1" + payload)
    for plaintext in (bytes(2), b"\0\5hello", b"\0\5hello\0\1", b"\3\x4c" + b"x" * 844, b"\xff\xff"):
        seed("boxes", b"\2" + plaintext)
    ratchet = vectors("ratchet")
    from_a = [bytes.fromhex(case["message"]) for case in ratchet["messages"] if case["from"] == "a"]
    refused = [bytes.fromhex(case["message"]) for case in ratchet["refused"] if case["from"] == "a"]
    sized = [len(message).to_bytes(2, "big") + message for message in from_a + refused]
    seed("boxes", b"\3" + b"".join(sized[: len(from_a)]))
    for one in sized[len(from_a) :]:
        seed("boxes", b"\3" + one)
        seed("boxes", b"\3" + sized[0] + one)
    # Out of order, twice, and damaged.
    seed("boxes", b"\3" + sized[0] + b"".join(reversed(sized[1 : len(from_a)])) + sized[0])


def varint(number):
    out = b""
    while number >= 128:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def record(number, inner):
    whole = field(number, inner)
    return len(whole).to_bytes(4, "big") + whole


def table(name, columns, *rows):
    out = record(2, field(1, name.encode()) + b"".join(field(2, column.encode()) for column in columns))
    for row in rows:
        values = b""
        for value in row:
            if value is None:
                inner = b""
            elif isinstance(value, int):
                inner = field(1, value << 1)
            elif isinstance(value, str):
                inner = field(3, value.encode())
            else:
                inner = field(4, value)
            values += field(1, inner)
        out += record(3, values)
    return out


def backups():
    begin = record(1, field(1, 7) + field(2, 1_800_000_000_000))
    relays = table("relays", ["id", "address", "pin"], [1, "wss://relay.example", None])
    quiet = table("quiet_hours", ["day", "from_minute", "until_minute"], [1, 480, 720])
    end = record(4, field(1, 2))
    whole = begin + relays + quiet + end
    for which in (1, 2, 3):
        seed("backups", bytes([which]) + whole)
        seed("backups", bytes([which]) + begin + record(4, b""))
    seed("backups", b"\3" + record(1, field(1, 99)))
    seed("backups", b"\3" + begin + table("sqlite_master", ["name"], ["x"]) + end)
    for data in (b"", bytes(100), bytes(70_000)[:LONGEST]):
        seed("backups", b"\1" + data)
    for key, data in hexes(vectors("backups")):
        if key == "file":
            seed("backups", b"\0" + data)


def device():
    serve = bytes([13])
    for scene in range(2):
        play = bytes([scene]) + serve
        in_order = b"".join(bytes([2, 0, at]) for at in range(12))
        seed("device", play + in_order)
        backwards = b"".join(bytes([2, 0, at]) for at in reversed(range(12)))
        seed("device", play + backwards + in_order)
        seed("device", play + bytes([12, 0]) + serve + bytes([6, 9, 0, 2, 11, 0, 0, 0, 0, 1, 2, 3]) + serve + in_order)
        seed("device", play + b"".join(bytes([4, 0, at, 0, 0, 4, at, 1]) for at in range(8)) + in_order)
        for event in range(8):
            seed("device", play + bytes([2, 0, 0, 9, 0, event, 0, 0, 0, 0]) + serve + in_order)
        for refusal in range(11):
            seed("device", bytes([scene, 0, 7, 0, refusal, 0, 1, 14, 0]) + serve + in_order)
        seed("device", play + bytes([2, 0, 10, 2, 0, 11, 1, 30, 0, 1, 32, 0]) + serve + in_order)
    # The practice: it enrols, opens, attaches, offers; then the accept comes.
    seed("device", bytes([2]) + serve * 3 + bytes([2, 0, 0]) + serve)
    # The client: the next key is refused, the invite's must be rekeyed; then the offer comes, and consent.
    seed("device", bytes([3, 0, 6, 3, 0, 6, 1, 0, 6, 0]) + bytes([2, 0, 0, 2, 0, 1, 14]) + serve + bytes([2, 0, 0]))


def relay():
    send = lambda conn: bytes([conn, 3, 0, 0])
    ack = lambda conn: bytes([conn, 5, 0, 0])
    collect = lambda conn: bytes([conn, 10])
    commit, graces, load = bytes([0, 12]), bytes([0, 13]), bytes([0, 14, 0])
    fail, heal, restart = bytes([0, 15, 0]), bytes([0, 15, 1]), bytes([0, 17, 2])
    deliver = send(0) * 3 + collect(1)
    seed("relay", b"\1" + deliver + ack(1) + collect(0))
    seed("relay", b"\1" + deliver + graces + commit + collect(0) + ack(1) + commit)
    seed("relay", b"\1" + deliver + graces + commit + restart)
    seed("relay", b"\1" + deliver + fail + graces + commit + collect(0) + send(0) + heal + graces + commit + collect(0))
    seed("relay", b"\1" + bytes([1, 16]) + send(0) * 9 + commit + collect(0) + bytes([1, 1, 0, 1, 1, 0, 0]) + (collect(1) + load + ack(1)) * 3)
    seed("relay", b"\1" + send(0) * 14 + collect(0) + collect(1) + ack(1) + collect(0))
    seed("relay", b"\1" + send(0) * 2 + bytes([0, 7, 0]) + commit + collect(1) + ack(1) + bytes([1, 7, 0]) + commit)
    seed("relay", b"\1" + bytes([2, 1, 0, 1, 0, 0, 0]) + commit + collect(2) + collect(0))
    seed("relay", b"\1" + bytes([0, 2, 0, 1]) + commit + collect(0) + send(0) + bytes([0, 17, 1]))
    seed("relay", b"\0" + bytes([0, 15, 3]) + bytes([0, 8, 2, 0, 0]) + commit + collect(0) + bytes([0, 0, 1, 3]) + commit + collect(0))
    seed("relay", b"\0" + bytes([0, 0, 0, 0]) + fail + commit + heal + bytes([0, 0, 0, 0]) + commit + collect(0))
    seed("relay", b"\0" + bytes([0, 9, 4, 8, 1, 0x4A, 0]) + collect(0))


def main():
    for make in (frames, links, content, boxes, backups, device, relay):
        make()
    for folder in sorted((HERE / "corpus").iterdir()):
        sizes = [path.stat().st_size for path in folder.iterdir()]
        print(f"{folder.name}: {len(sizes)} files, {sum(sizes)} bytes")


main()
