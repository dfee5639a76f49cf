#!/usr/bin/env python3
"""schemas.py - The JSON Schema of every schema says what the server's own check does.

    schemas.py PROGRAM [MUTATIONS] [SEED]

PROGRAM is tests/e2e/api/schemas.c. Each JSON Schema is checked against the meta-schema;
documents that fit must be valid on both sides; and mutated ones must be refused by one exactly
when the other refuses them. Prints TAP.
"""
# SPDX-License-Identifier: MIT
import collections
import copy
import json
import random
import re
import subprocess
import sys

import jsonschema

# What a value may be turned into. No characters of several bytes near a limit, and no days that a
# month has not: JSON Schema cannot say those (core/doc/json_schema.h).
VALUES = [
    None, True, False, 0, 1, -1, 5.0, 0.5, -0.25, 1.5, 1e300, 2 ** 53, 2 ** 53 - 1, -(2 ** 63), 2 ** 63 - 1,
    "", "a", "A", " ", "a b", "a.b", "a/b", "a..b", "/a", "a@b.c", "a@b", "@b.c", "a@.b", "a@b.", "a@b@c.d",
    "1.2.3", "1.2", "01.2.3", "1.2.3-rc.1+5", "1.2.3-01", "1.2.3-", "draft", "active", "low", "HIGH", "Instant",
    "instant", "high", "x" * 64, "x" * 65, "x" * 200, "x" * 201, "f" * 64, "F" * 64, "\n", "a\n", "ä", "Ω@ω.gr",
    "9b2f4d6e-0c1a-4b7e-8f3d-2a5c6e7f8091", "9B2F4D6E-0C1A-4B7E-8F3D-2A5C6E7F8091",
    "9b2f4d6e-0c1a-1b7e-8f3d-2a5c6e7f8091", "v_20260131093000_ab", "v_2026013109300_ab",
    "2026-01-31T09:30:00Z", "2026-01-31T09:30:00.123456789+01:00", "2026-01-31T09:30:00", "2026-01-31",
    "2026-01-31 09:30:00Z", "2026-13-31T09:30:00Z", "2026-01-31T24:00:00Z", "2026-01-31T09:30:60Z",
    "2026-01-31t09:30:00z", "2026-01-31T09:30:00.1234567890Z", "2026-01-31T09:30:00+24:00",
    "AA==", "AB==", "AAA=", "AAB=", "AAAA", "AAA", "A===", "AAAA=", "-_-_", [], {}, [None], [1], ["a"], {"a": 1},
    {"a": None}, {"": {}}, {"a.b": {"$c": []}}, [[]], [{}],
]


def places(value, found, holder=None, key=None):
    """Every place of a document: (holder, key)."""
    if holder is not None:
        found.append((holder, key))
    if isinstance(value, dict):
        for name in value:
            places(value[name], found, value, name)
    elif isinstance(value, list):
        for index in range(len(value)):
            places(value[index], found, value, index)
    return found


def twist(value, dice):
    """Something near the value."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return dice.choice([value + 1, -value, value * 1000, value + 0.5, str(value)])
    if isinstance(value, str):
        at = dice.randrange(len(value) + 1)
        return dice.choice([value[:at] + value[at + 1:], value[:at] + dice.choice("aZ0.:/-_@ \n~+=") + value[at:],
                            value.upper(), value + value, value[:at]])
    if isinstance(value, list):
        return dice.choice([value * 2, value[:-1], value + [None], value + [{}], value * 700])
    if isinstance(value, dict):
        return {**value, dice.choice(["unknown", "_id", "a.b", "$a"]): dice.choice([1, None, "x"])}
    return 1


def mutate(document, dice):
    document = copy.deepcopy(document)
    for _ in range(dice.choice([1, 1, 1, 2, 3])):
        found = places(document, [])
        how = dice.random()
        if not found or how < 0.05:
            document[dice.choice(["unknown", "a.b", ""])] = dice.choice(VALUES)
            continue
        holder, key = dice.choice(found)
        if how < 0.2:
            del holder[key]
        elif how < 0.6:
            holder[key] = copy.deepcopy(dice.choice(VALUES))
        else:
            holder[key] = twist(holder[key], dice)
    return document


def pattern(_, expression, instance, __):
    """As ECMA 262 reads it: '$' is the end, and not before a last newline, too."""
    if isinstance(instance, str) and not re.search(re.sub(r"\$$", r"\\Z", expression), instance):
        yield jsonschema.ValidationError("%r does not match %r" % (instance, expression))


Validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"pattern": pattern})


class Judge:
    """The server's own check."""

    def __init__(self, program):
        self.process = subprocess.Popen([program, "check"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, number, document):
        self.process.stdin.write("%d %s\n" % (number, json.dumps(document)))
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()


def is_declared(error, said):
    """True for a difference that json_schema.h names: an enumeration taken in any case."""
    return said == "yes" and error is not None and error.validator == "enum" and \
        error.schema.get("x-any-case") and str(error.instance).lower() in error.schema["enum"]


def compare(judge, number, entry, document):
    """Empty when both say the same."""
    said = judge.ask(number, document)
    errors = list(entry["validator"].iter_errors(document))
    if (said == "yes") == (not errors):
        return "", said
    if errors and all(is_declared(innermost(error), said) for error in errors):
        return "", said
    first = innermost(errors[0]) if errors else None
    return "ours: %s; theirs: %s; %s" % (
        said, "%s at %s" % (first.message[:200], list(first.absolute_path)) if first else "valid",
        json.dumps(document)[:300]), said


def innermost(error):
    """Behind an 'anyOf' of something or null: what is wrong with the something."""
    while error.validator == "anyOf" and error.context:
        error = error.context[0]
    return error


def main():
    program, mutations = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 8000
    dice = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    listed = subprocess.run([program, "list"], check=True, stdout=subprocess.PIPE, text=True).stdout
    entries = [json.loads(line) for line in listed.splitlines()]
    judge = Judge(program)
    print("1..%d" % (len(entries) + 1))
    verdicts = collections.Counter()
    failed = 0
    for number, entry in enumerate(entries):
        wrong = []
        for side in ("in", "out"):
            Validator.check_schema(entry[side])
            validator = Validator(entry[side])
            wrong += ["fits, and is refused (%s): %s" % (side, error.message[:300])
                      for document in entry["fit"] for error in validator.iter_errors(document)]
        entry["validator"] = Validator(entry["in"])
        for _ in range(mutations // len(entries)):
            difference, said = compare(judge, number, entry, mutate(dice.choice(entry["fit"]), dice))
            verdicts[said == "yes"] += 1
            wrong += [difference] if difference else []
        print("%sok %d - %s" % ("not " if wrong else "", number + 1, entry["name"]))
        print("".join("# %s\n" % line for line in wrong[:3]), end="")
        failed += bool(wrong)
    fair = min(verdicts[True], verdicts[False]) > mutations / 50
    print("%sok %d - mutations of both kinds: %d taken, %d refused" % (
        "" if fair else "not ", len(entries) + 1, verdicts[True], verdicts[False]))
    return 1 if failed or not fair else 0


sys.exit(main())
