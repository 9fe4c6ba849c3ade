#!/usr/bin/env python3
"""Proves an archive of Longhaul without Longhaul and without a database.

    verify.py DIRECTORY

DIRECTORY holds manifest.json and the files that it names. Prints what the archive holds and ends
with 0, or prints the first thing that is wrong and ends with 1. Needs Python 3.7 and nothing else.
"""

import gzip
import hashlib
import json
import re
import sys
import uuid
from datetime import datetime, timezone
from pathlib import Path

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
FILES = ["heads.jsonl.gz", "events.jsonl.gz", "logs.jsonl.gz"]


class Wrong(Exception):
    pass


def lines(path):
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
        for line in file:
            yield json.loads(line)


def micros(text):
    """Microseconds since 1970 of a time such as 2026-10-31T12:00:00.000001Z."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?(?:Z|\+00:00)", text)
    if not match:
        raise Wrong(f"`{text}` is no time")
    second = datetime.strptime(match[1], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    whole = second - EPOCH
    return (whole.days * 86400 + whole.seconds) * 1_000_000 + int((match[2] or "0").ljust(6, "0"))


def link(before, event):
    """The hash of an event: SHA-256 over the one before, the envelope and the payload's text."""
    actor = event["actor"].encode()
    hashed = hashlib.sha256(b"longhaul/event/1\n")
    hashed.update(before)
    hashed.update(uuid.UUID(event["execution_id"]).bytes)
    hashed.update(event["sequence"].to_bytes(8, "big"))
    hashed.update(uuid.UUID(event["event_id"]).bytes)
    hashed.update(micros(event["at"]).to_bytes(8, "big", signed=True))
    hashed.update(event["branch"].to_bytes(4, "big"))
    hashed.update(len(actor).to_bytes(4, "big"))
    hashed.update(actor)
    hashed.update(event["payload"].encode())
    return hashed.digest()


def check_files(directory, manifest):
    for name in FILES:
        note = manifest["files"].get(name)
        if note is None:
            raise Wrong(f"the manifest does not name {name}")
        content = hashlib.sha256()
        with open(directory / name, "rb") as file:
            for block in iter(lambda: file.read(1 << 16), b""):
                content.update(block)
        if content.hexdigest() != note["sha256"]:
            raise Wrong(f"the digest of {name} is not the one in the manifest")


def check(directory):
    manifest = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
    if manifest["format"] != "longhaul/archive/1":
        raise Wrong(f"unknown format {manifest['format']}")
    check_files(directory, manifest)
    events = lines(directory / "events.jsonl.gz")
    executions = count = 0
    last = uuid.UUID(int=0)
    for head in lines(directory / "heads.jsonl.gz"):
        stream = head["execution_id"]
        if uuid.UUID(stream) <= last and executions:
            raise Wrong(f"execution {stream} stands out of order")
        if head["status"] not in ("completed", "failed", "cancelled"):
            raise Wrong(f"execution {stream} has not ended")
        before = bytes(32)
        for sequence in range(1, head["version"] + 1):
            event = next(events, None)
            where = f"event {sequence} of execution {stream}"
            if event is None or (event["execution_id"], event["sequence"]) != (stream, sequence):
                raise Wrong(f"{where} is missing")
            before = link(before, event)
            if before.hex() != event["hash"]:
                raise Wrong(f"{where} is not what was hashed")
            count += 1
        if before.hex() != head["head_hash"]:
            raise Wrong(f"the events of execution {stream} do not lead to its head")
        last = uuid.UUID(stream)
        executions += 1
    if next(events, None) is not None:
        raise Wrong("there are events that belong to no head")
    chunks = sum(1 for _ in lines(directory / "logs.jsonl.gz"))
    counted = (executions, count, chunks)
    if counted != (manifest["executions"], manifest["events"], manifest["log_chunks"]):
        raise Wrong(f"counted {counted}, which is not what the manifest says")
    return manifest["month"], counted


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        month, (executions, events, chunks) = check(Path(sys.argv[1]))
    except (Wrong, OSError, ValueError, KeyError, EOFError) as error:
        print(f"{sys.argv[1]}: {error}")
        sys.exit(1)
    print(f"{month}: verified: {executions} executions, {events} events, {chunks} chunks of output")


main()
