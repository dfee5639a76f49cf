#!/usr/bin/env python3
# events.py - Clients of GET /v1/events: rights, revocation, coming back, falling behind.
#
#     events.py URL FILE    FILE holds a key that may do everything
#
# Prints 'ok NAME' or 'not ok NAME' for each case, and '# done' at the end; events.sh counts them.
#
# SPDX-License-Identifier: MIT
import json
import socket
import sys
import threading
import time
import urllib.parse

PATIENCE_S = 60
URL = urllib.parse.urlsplit(sys.argv[1])
with open(sys.argv[2], encoding="ascii") as file:
    ADMIN = file.read().strip()


def check(name, is_right, why=""):
    print(f"{'ok' if is_right else 'not ok'} {name}")
    if not is_right and why:
        print(f"# {why}")
    sys.stdout.flush()


# ---- Asking ----


def dial(buffer_bytes=0):
    connection = socket.socket()
    if buffer_bytes:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    connection.settimeout(PATIENCE_S)
    connection.connect((URL.hostname, URL.port))
    return connection


def head_of(method, path, key, headers, body=b""):
    lines = [f"{method} {path} HTTP/1.1", f"Host: {URL.netloc}", f"Authorization: Bearer {key}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Caller:
    """Plain requests on one connection that stays open."""

    def __init__(self, key):
        self.key = key
        self.file = dial().makefile("rwb")

    def ask(self, method, path, body=None):
        data = json.dumps(body).encode() if body is not None else b""
        self.file.write(head_of(method, path, self.key, {}, data))
        self.file.flush()
        status = int(self.file.readline().split()[1])
        headers = {}
        while (line := self.file.readline().strip()) != b"":
            name, value = line.decode().split(":", 1)
            headers[name.lower()] = value.strip()
        text = self.file.read(int(headers.get("content-length", 0)))
        return status, headers, json.loads(text) if text else None


def make_actor(admin, name, capabilities):
    """Returns when the server has heard of it: a stream that begins later begins behind it."""
    status, _, actor = admin.ask("POST", "/v1/actors", {
        "actorType": "ai_agent", "name": name, "capabilities": capabilities})
    assert status == 201, (status, actor)
    actor_id = actor["actorId"]
    status, headers, key = admin.ask("POST", f"/v1/actors/{actor_id}/keys", {"name": "test"})
    assert status == 201, (status, key)
    status, _, body = admin.ask("GET", f"/v1/actors/self?after={headers['personakit-cursor']}")
    assert status == 200, (status, body)
    return actor_id, key["keyId"], next(v for v in key.values()
                                        if isinstance(v, str) and v.startswith("pk_"))


class Stream:
    def __init__(self, key, query="", last=None, buffer_bytes=0):
        self.connection = dial(buffer_bytes)
        self.last = last
        headers = {"Last-Event-ID": last} if last else {}
        self.connection.sendall(head_of("GET", "/v1/events" + query, key, headers))
        self.file = self.connection.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        self.headers = {}
        while (line := self.file.readline().strip()) != b"":
            name, value = line.decode().split(":", 1)
            self.headers[name.lower()] = value.strip()

    def next(self):
        """The next (type, data); None when the connection has ended."""
        fields = {}
        while line := self.file.readline():
            line = line.decode().rstrip("\n")
            if line and not line.startswith(":"):
                name, value = line.split(": ", 1)
                fields[name] = value
            elif not line and fields:
                self.last = fields.get("id", self.last)
                return fields.get("event"), json.loads(fields["data"])
        return None

    def until(self, is_last):
        seen = []
        while (event := self.next()) is not None:
            seen.append(event)
            if is_last(event):
                break
        return seen

    def close(self):
        self.file.close()
        self.connection.close()


# ---- The cases ----


def rights(admin):
    one = make_actor(admin, "operator", {"grants": ["operate"], "people": ["*"]})
    two = make_actor(admin, "agent", {"canRequestPersonas": True, "people": ["*"]})
    three = make_actor(admin, "curator", {"grants": ["curate"]})
    none = make_actor(admin, "observer", {"grants": ["write_observations"]})
    streams = [Stream(actor[2]) for actor in (one, two, three)]
    starts = [stream.next() for stream in streams]
    check("a stream says where it starts", all(start[0] == "start" and start[1]["position"]
                                               for start in starts), str(starts))
    check("it is a stream of events, and never kept",
          streams[0].headers["content-type"] == "text/event-stream" and
          streams[0].headers["cache-control"] == "no-store", str(streams[0].headers))
    denied = Stream(none[2])
    check("who may not follow is refused", denied.status == 403, str(denied.status))
    denied.close()
    for path in ("?type=a**", "?person=nobody", "?from=nonsense", "?colour=red"):
        wrong = Stream(one[2], path)
        check(f"'{path}' is refused", wrong.status == 400, str(wrong.status))
        wrong.close()
    hidden = Stream(three[2], "?person=11111111-1111-4111-8111-111111111111")
    check("a person who may not be seen is not there", hidden.status == 404, str(hidden.status))
    hidden.close()

    admin.ask("PATCH", f"/v1/actors/{two[0]}", {"description": "changed"})
    admin.ask("PATCH", f"/v1/actors/{three[0]}", {"description": "changed"})
    def about(actor):
        return lambda event: event[1].get("entityId") == actor[0]
    seen = [streams[0].until(about(three)), streams[1].until(about(two)),
            streams[2].until(about(three))]
    check("who runs the server sees all actors",
          [event[1]["entityId"] for event in seen[0]] == [two[0], three[0]], str(seen[0]))
    check("others see what is about themselves",
          len(seen[1]) == 1 and len(seen[2]) == 1, str(seen[1:]))
    revocation(admin, streams, two, three)


def revocation(admin, streams, two, three):
    begun = time.monotonic()
    status, _, _ = admin.ask("DELETE", f"/v1/actors/{two[0]}/keys/{two[1]}")
    seen = streams[1].until(lambda event: event[0] == "end")
    took = time.monotonic() - begun
    check("a revoked key ends its stream",
          status == 204 and seen[-1:] == [("end", {"reason": "revoked"})],
          f"{status} {seen} {took:.3f} s")
    check("and then the connection", streams[1].next() is None)
    again = Stream(two[2])
    check("it opens no other", again.status == 401, str(again.status))
    again.close()
    admin.ask("PATCH", f"/v1/actors/{three[0]}", {"description": "changed again"})
    check("the other streams go on", streams[2].next()[1]["entityId"] == three[0])
    for stream in streams:
        stream.close()


class Writer(threading.Thread):
    """Changes an actor again and again, through the API; each change is an event."""

    def __init__(self, actor_id, count):
        super().__init__(daemon=True)
        self.actor_id, self.count, self.failed = actor_id, count, []

    def run(self):
        admin = Caller(ADMIN)
        for number in range(self.count):
            status, _, body = admin.ask("PATCH", f"/v1/actors/{self.actor_id}",
                                        {"description": f"number {number}"})
            if status != 200:
                self.failed.append((status, body))


def coming_back(admin):
    count = 600
    actor = make_actor(admin, "written", {"grants": ["curate"]})
    stream = Stream(ADMIN, "?type=actor.*")
    assert stream.next()[0] == "start"
    first = stream.last
    writer = Writer(actor[0], count)
    writer.start()
    ids, rounds = [], 0
    while len(ids) < count:
        for _ in range(1 + rounds * 7 % 40):
            event = stream.next() if len(ids) < count else None
            if event and event[1]["entityId"] == actor[0]:
                ids.append(stream.last)
        last, rounds = stream.last, rounds + 1
        stream.close()
        stream = Stream(ADMIN, "?type=actor.*", last)
    writer.join()
    stream.close()
    check("every event comes once to who comes back", len(set(ids)) == count and not writer.failed,
          f"{len(ids)} {len(set(ids))} {writer.failed[:1]}")
    replay = Stream(ADMIN, f"?type=actor.updated&from={first}")
    again = []
    while len(again) < count:
        if replay.next()[1]["entityId"] == actor[0]:
            again.append(replay.last)
    check("?from= gives the same again", again == ids, f"{len(again)}")
    replay.close()
    print(f"# {count} events, {rounds} connections")


def read_your_writes(admin):
    actor = make_actor(admin, "read after", {"grants": ["curate"]})
    reader, wrong = Caller(ADMIN), 0
    for number in range(50):
        _, headers, _ = admin.ask("PATCH", f"/v1/actors/{actor[0]}",
                                  {"description": f"number {number}"})
        status, _, body = reader.ask(
            "GET", f"/v1/actors/{actor[0]}?after={headers['personakit-cursor']}")
        wrong += status != 200 or body["description"] != f"number {number}"
    check("?after= reads one's own write", wrong == 0, str(wrong))
    status, _, body = reader.ask("GET", f"/v1/actors/{actor[0]}?after=elsewhere.1")
    check("a cursor of another store is refused", status == 400 and body["field"] == "after",
          f"{status} {body}")


def falling_behind(admin):
    actor = make_actor(admin, "slow", {"grants": ["curate"]})
    slow = Stream(ADMIN, "?type=actor.*", buffer_bytes=4096)
    assert slow.next()[0] == "start"
    quick = Stream(ADMIN, "?type=actor.*")
    assert quick.next()[0] == "start"
    writers = [Writer(actor[0], 100) for _ in range(2)]
    for writer in writers:
        writer.start()
    seen = 0
    while seen < 200:
        seen += quick.next()[1]["entityId"] == actor[0]
    for writer in writers:
        writer.join()
    check("a client that does not read holds nobody up", seen == 200 and
          not any(writer.failed for writer in writers))
    slow.close()
    quick.close()


def main():
    admin = Caller(ADMIN)
    for case in (rights, coming_back, read_your_writes, falling_behind):
        case(admin)
    print("# done")


main()
