#!/usr/bin/env python3
# http_corpus.py - Requests that two servers could read differently, and what we must do.
#
#     http_corpus.py HOST PORT
#     http_corpus.py HOST PORT CERTIFICATE     over TLS, trusting that PEM file alone
#     http_corpus.py unix:/PATH
#
# Each is sent whole, in pieces of 7 bytes and byte by byte, and must meet the same end each time:
#
#     R  refused: one 4xx answer, then the connection is closed, nothing behind it is interpreted
#     A  accepted: an answer that is no 400, and the connection serves the next request
#     N  neutral: either, but never an answer to what was smuggled
#
# Prints TAP. Python's own HTTP client would mend such requests, so plain sockets are used.
#
# SPDX-License-Identifier: MIT
import contextlib
import socket
import ssl
import sys

HOST = b"Host: a\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
PATIENCE_S = 5


def get(headers, host=HOST, line=b"GET / HTTP/1.1\r\n"):
    return line + host + headers + b"\r\n"


def post(headers, body=b""):
    return b"POST /p HTTP/1.1\r\n" + HOST + headers + b"\r\n" + body


def chunk(size):
    return post(CHUNKED, size + b"\r\nabc\r\n0\r\n\r\n")


CASES = [
    ("plain GET", "A", get(b"")),
    ("POST with a length", "A", post(b"Content-Length: 3\r\n", b"abc")),
    ("POST in chunks", "A", post(CHUNKED, b"3\r\nabc\r\n0\r\n\r\n")),
    ("chunk extension", "A", post(CHUNKED, b"3;a=b\r\nabc\r\n0\r\n\r\n")),
    ("harmless trailer", "A", post(CHUNKED, b"3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n")),
    ("two spaces before the target", "N", b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("trailer with credentials", "N",
     post(CHUNKED, b"0\r\nAuthorization: Bearer x\r\n\r\n")),
    ("bytes behind Connection: close", "N",
     b"GET / HTTP/1.1\r\nConnection: close\r\n" + HOST + b"\r\nInvalid\r\n\r\n"),
    # Length and encoding together, or twice.
    ("length, then chunked", "R",
     post(b"Content-Length: 5\r\n" + CHUNKED, b"0\r\n\r\n" + SMUGGLED)),
    ("chunked, then length", "R",
     post(CHUNKED + b"Content-Length: 5\r\n", b"0\r\n\r\n" + SMUGGLED)),
    ("two lengths", "R", post(b"Content-Length: 0\r\nContent-Length: 32\r\n", SMUGGLED)),
    ("the same length twice", "R",
     post(b"Content-Length: 3\r\nContent-Length: 3\r\n", b"abc")),
    ("a list of lengths", "R", post(b"Content-Length: 0, 32\r\n", SMUGGLED)),
    ("an empty length", "R", post(b"Content-Length: \r\n", SMUGGLED)),
    ("an empty length and another", "R",
     post(b"Content-Length: \r\nContent-Length: 32\r\n", SMUGGLED)),
    ("space before the colon of the length", "R", post(b"Content-Length : 3\r\n", b"abc")),
    ("tab before the colon of the length", "R", post(b"Content-Length\t: 3\r\n", b"abc")),
    ("length without a colon", "R", post(b"Content-Length 3\r\n", b"abc")),
    ("a high byte in the length's name", "R", post(b"Content-Length\x85: 3\r\n", b"abc")),
    # Transfer-Encoding that is not exactly 'chunked'.
    ("space before the colon of the encoding", "R",
     post(b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n")),
    ("encoding twice", "R", post(CHUNKED + CHUNKED, b"0\r\n\r\n")),
    ("folded encoding", "R", post(b"Transfer-Encoding:\r\n chunked\r\n", b"0\r\n\r\n")),
    ("encoding with a broken name", "R",
     post(b"Transfer-\r\nEncoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n")),
    ("encoding on HTTP/1.0", "R",
     b"POST / HTTP/1.0\r\n" + CHUNKED + b"Connection: keep-alive\r\n\r\n0\r\n\r\n" + SMUGGLED),
    ("identity and a length", "R",
     post(b"Transfer-Encoding: identity\r\nContent-Length: 3\r\n", b"abc")),
    ("gzip, chunked and a length", "R",
     post(b"Transfer-Encoding: gzip, chunked\r\nContent-Length: 5\r\n",
          b"0\r\n\r\n" + SMUGGLED)),
    ("comma, chunked and a length", "R",
     post(b"Transfer-Encoding: ,chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n")),
    # Header lines.
    ("folded header", "R", get(b"X: a\r\n b\r\n")),
    ("white space before the first header", "R",
     b"GET / HTTP/1.1\r\n\tContent-Length: 1\r\n" + HOST + b"\r\nX"),
    ("lines end with LF", "R", b"GET / HTTP/1.1\nHost: a\n\n"),
    ("a header ends with LF", "R",
     b"GET / HTTP/1.1\r\nX: 1\nContent-Length: 3\r\n" + HOST + b"\r\nabc"),
    ("CR within a value", "R",
     b"GET / HTTP/1.1\r\nX: a\rContent-Length: 3\r\n" + HOST + b"\r\nabc"),
    ("NUL in a value", "R", get(b"User: admin\x00ignored\r\n")),
    ("NUL in a name", "R", get(b"Us\x00er: admin\r\n")),
    ("control character in a value", "R", get(b"X: a\x01b\r\n")),
    ("DEL in a value", "R", get(b"X: a\x7fb\r\n")),
    ("empty name", "R", get(b": x\r\n")),
    ("high byte in a name", "R", get(b"\xffoo: x\r\n")),
    ("parenthesis in a name", "R", get(b"F(o: x\r\n")),
    ("header without a colon", "R", get(b"foobar\r\n")),
    # Host.
    ("no Host", "R", b"GET / HTTP/1.1\r\n\r\n"),
    ("two Hosts", "R", get(b"Host: b\r\n")),
    ("Host with a space", "R", get(b"", host=b"Host: a b\r\n")),
    ("Host with NUL", "R", get(b"", host=b"Host: a.com\x00.b\r\n")),
    # The request line.
    ("HTTP/0.9", "R", b"GET /\r\n\r\n"),
    ("HTTP/0.9 with headers", "R", b"GET /x\nHost: a\r\nContent-Length: 5\r\n\r\nhello"),
    ("tabs in the request line", "R", get(b"", line=b"GET\t/\tHTTP/1.1\r\n")),
    ("space in the target", "R", get(b"", line=b"GET /a b HTTP/1.1\r\n")),
    ("NUL in the target", "R", get(b"", line=b"GET /a\x00b HTTP/1.1\r\n")),
    ("CR in the target", "R", get(b"", line=b"GET /a\rb HTTP/1.1\r\n")),
    ("a target that is no path", "R", get(b"", line=b"GET ! HTTP/1.1\r\n")),
    ("lower-case method", "R", get(b"", line=b"get / HTTP/1.1\r\n")),
    ("method of odd characters", "R", get(b"", line=b'G=":<>(e),[T];?" / HTTP/1.1\r\n')),
    ("CONNECT", "R", get(b"", line=b"CONNECT a:80 HTTP/1.1\r\n")),
    ("Upgrade", "R", get(b"Connection: upgrade\r\nUpgrade: websocket\r\n") + SMUGGLED),
    # Chunks.
    ("chunk size line ends with LF", "R", post(CHUNKED, b"3\nabc\r\n0\r\n\r\n")),
    ("chunk data ends with LF", "R", post(CHUNKED, b"3\r\nabc\n0\r\n\r\n")),
    ("chunk data without an end", "R", post(CHUNKED, b"3\r\nabc0\r\n\r\n")),
    ("junk behind chunk data", "R", post(CHUNKED, b"3\r\nabcXX0\r\n\r\n")),
    ("last chunk -0", "R", post(CHUNKED, b"-0\r\n\r\n" + SMUGGLED)),
    ("last chunk 0x0", "R", post(CHUNKED, b"0x0\r\n\r\n" + SMUGGLED)),
    ("length as a trailer", "R", post(CHUNKED, b"0\r\nContent-Length: 9\r\n\r\n")),
    ("request as a trailer", "R", post(CHUNKED, b"0\r\nX:POST / HTTP/1.1\n\r\n")),
]
CASES += [("length '%s'" % v.decode("latin-1"), "R",
           post(b"Content-Length:" + v + b"\r\n", b"abc"))
          for v in (b" +3", b" -1", b" 0x3", b" 3Z", b" 3 4", b" 18446744073709551619",
                    b" 3\x00", b"\x0b3")]
CASES += [("encoding '%s'" % v.decode("latin-1"), "R",
           post(b"Transfer-Encoding:" + v + b"\r\n", b"0\r\n\r\n" + SMUGGLED))
          for v in (b" gzip, chunked", b" chunked, gzip", b" blegh", b" xchunked",
                    b" chunked, chunked", b" chunked;q=1", b"\x0bchunked", b" \xa0chunked",
                    b" chunked\x00", b' "chunked"')]
CASES += [("version '%s'" % v.decode(), "R", get(b"", line=b"GET / " + v + b"\r\n"))
          for v in (b"HTTP/1.32", b"HTTP/2.0", b"HTTP/4294967295.255", b"http/1.1",
                    b"HTTP/1.1 x")]
CASES += [("chunk size '%s'" % v.decode(), "R", chunk(v))
          for v in (b"0x3", b"+3", b"-3", b" 3", b"\t3", b"0_3", b"3Z", b"3 Z", b"", b"Z",
                    b"10000000000000003", b"8000000000000000", b"3;a\nb", b"3;a\rb",
                    b"3;a\x00b", b"3\r\r;a", b"3 ")]


def hear(connection, until_closed):
    """What comes back: up to the close, or up to one whole answer."""
    heard = b""
    while True:
        head, found, body = heard.partition(b"\r\n\r\n")
        if found and not until_closed:
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            if len(body) >= length:
                return heard, False
        try:
            piece = connection.recv(65536)
        except (ConnectionResetError, ssl.SSLEOFError):
            return heard, True
        except socket.timeout:
            return heard, False
        if not piece:
            return heard, True
        heard += piece


def send(connection, raw, size):
    try:
        for at in range(0, len(raw), size):
            connection.sendall(raw[at:at + size])
    except OSError:
        pass  # Closed early: what was answered before counts.


@contextlib.contextmanager
def dial(where):
    """A connection to 'HOST PORT', 'HOST PORT CERTIFICATE' or 'unix:/PATH'."""
    if where[0].startswith("unix:"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(PATIENCE_S)
            connection.connect(where[0][len("unix:"):])
            yield connection
        return
    with socket.create_connection((where[0], int(where[1])), PATIENCE_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if len(where) == 2:
            yield connection
            return
        context = ssl.create_default_context(cafile=where[2])
        with context.wrap_socket(connection, server_hostname="localhost") as secure:
            yield secure


def verdict(where, raw, expect, size):
    """Empty when all is well, else what is wrong."""
    with dial(where) as connection:
        send(connection, raw, size)
        heard, is_closed = hear(connection, until_closed=expect == "R")
        status = heard[9:12]
        if b"smuggled" in heard or (expect != "A" and heard.count(b"HTTP/1.1 ") > 1):
            return "what was smuggled is answered: %r" % heard
        if expect == "R" and not (status.startswith(b"4") and is_closed and status != b"404"):
            return "not refused and closed: %r" % heard
        if expect == "A":
            if status == b"400":
                return "refused: %r" % heard
            send(connection, b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", size)
            heard, is_closed = hear(connection, until_closed=False)
            if heard[9:12] != b"200":
                return "the connection does not go on: %r" % heard
    return ""


def main():
    where = sys.argv[1:]
    failed = 0
    print("1..%d" % len(CASES))
    for number, (name, expect, raw) in enumerate(CASES, 1):
        wrong = ""
        for size in (len(raw), 7, 1):
            wrong = wrong or verdict(where, raw, expect, size)
        name = name.encode("unicode_escape").decode().replace("#", " ")
        print("%sok %d - %s %s" % ("not " if wrong else "", number, {
            "R": "refused:", "A": "accepted:", "N": "harmless:"}[expect], name))
        if wrong:
            failed += 1
            print("# " + wrong)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
