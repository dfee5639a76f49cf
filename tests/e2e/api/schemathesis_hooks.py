"""schemathesis_hooks.py - What no schema can say, so what schemathesis may not hold against us.

Each row of DECLARED: the check's failure, the status, the field and the code of the problem, and
why it is right. What is not listed fails the run. So that valid requests come through, most of
them get what only the server can know: an actor and a key that are there (PK_ACTOR, PK_KEY), a
genuine cursor (PK_AFTER), a fresh Idempotency-Key, the current version.
"""
# SPDX-License-Identifier: MIT
import datetime
import json
import os
import random
import re
import time
import uuid

import requests
import schemathesis
from schemathesis import GenerationMode

DECLARED = [
    # Failure, status, field (or None), code, why.
    ("RejectedPositiveData", 400, "after", "invalid", "a cursor is what the server handed out, not any text"),
    ("RejectedPositiveData", 400, "cursor", "invalid", "a cursor is what the server handed out, not any text"),
    ("RejectedPositiveData", 412, "If-Match", "precondition_failed", "the version is another one"),
    ("RejectedPositiveData", 422, "Idempotency-Key", "idempotency_mismatch", "the key was used before"),
    ("RejectedPositiveData", 400, "expiresAt", "invalid", "the past is a date as well"),
    ("RejectedPositiveData", 400, "as_of", "invalid", "the future is a date as well"),
    ("RejectedPositiveData", 400, "feedback.ruleId", "invalid", "which rules fired, the persona says"),
    ("AcceptedNegativeData", 414, None, "target_too_long", "it is refused, before it is looked at"),
    ("AcceptedNegativeData", 431, None, "headers_too_large", "it is refused, before it is looked at"),
    ("AcceptedNegativeData", 413, None, "body_too_large", "it is refused, before it is looked at"),
    ("AcceptedNegativeData", 412, "If-Match", "precondition_failed", "it is refused for another reason first"),
]


DICE = random.Random(1)
THERE = {"actor": os.environ["PK_ACTOR"], "key": os.environ["PK_KEY"], "hash": os.environ["PK_HASH"],
         "mapper": "first", "processor": "second", "condition": "third", "version": "1.0.0",
         "person": os.environ["PK_PERSON"], "observation": os.environ["PK_OBSERVATION"],
         "task": os.environ["PK_TASK"], "feedback": os.environ["PK_FEEDBACK"], "trait": "work.a",
         "purpose": "research", "persona": f"first:{os.environ['PK_PERSON']}:instant"}
# What is decided once has one for each decision.
ONCE = {("actor", "/archive"): "PK_GONE", ("observation", "/approve"): "PK_WAITING", ("observation", "/reject"): "PK_UNWANTED",
        ("merge", "/undo"): "PK_MERGE", ("task", "/retry"): "PK_FAILED", ("task", "/discard"): "PK_LOST",
        ("review", "/approve"): "PK_REVIEW_1", ("review", "/decline"): "PK_REVIEW_2", ("review", "/undo"): "PK_REVIEW_3"}
REST = {"mapper": "core = function() return {} end", "processor": "accepts = { 'x' }, process = function() end",
        "condition": "test = function() return true end"}


def source(kind):
    """A script of that kind, in a version of its own."""
    version = f"2.{DICE.randrange(1000)}.{DICE.randrange(1000)}"
    return f"return require('personakit').{kind} {{ id = '{THERE[kind]}', version = '{version}', {REST[kind]} }}"


@schemathesis.serializer("text/x-lua")
def lua(context, value):
    """A file as it is."""
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else json.dumps(value).encode()


@schemathesis.serializer("application/x-ndjson")
def lines(context, value):
    """One of many, on a line of its own."""
    return json.dumps(value).encode() + b"\n"


def puts_script(case):
    return case.operation.method.lower() == "put" and any(name in REST for name in case.path_parameters or {})


def fill_body(case, kwargs):
    """Names what is there, in bodies that name something."""
    body = case.body
    if not isinstance(body, dict):
        return
    if case.operation.path == "/v1/personas/map":
        body.update(mapperId="first", personaId=THERE["person"], detailLevel="instant")
        body.pop("purpose", None)
    elif case.operation.path == "/v1/feedback":
        body.update(personaInstanceId=THERE["persona"])
        for name in ("actorId", "submittedBy", "mapperVersion", "personaInstanceId", "ruleId"):
            (body.get("feedback") or {}).pop(name, None)
    elif case.operation.path == "/v1/admin/replays":
        body.update(processor="second", version="1.0.0")
    elif case.operation.path == "/v1/mappers/{mapper}/train":
        body.pop("version", None)
    elif case.operation.path == "/v1/people/merge":
        body.update({"from": os.environ["PK_TWIN"], "into": os.environ["PK_SAME"]})
    else:
        return
    kwargs["json"] = body


@schemathesis.hook
def before_call(context, case, kwargs):
    meta = case.meta
    if meta is None or meta.generation.mode is not GenerationMode.POSITIVE or DICE.random() < 0.1:
        return
    query, headers, path = case.query or {}, case.headers or {}, case.path_parameters or {}
    if DICE.random() < 0.5:
        path.update({name: value for name, value in THERE.items() if name in path})
        for (name, end), value in ONCE.items():
            if name in path and case.operation.path.endswith(end):
                path[name] = os.environ[value]
        if case.operation.method.lower() == "delete" and "observation" in path:
            path["observation"] = os.environ["PK_FORGOTTEN"]
        if case.operation.method.lower() == "delete" and case.operation.path == "/v1/people/{person}":
            path["person"] = os.environ["PK_ERASED"]
        if "merge" in path:
            path["person"] = os.environ["PK_MERGED"]
        fill_body(case, kwargs)
        if case.operation.path.endswith("/deprecate"):
            path["version"] = "0.1.0"  # What is deprecated never serves again.
        if case.operation.path.endswith("/canary"):
            path["version"] = "0.2.0"  # A draft beside the active one.
        if puts_script(case):
            text = source(next(name for name in path if name in REST))
            if case.media_type == "text/x-lua":
                case.body = text
                kwargs["data"] = text.encode()
            else:
                case.body = {"source": text}
                kwargs["json"] = case.body
    query.pop("cursor", None)  # It belongs to one query alone.
    if "after" in query:
        query["after"] = os.environ["PK_AFTER"]
    if "Idempotency-Key" in headers:
        headers["Idempotency-Key"] = str(uuid.uuid4())
    if "If-Match" in headers:
        headers["If-Match"] = "*"


def parameters(case):
    """(name, value, schema) of each that is described."""
    operation = case.operation
    for described, values in ((operation.path_parameters, case.path_parameters),
                              (operation.query, case.query), (operation.headers, case.headers)):
        for parameter in described:
            if values and parameter.name in values:
                yield parameter.name, str(values[parameter.name]), parameter.definition.get("schema", {})


def is_not_valid(case, field):
    """True when a 'valid' case is not: a parameter breaks its own pattern, or has more bytes than characters."""
    for name, value, schema in parameters(case):
        pattern = schema.get("pattern")
        if pattern and not re.search(pattern.replace("$", r"\Z"), value):
            return True
        if name == field and len(value.encode()) > schema.get("x-max-bytes", len(value.encode())):
            return True
    return False


SPOKEN = {"traits": ("value", "pinned"), "goals": ("description", "goalId"), "beliefs": ("statement", "beliefId")}


def is_odd(entry, names):
    """True for an entry of a correction that says none of it, both of it, or removes what it does not name."""
    said = [entry.get(name) is not None for name in names]
    return not any(said) or all(said) or bool(entry.get("remove") and not said[1])


def no_document_takes(value):
    """True when some key has U+0000, or an integer is none of 64 bits, however deep."""
    if isinstance(value, dict):
        return any("\0" in key or no_document_takes(inside) for key, inside in value.items())
    if isinstance(value, list):
        return any(no_document_takes(inside) for inside in value)
    return isinstance(value, int) and not -(2**63) <= value < 2**63


def instant(text):
    """A date of RFC 3339 in milliseconds."""
    day, hour, fraction, zone = re.fullmatch(
        r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9:]{8})(?:\.([0-9]+))?([Zz]|[+-][0-9]{2}:[0-9]{2})", text).groups()
    year, month, date = map(int, day.split("-"))
    at = datetime.date(year + 400 if year < 1 else year, month, date).toordinal() - (146097 if year < 1 else 0)
    seconds = at * 86400 + int(hour[:2]) * 3600 + int(hour[3:5]) * 60 + int(hour[6:])
    east = 0 if zone in "Zz" else int(zone[0] + "1") * (int(zone[1:3]) * 60 + int(zone[4:]))
    return (seconds - east * 60) * 1000 + int(((fraction or "") + "000")[:3])


def is_out_of_range(value):
    """True for a date outside the years 0000 to 9999 in UTC, and a version with a number above 2^53 - 1."""
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(\.[0-9]+)?[+-][0-9]{2}:[0-9]{2}", value):
        return not instant("0000-01-01T00:00:00Z") <= instant(value) <= instant("9999-12-31T23:59:59.999Z")
    version = re.match(r"([0-9]+)\.([0-9]+)\.([0-9]+)(?![0-9])", value)
    return bool(version) and max(map(int, version.groups())) >= 2**53


def sent(case, field):
    """What stood at that field: a parameter, or in the body; "" if that is no text."""
    value = next((value for name, value, _ in parameters(case) if name == field), case.body)
    if value is case.body:
        for step in re.findall(r"[^.\[\]]+", field or ""):
            if isinstance(value, list) and step.isdigit() and int(step) < len(value):
                value = value[int(step)]
            else:
                value = value.get(step) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""


BUILT_IN = ("chat_log", "document", "interview", "assessment", "api_import", "work_session", "user_input", "calendar_event")
TYPE_NAMES = ("sourceType", "observation_type", "type")


def is_odd_type(body):
    """True when the type is said twice, or not at all, or only a processor that serves could make it one."""
    said = [body[name] for name in TYPE_NAMES if name in body]
    return len(said) != 1 or said[0] not in BUILT_IN


def is_odd_media(part, value):
    """True for a URL that refers to nothing, or carries the file itself; and for no media type."""
    if part == "mimeType":
        return "/" not in value
    return not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:.", value, re.DOTALL) or bool(re.match("(data|javascript):", value, re.I))


def is_odd_observation(case, field):
    """True when an observation breaks the rule that its field is blamed for."""
    body, content = case.body, case.body.get("content")
    if field in TYPE_NAMES:
        return is_odd_type(body)
    if field == "personId":
        return not body.get("personId") and not body.get("externalId")
    if field in ("wait", "Idempotency-Key"):  # They are for one observation, not for many.
        return case.media_type == "application/x-ndjson" or "observations" in body
    if not isinstance(content, dict):
        return False
    part = re.fullmatch(r"content\.mediaAttachments\[([0-9]+)\]\.(url|mimeType)", field or "")
    if part:
        return is_odd_media(part[2], content["mediaAttachments"][int(part[1])][part[2]])
    if field == "content.raw":
        return content.get("raw") is None
    # An object is the content itself, or has 'raw': beside that nothing else is taken.
    beside = re.fullmatch(r"content(?:\.(.*))?", field or "", re.DOTALL)  # "" has no path of its own.
    name = (beside[1] or "") if beside else "raw"
    return "raw" in content and name in content and name not in ("raw", "structured", "mediaAttachments")


def is_forgotten(response):
    """True when an observation that was there is gone soon: DELETE answers 202, and a task forgets it."""
    asked = response.request
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if requests.get(asked.url, headers=dict(asked.headers), timeout=60).status_code == 404:
            return True
        time.sleep(0.05)
    return False


def breaks_rule(case, problem):
    """True when what was sent breaks a rule that spans fields, which no schema says."""
    body, field = case.body, problem.get("field")
    if field == "include" and "at" in (case.query or {}):
        return True  # What lies beside a mindscape has no past.
    at = (case.operation.method.upper(), case.operation.path)
    if not isinstance(body, dict):
        return False
    if field is None and no_document_takes(body):
        return True
    if at == ("PATCH", "/v1/people/{person}/mindscape"):
        entry = re.fullmatch(r"(traits|traitMatrix)\[([0-9]+)\]", field or "")
        if entry:
            trait = body[entry[1]][int(entry[2])]
            return (trait.get("id") is None) == (trait.get("traitName") is None)
        if field in SPOKEN:
            entries = list(body.get(field) or ()) + list(field == "traits" and body.get("traitMatrix") or ())
            return any(is_odd(entry, SPOKEN[field]) for entry in entries)
        return field is None and not any(body.values())  # It changes nothing.
    if at == ("PUT", "/v1/people/{person}/consents/{purpose}"):
        return field == "validUntil" and None not in (body.get("validFrom"), body.get("validUntil")) and \
            instant(body["validUntil"]) <= instant(body["validFrom"])
    if at == ("POST", "/v1/people/merge"):
        return field == "into" and str(body.get("from")).lower() == str(body.get("into")).lower()
    if at == ("POST", "/v1/people/{person}/replay"):
        return field == "processor" and body.get("processor") is None and body.get("version") is not None
    if at[1].endswith("/canary"):
        return field == "share" and body.get("share") == 0
    if at[1].endswith("/dry-run"):
        return field == "" and (body.get("personId") is None) == (body.get("mindscape") is None)
    if at == ("POST", "/v1/observations"):
        return is_odd_observation(case, field)
    return False


@schemathesis.hook
def filter_failure(context, failure, case, response):
    kind = type(failure).__name__
    try:
        problem = response.json()
    except ValueError:
        return True
    if not isinstance(problem, dict):
        return True
    if kind == "RejectedPositiveData" and response.status_code in (400, 422) and puts_script(case):
        return False  # Which texts are scripts, no schema can say.
    if kind == "RejectedPositiveData" and response.status_code == 400 and \
            (breaks_rule(case, problem) or is_out_of_range(sent(case, problem.get("field")))):
        return False
    if kind == "UseAfterFree" and problem.get("status") in ("revoked", "withdrawn"):
        return False  # DELETE ends a key or a consent; the record of it stays, and says so.
    if kind == "UseAfterFree" and case.operation.path == "/v1/observations/{observation}" and is_forgotten(response):
        return False
    if kind == "AcceptedNegativeData" and response.status_code == 207 and problem.get("accepted") == 0:
        return False  # Each of many was refused for itself.
    for name, status, field, code, _ in DECLARED:
        if name == kind and status == response.status_code and code == problem.get("code") and \
                field in (None, problem.get("field")):
            return False
    return not (kind == "RejectedPositiveData" and response.status_code == 400 and is_not_valid(case, problem.get("field")))
