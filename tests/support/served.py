# served.py - For the tests that are written in Python: a real server, raw connections to it, TAP.
#
#     with Server(work, "one", "--set", "net.idle_ms=500") as server:
#         with server.dial() as client:
#             answer = client.ask("GET", "/v1/actors/self")
#
# Connections are plain sockets: what is sent, and when, is the test's to say, and what comes back
# is shown as it came. Every wait has a deadline. PK_BUILD is the build folder (build/release).
#
# SPDX-License-Identifier: MIT
import contextlib
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("PK_BUILD", ROOT / "build/release"))
PATIENCE_S = 60
SLOWER = float(os.environ.get("PK_TEST_PATIENCE", 10))  # So many times, than a quiet machine.
SLACK_MS = 1.0  # p99 of some hundred requests on two busy cores is not finer than that.


# ---- TAP ----


class Tap:
    """Cases in TAP; exit(tap.end()) at the end."""

    def __init__(self):
        self.count = self.failed = 0

    def check(self, name, is_right, *why):
        self.count += 1
        self.failed += not is_right
        print(f"{'ok' if is_right else 'not ok'} {self.count} - {name}")
        if not is_right:
            for line in why:
                print(f"# {str(line)[:600]}")
            print(f"# {time.strftime('%T')}, load {os.getloadavg()}")
            for server in Server.running:  # What they logged last.
                for line in server.said().splitlines()[-6:]:
                    print(f"# {server.name}: {line[:300]}")
        sys.stdout.flush()
        return is_right

    def skip(self, name, why):
        self.count += 1
        print(f"ok {self.count} - {name} # SKIP {why}")

    def note(self, text):
        print(f"# {text}")
        sys.stdout.flush()

    def end(self):
        print(f"1..{self.count}")
        return 1 if self.failed else 0


def within(seconds, claim):
    """Asks again and again; the last answer. The seconds are those of a quiet machine: one that is
    PK_TEST_PATIENCE (10) times slower passes, too."""
    end = time.monotonic() + seconds * SLOWER
    while not (answer := claim()) and time.monotonic() < end:
        select.select([], [], [], 0.01)
    return answer


def let_pass(seconds, claim=lambda: False):
    """For what is to last so long, or until something else happens."""
    end = time.monotonic() + seconds
    while not claim() and (left := end - time.monotonic()) > 0:
        select.select([], [], [], min(left, 0.01))


@contextlib.contextmanager
def folder():
    """A folder of its own, removed at the end; SIGTERM ends a test by its 'with' blocks, too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    path = pathlib.Path(tempfile.mkdtemp(prefix="personakit-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def make_certificate(work):
    """For localhost, signed by itself: (certificate, key) as paths."""
    paths = str(work / "served.pem"), str(work / "served.key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost", "-keyout", paths[1],
                    "-out", paths[0]], check=True, capture_output=True)
    return paths


# ---- Answers ----


class Answer:
    """One answer, whole."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.headers} {self.body[:300]!r}"


def parse(data):
    """The answer at the beginning of 'data' and what is behind it; None when it is not whole."""
    head, found, rest = data.partition(b"\r\n\r\n")
    if not found:
        return None
    lines = head.decode("latin-1").split("\r\n")
    status = int(lines[0].split(" ")[1])
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    if status == 100:
        return parse(rest)
    size = int(headers.get("content-length", 0))
    if len(rest) < size:
        return None
    return Answer(status, headers, rest[:size]), rest[size:]


class Gone(Exception):
    """The server closed; 'left' is what came of an answer that is not whole, 'is_reset' how."""

    def __init__(self, left, is_reset):
        super().__init__(f"closed with {len(left)} bytes of an answer, reset: {is_reset}")
        self.left, self.is_reset = left, is_reset


class Client:
    """A connection; 'heard' is what came and was not looked at."""

    def __init__(self, connection, key=None):
        self.connection, self.key, self.heard = connection, key, b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.connection.close()

    def request(self, method, path, body=None, headers=()):
        lines = [f"{method} {path} HTTP/1.1", "Host: test"]
        if self.key:
            lines.append(f"Authorization: Bearer {self.key}")
        lines += headers
        data = b""
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            lines += ["Content-Type: application/json", f"Content-Length: {len(data)}"]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + data

    def send(self, data):
        self.connection.sendall(data)

    def hear(self):
        """The next answer. Raises Gone."""
        while (found := parse(self.heard)) is None:
            try:
                piece = self.connection.recv(65536)
            except (ConnectionError, ssl.SSLError):
                raise Gone(self.heard, True) from None
            if not piece:
                raise Gone(self.heard, False)
            self.heard += piece
        answer, self.heard = found
        return answer

    def ask(self, *what, **more):
        self.send(self.request(*what, **more))
        return self.hear()

    def rest(self):
        """All until the close."""
        with contextlib.suppress(ConnectionError):
            while piece := self.connection.recv(65536):
                self.heard += piece
        return self.heard


# ---- Servers ----


class Server:
    """A server that runs; killed at the end of a 'with' if it still does."""

    running = []

    def __init__(self, work, name, *options, files=None, environment=()):
        self.work, self.name, self.data = work, name, work / f"data-{name}"
        self.log = open(work / f"{name}.err", "a+b")
        limit = ["prlimit", f"--nofile={files}"] if files else []
        self.process = subprocess.Popen(
            limit + [str(BUILD / "personakit"), "serve", "--listen", "127.0.0.1:0",
                     "--data", str(self.data), *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log,
            env=dict({k: v for k, v in os.environ.items() if not k.startswith("PERSONAKIT_")},
                     **dict(environment)))
        self.running.append(self)
        try:
            self.address = self.wait_ready()
        except BaseException:
            self.stop()
            raise
        self.key = (self.data / "admin.key").read_text(encoding="ascii").strip()

    def wait_ready(self):
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE_S)
        line = self.process.stdout.readline().decode() if ready else ""
        if not line.startswith("ready http://"):
            raise RuntimeError(f"no server: {line!r} {self.said()}")
        host, _, port = line.strip().removeprefix("ready http://").rpartition(":")
        return host, int(port)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def pid(self):
        return self.process.pid

    def said(self):
        return pathlib.Path(self.log.name).read_text(encoding="utf-8", errors="replace")

    def listens(self, what):
        """Where it listens for 'all' or 'operations', from its log; the last."""
        rows = [json.loads(line) for line in self.said().splitlines() if '"listening"' in line]
        text = [row["address"] for row in rows if row["for"] == what][-1]
        host, _, port = text.rpartition("//")[2].rpartition(":")
        return host, int(port)

    def dial(self, key=True, address=None, buffer_bytes=0, source=None, patience_s=PATIENCE_S,
             trusted=None):
        """Connects, in 'patience_s'; 'key' True: the admin's; 'trusted': by TLS, as 'localhost'."""
        connection = socket.socket()
        try:
            if buffer_bytes:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
            if source:
                connection.bind((source, 0))
            connection.settimeout(patience_s)
            connection.connect(address or self.address)
            connection.settimeout(PATIENCE_S)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if trusted:
                context = ssl.create_default_context(cafile=trusted)
                connection = context.wrap_socket(connection, server_hostname="localhost")
        except BaseException:
            connection.close()
            raise
        return Client(connection, self.key if key is True else key)

    def status_kib(self, field):
        """A field of /proc/PID/status: 'VmRSS', 'RssAnon'."""
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text("ascii").splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1])
        return 0

    def cpu_s(self):
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, seconds=PATIENCE_S):
        """The exit code; None: it still runs."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.log.close()
        self.running.remove(self)
        with contextlib.suppress(OSError):
            os.unlink(f"/dev/shm/mongoc-{self.process.pid}")  # libmongoc's counters.


# ---- Figures ----


def wait_at(times, share):
    """How long who comes at a random moment waits at most, in this share of the moments. Of the
    requests themselves only one would notice that a server stood still for long."""
    left = (1 - share) * sum(times)  # Of the time: who comes then waits longer.
    most = 0
    for count, (time_ms, longer) in enumerate(zip(times[::-1], [*times[-2::-1], 0]), 1):
        most += time_ms
        if (wait := (most - left) / count) >= longer:
            return wait
    return 0


def measure(server, requests, path="/v1/actors/self", beside=()):
    """p50 of the requests and p99 of the moments (wait_at) in ms, and the CPU in us, of the server
    and those beside it, for each of so many requests, one after the other."""
    times = []
    cpu = sum(one.cpu_s() for one in (server, *beside))
    with server.dial() as client:
        data = client.request("GET", path)
        for _ in range(requests):
            begun = time.perf_counter()
            client.send(data)
            answer = client.hear()
            times.append(1000 * (time.perf_counter() - begun))
            if answer.status != 200:
                raise RuntimeError(f"the normal client hears {answer}")
    times.sort()
    return (times[len(times) // 2], wait_at(times, 0.99),
            1e6 * (sum(one.cpu_s() for one in (server, *beside)) - cpu) / requests)


def measure_often(windows, *what, **more):
    """The medians of so many 'measure', and the mean of their CPU, which is counted coarsely."""
    rows = list(zip(*(measure(*what, **more) for _ in range(windows))))
    return statistics.median(rows[0]), statistics.median(rows[1]), statistics.mean(rows[2])


def compare(tap, name, alone, loaded):
    """Rounds by turns, without and with a load: the p99 of the two that agree best. What else the
    machine does is in one round or the other; what the server does wrong is in all with a load.
    Returns the mean CPU of both."""
    best = min(zip(alone, loaded), key=lambda pair: pair[1][1] - 2 * pair[0][1])
    cpu = [statistics.mean(row[2] for row in rows) for rows in (alone, loaded)]
    tap.note("p50 %.3f %.3f ms, p99 %.3f %.3f ms, CPU %.0f %.0f us" % (
        best[0][0], best[1][0], best[0][1], best[1][1], *cpu))
    tap.check(name, best[1][1] < 2 * best[0][1] + SLACK_MS, alone, loaded)
    return cpu


def metric(server, beginning):
    """The sum of all series of /metrics whose line begins so."""
    with server.dial() as client:
        text = client.ask("GET", "/metrics").body.decode()
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines()
               if line.startswith(beginning))


def connections(server):
    return int(metric(server, "personakit_net_connections{"))
