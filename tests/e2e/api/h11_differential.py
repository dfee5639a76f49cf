#!/usr/bin/env python3
"""h11_differential.py - Two parsers, one meaning: the server's and h11 on requests that are nearly right.

    h11_differential.py HOST PORT [MUTATIONS] [SEED]

Legal requests (tests/e2e/http_corpus.py has some) are mutated by a few bytes or lines, and given
to h11 and to a real server. What comes out is a word with a letter for each request: 'A' taken,
'R' refused, '.' waiting for more. Where the words differ, a declared difference of policy must
explain it (DECLARED), or the case fails. Prints TAP.
"""
# SPDX-License-Identifier: MIT
import collections
import os
import random
import re
import socket
import sys

import h11

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import http_corpus  # noqa: E402  The path comes first.

PATIENCE_S = 10
REQUESTS_MAX = 6  # Behind one another in one mutation.

HOST = b"Host: a\r\n"
LEGAL = [raw for _, expect, raw in http_corpus.CASES if expect == "A"] + [
    b"GET /healthz HTTP/1.1\r\n" + HOST + b"Accept: */*\r\nUser-Agent: x/1 (y; z)\r\n\r\n",
    b"GET /v1/a/b%20c?x=1&y=%C3%A4 HTTP/1.1\r\n" + HOST + b"\r\n",
    b"HEAD /p HTTP/1.1\r\nHost: example.org:8077\r\n\r\n",
    b"GET /p HTTP/1.0\r\n\r\n",
    b"GET /p HTTP/1.0\r\n" + HOST + b"Connection: keep-alive\r\n\r\nGET /q HTTP/1.1\r\n" + HOST + b"\r\n",
    b"DELETE /p HTTP/1.1\r\nHost: [::1]:80\r\nConnection: close\r\n\r\n",
    b"OPTIONS /p HTTP/1.1\r\n" + HOST + b"Origin: http://x\r\n\r\n",
    b"PUT /p HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n",
    b"PATCH /p HTTP/1.1\r\n" + HOST + b"content-type: application/json\r\ncontent-length:2\r\n\r\n{}",
    b"POST /p HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: Chunked\r\n\r\nA\r\n0123456789\r\n1\r\nx\r\n00\r\nX: y\r\n\r\n",
    b"POST /p HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabcGET /q HTTP/1.1\r\n" + HOST + b"\r\n",
    b"POST /p HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nPOST /q HTTP/1.1\r\n"
    + HOST + b"Content-Length: 1\r\n\r\nxGET /r HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET http://a/p HTTP/1.1\r\n" + HOST + b"\r\n",
]
LINES = [
    b"Content-Length: 3\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n", b"Transfer-Encoding: gzip, chunked\r\n", b"Host: b\r\n", b"Host: a\r\n",
    b"Host:\r\n", b"Connection: close\r\n", b"Connection: keep-alive, x\r\n", b"Upgrade: h2c\r\n", b"TE: trailers\r\n",
    b"Expect: 100-continue\r\n", b"Expect: 200-ok\r\n", b" folded\r\n", b"X: \x00\r\n", b"X: a\tb\r\n", b"X:\xff\r\n",
    b"X\r\n", b": y\r\n", b"X : y\r\n", b"X: y\n", b"\r\n", b"\n", b"X:\r\n", b"Trailer: X\r\n",
]
BYTES = [b"\r", b"\n", b"\r\n", b"\x00", b" ", b"\t", b":", b";", b",", b"0", b"1", b"9", b"A", b"f", b"/", b"?", b"#",
         b"%", b"%00", b"%2e", b"..", b"-", b"+", b"_", b"\"", b"(", b"@", b"[", b"\\", b"\x0b", b"\x7f", b"\x80",
         b"\xa0", b"\xff", b"*", b"GET", b"HTTP/1.1", b"=", b"'"]


def mutate(dice):
    raw = dice.choice(LEGAL)
    for _ in range(dice.choice([1, 1, 1, 2, 2, 3])):
        at = dice.randrange(len(raw) + 1)
        how = dice.randrange(8)
        if how == 0:
            raw = raw[:at] + raw[at + 1:]
        elif how == 1:
            raw = raw[:at] + dice.choice(BYTES) + raw[at + 1:]
        elif how == 2:
            raw = raw[:at] + dice.choice(BYTES) + raw[at:]
        elif how == 3:
            raw = raw[:at] + bytes([dice.randrange(256)]) + raw[at + 1:]
        elif how == 4:
            end = at + dice.randrange(1, 12)
            raw = raw[:at] + raw[end:]
        elif how == 5:
            end = at + dice.randrange(1, 24)
            raw = raw[:end] + raw[at:]
        else:
            lines = raw.split(b"\r\n")
            place = dice.randrange(len(lines))
            if how == 6:
                raw = b"\r\n".join(lines[:place]) + b"\r\n" + dice.choice(LINES) + b"\r\n".join(lines[place:])
            else:
                other = dice.randrange(len(lines))
                lines[place], lines[other] = lines[other], lines[place]
                raw = b"\r\n".join(lines)
    return raw


# ---- The two verdicts ----

class Theirs:
    """What h11 makes of the bytes: the word, the heads it has seen, and the error that ended it."""

    def __init__(self, raw):
        self.word, self.error, self.heads, self.is_in_body = "", "", [], False
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=65536)
        connection.receive_data(raw)
        try:
            while len(self.word) < REQUESTS_MAX and self.step(connection):
                pass
        except h11.RemoteProtocolError as error:
            self.error = str(error)
            # Once it is to be closed, we do not look at what still comes, either.
            self.word += "R" if self.error != "Got data when expecting EOF" else ""

    def step(self, connection):
        """False when there is no more to come."""
        event = connection.next_event()
        if isinstance(event, h11.Request):
            self.heads.append(event)
        if isinstance(event, h11.EndOfMessage):
            self.word += "A"
            connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
            connection.send(h11.EndOfMessage())
            if connection.our_state is h11.DONE and connection.their_state is h11.DONE:
                connection.start_next_cycle()
            return True
        self.is_in_body = connection.their_state is h11.SEND_BODY
        if event is h11.NEED_DATA and (self.is_in_body or connection.trailing_data[0]):
            self.word += "."
        return event is not h11.NEED_DATA and not isinstance(event, h11.ConnectionClosed)

    def head(self, ours):
        """The head of the request that we refused, if h11 has taken it."""
        at = len(ours) - 1
        return self.heads[at] if 0 <= at < len(self.heads) else None


REFUSALS = re.compile(rb'"code":"(malformed_\w+|unsupported_(?:version|method)|target_too_long|headers_too_large|'
                      rb'upgrade_refused|expectation_failed|body_too_large|request_timeout)"')


# An answer to HEAD has no body that would say the code.
REFUSED = (b"400", b"413", b"414", b"417", b"431", b"501", b"505")


def ask_server(address, raw):
    """The word, and the code that ended it. The code is in the body: for HEAD, GET is asked."""
    with socket.create_connection(address, PATIENCE_S) as connection:
        heard = b""
        try:
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65536):
                heard += piece
        except (ConnectionResetError, BrokenPipeError):
            pass
    word, code = "", ""
    for answer in re.split(rb"(?=HTTP/1\.1 [1-5][0-9][0-9] )", heard)[1:]:
        if answer[9:10] == b"1":
            continue
        found = REFUSALS.search(answer)
        word += "R" if found or answer[9:12] in REFUSED else "A"
        code = found.group(1).decode() if found else code
    if word.endswith("R") and not code and b"HEAD " in raw:
        return word, ask_server(address, raw.replace(b"HEAD ", b"GET "))[1]
    return word, code


# ---- What we do otherwise, on purpose ----

# (name, why, test of (raw, our word, our code, Theirs)); the first that fits explains.
DECLARED = []
METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS")
POLICY = {
    "malformed_target": "targets with dot segments, NUL, fragments, or that are no path are refused",
    "malformed_host": "a Host that is no name or address is refused",
    "malformed_transfer_encoding": "Transfer-Encoding must be exactly 'chunked', once, on HTTP/1.1",
    "malformed_trailer": "headers that frame a message are refused behind the body",
    "unsupported_version": "HTTP/1.2 to 1.9 are not spoken",
    "upgrade_refused": "Upgrade and CONNECT are refused",
    "expectation_failed": "only 100-continue can be expected",
    "body_too_large": "a body is refused where the route takes none or none so large",
}


def declared(name, why):
    def add(function):
        DECLARED.append((name, why, function))
        return function
    return add


def by_code(code):
    declared(code, POLICY[code])(lambda raw, ours, given, theirs: ours.endswith("R") and given == code)


for each in POLICY:
    by_code(each)


def is_refused_early(ours, code, theirs):
    """We refuse what h11 takes or waits for, and llhttp's grammar is why."""
    return code == "malformed_request" and ours.endswith("R") and \
        (theirs.word + ".")[len(ours) - 1:][:1] in ("A", ".")


@declared("line end", "a line that ends with LF alone is refused")
def _(raw, ours, code, theirs):
    return is_refused_early(ours, code, theirs) and re.search(rb"(?<!\r)\n", raw)


@declared("method", "a method that llhttp does not know is refused")
def _(raw, ours, code, theirs):
    head = theirs.head(ours)
    return is_refused_early(ours, code, theirs) and head and head.method not in METHODS


@declared("target", "a target that is neither a path nor a URL is refused")
def _(raw, ours, code, theirs):
    head = theirs.head(ours)
    return is_refused_early(ours, code, theirs) and head and not re.match(rb"/|[a-z]+://[\w.:@\[\]-]+(?:/|$)", head.target)


@declared("folding", "a header that goes on in the next line is refused (RFC 9112, 5.2)")
def _(raw, ours, code, theirs):
    return is_refused_early(ours, code, theirs) and re.search(rb"\r\n[ \t]", raw)


@declared("control", "a control character in a header is refused, h11 lets most of them pass")
def _(raw, ours, code, theirs):
    return is_refused_early(ours, code, theirs) and re.search(rb"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]", raw)


@declared("version", "another version than 1.0 and 1.1 is refused")
def _(raw, ours, code, theirs):
    head = theirs.head(ours)
    return is_refused_early(ours, code, theirs) and head and head.http_version not in (b"1.0", b"1.1")


@declared("length", "a Content-Length that comes twice is refused, h11 takes equal ones")
def _(raw, ours, code, theirs):
    return is_refused_early(ours, code, theirs) and len(re.findall(rb"(?i)\r\ncontent-length:", raw)) > 1


@declared("length and encoding", "Content-Length with Transfer-Encoding is refused, h11 goes by the encoding")
def _(raw, ours, code, theirs):
    return is_refused_early(ours, code, theirs) and \
        re.search(rb"(?i)\r\ncontent-length:", raw) and re.search(rb"(?i)\r\ntransfer-encoding:", raw)


@declared("tab", "a tab behind Content-Length or Transfer-Encoding is refused, though RFC 9110 allows it")
def _(raw, ours, code, theirs):
    return is_refused_early(ours, code, theirs) and \
        re.search(rb"(?i)\n(?:content-length|transfer-encoding):[^\n]*\t[ \t]*\r\n", raw)


@declared("trailer", "Transfer-Encoding is refused behind the body")
def _(raw, ours, code, theirs):
    return is_refused_early(ours, code, theirs) and \
        re.search(rb"(?i)\n0+\r\n(?:[^\r\n]+\r\n)*transfer-encoding:", raw)


@declared("extension", "a chunk's size is followed by tokens and quoted texts only, h11 takes anything")
def _(raw, ours, code, theirs):
    return is_refused_early(ours, code, theirs) and \
        re.search(rb"(?i)chunked.*\n[0-9a-f]+(?:[ \t]+\r|[ \t]*;[^\n]*)\n", raw, re.DOTALL)


@declared("spaces", "the parts of a request line may have more than one space between (RFC 9112, 3)")
def _(raw, ours, code, theirs):
    return theirs.error.startswith("illegal request line") and ours.startswith(theirs.word[:-1]) and \
        re.search(rb"[A-Z]  +[^ ]|[^ ]  +HTTP/", raw)


@declared("first byte", "h11 looks at a line or a head once it is whole, we refuse it at the first wrong byte")
def _(raw, ours, code, theirs):
    waits = theirs.word == ours[:-1] + "."
    return is_refused_early(ours, code, theirs) and waits and (theirs.is_in_body or not theirs.head(ours))


@declared("keep-alive", "HTTP/1.0 with keep-alive may go on, h11 closes")
def _(raw, ours, code, theirs):
    last = theirs.heads[len(theirs.word) - 1:][:1]
    return ours.startswith(theirs.word) and last and last[0].http_version == b"1.0" and \
        any(name == b"connection" and b"keep-alive" in value.lower() for name, value in last[0].headers)


@declared("empty lines", "empty lines before a request, of CR and LF in any order, are skipped (RFC 9112, 2.2)")
def _(raw, ours, code, theirs):
    is_empty = theirs.error == "no request line received" or \
        re.match(r"illegal request line: bytearray\(b'\\r", theirs.error) or \
        (theirs.error == "illegal request line" and re.search(rb"(?:^|\n|\w)\r(?!\n)", raw))
    return is_empty and ours.startswith(theirs.word[:-1])


def main():
    address = (sys.argv[1], int(sys.argv[2]))
    mutations = int(sys.argv[3]) if len(sys.argv) > 3 else 5000
    dice = random.Random(int(sys.argv[4]) if len(sys.argv) > 4 else 1)
    seen, words, unexplained = collections.Counter(), collections.Counter(), []
    for raw in LEGAL + [mutate(dice) for _ in range(mutations)]:
        ours, code = ask_server(address, raw)
        theirs = Theirs(raw)
        words[ours] += 1
        if ours == theirs.word.rstrip("."):
            continue
        for name, _, function in DECLARED:
            if function(raw, ours, code, theirs):
                seen[name] += 1
                break
        else:
            unexplained.append("ours %s %s, theirs %s %s: %r" % (ours, code, theirs.word, theirs.error, raw))
    legal = [raw for raw in LEGAL if set(ask_server(address, raw)[0]) != {"A"}]
    print("1..%d" % (len(DECLARED) + 2))
    print("%sok %d - every legal request is taken" % ("not " if legal else "", len(DECLARED) + 2))
    for number, (name, why, _) in enumerate(DECLARED, 1):
        print("ok %d - declared: %s (%d): %s" % (number, name, seen[name], why))
    print("%sok %d - %d mutations, every difference is declared" % (
        "not " if unexplained else "", len(DECLARED) + 1, mutations))
    for line in unexplained[:int(os.environ.get("SHOW", "10"))]:
        print("# " + line)
    print("# %d unexplained; most frequent: %s" % (len(unexplained), words.most_common(8)))
    return 1 if unexplained or legal else 0


if __name__ == "__main__":
    sys.exit(main())
