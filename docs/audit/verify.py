#!/usr/bin/env python3
"""Verifies an export of `longhaul audit export` without Longhaul and without a database.

    verify.py EXPORT            chains and numbers of every stream in it
    verify.py EXPORT HEADS      and that each head of a checkpoint's FILE.heads is in its chain

With HEADS it prints the root over the heads: compare it with the third line of the signed note.
Exit code 0: nothing is broken; 1: something is, named by stream and sequence; 2: wrong usage.
"""
import base64
import hashlib
import json
import sys
import uuid

GENESIS = bytes(32)


def link(before, event):
    """The hash of an event that follows one with hash `before`."""
    actor = event["actor"].encode()
    return hashlib.sha256(b"".join([
        b"longhaul/event/1\n",
        before,
        uuid.UUID(event["stream"]).bytes,
        event["sequence"].to_bytes(8, "big"),
        uuid.UUID(event["event_id"]).bytes,
        event["at_us"].to_bytes(8, "big", signed=True),
        event["branch"].to_bytes(4, "big"),
        len(actor).to_bytes(4, "big"),
        actor,
        event["payload"].encode(),
    ])).digest()


def root(leaves):
    """The root of the tree over the leaves, as RFC 6962 has it."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    half = 1 << ((len(leaves) - 1).bit_length() - 1)
    return hashlib.sha256(b"\1" + root(leaves[:half]) + root(leaves[half:])).digest()


def streams(lines, seen, broken):
    """Follows every chain; gives the last sequence of each stream. Checks `seen` on the way."""
    ends, hashes, count, end = {}, {}, 0, None
    for number, line in enumerate(lines, 1):
        event = json.loads(line)
        if "end" in event:
            end = event["end"]
            continue
        if "sequence" not in event:
            continue
        count += 1
        key = (event["kind"], event["stream"])
        if key in broken:
            continue
        expected = ends.get(key, 0) + 1
        if event["sequence"] != expected:
            broken[key] = (expected, "is missing")
        elif link(hashes.get(key, GENESIS), event).hex() != event["hash"]:
            broken[key] = (expected, "is not what was hashed")
        elif json.loads(event["payload"]).get("type") != event["type"]:
            broken[key] = (expected, "is labelled with another type")
        elif key in seen and seen[key][0] == expected and seen[key][1] != event["hash"]:
            broken[key] = (expected, "is not the one that the checkpoint saw")
        ends[key], hashes[key] = event["sequence"], bytes.fromhex(event["hash"])
    if end is None or end["events"] != count or end["streams"] != len(ends):
        broken[("export", "-")] = (count, "is the last one: the export is not complete")
    return ends


def main(arguments):
    if len(arguments) not in (1, 2):
        print(__doc__, file=sys.stderr)
        return 2
    seen, broken, leaves = {}, {}, []
    if len(arguments) == 2:
        with open(arguments[1], encoding="utf-8") as file:
            leaves = file.read().splitlines()
        for line in leaves:
            kind, stream, version, digest = line.split(" ")
            seen[(kind, stream)] = (int(version), digest)
        print("root", base64.b64encode(root([leaf.encode() for leaf in leaves])).decode())
    with open(arguments[0], encoding="utf-8") as file:
        ends = streams(file, seen, broken)
    for key, (version, _) in seen.items():
        if key not in broken and ends.get(key, 0) < version:
            broken[key] = (ends.get(key, 0) + 1, "was seen by the checkpoint and is gone")
    for (kind, stream), (sequence, fault) in sorted(broken.items()):
        print(f"BROKEN: {kind} {stream}, event {sequence} {fault}")
    print(f"{len(ends)} streams: {len(broken)} broken")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
