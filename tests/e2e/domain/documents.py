"""documents.py - What the specs left behind, as it lies in MongoDB: the documents of Option A.

    documents.py URL DATABASE

Reads with MongoDB's own driver, without PersonaKit, what the data schema design calls Option A:
each key with its BSON type. Further keys are allowed, missing ones and other types are not.
"""
# SPDX-License-Identifier: MIT
import datetime
import re
import sys
import uuid

from bson.int64 import Int64
from pymongo import MongoClient

VOLATILITY = {"low", "medium", "high"}
cases = 0


def check(name, is_ok, *why):
    global cases
    cases += 1
    print(f"{'ok' if is_ok else 'not ok'} {cases} - {name}")
    if not is_ok:
        print("#", *why)


def faults(document, wanted):
    """What is missing, and what has another type."""
    for key, kind in wanted.items():
        value = document.get(key)
        if key not in document:
            yield f"{document.get('_id', document)}: no '{key}'"
        elif type(value) not in (kind if isinstance(kind, tuple) else (kind,)):
            yield f"{document.get('_id', document)}: '{key}' is {type(value).__name__}"


def is_uuid(text):
    return isinstance(text, str) and str(uuid.UUID(text)) == text and uuid.UUID(text).version == 4


NUMBER = (int, Int64)
DATE = datetime.datetime
MINDSCAPE = {"_id": str, "version": NUMBER, "lastUpdated": DATE, "traits": list, "highVolatileCache": dict}
TRAIT = {"id": str, "category": str, "volatility": str, "confidence": float, "sources": list}
SOURCE = {"obsId": str, "weight": float}
PERSONA = {"_id": str, "userId": str, "mapperId": str, "detailLevel": str, "generatedAt": DATE, "isStale": bool,
           "expiresAt": DATE, "coreSnapshot": dict, "overlaySlice": dict}

database = MongoClient(sys.argv[1])[sys.argv[2]]

mindscapes = list(database.mindscapes.find())
traits = [trait for each in mindscapes for trait in each.get("traits", ())]
sources = [source for trait in traits for source in trait.get("sources", ())]
found = [fault for each in mindscapes for fault in faults(each, MINDSCAPE)]
check("there are mindscapes", len(mindscapes) > 20, len(mindscapes))
check("a mindscape has the keys and types of Option A", not found, *found[:5])
check("its id is the person's", all(is_uuid(each["_id"]) for each in mindscapes))
check("what is true just now lies under its key",
      any(each["highVolatileCache"].get("mood") == "focused" for each in mindscapes))
found = [fault for each in traits for fault in faults(each, TRAIT)]
check("so has a trait", len(traits) > 20 and not found, len(traits), *found[:5])
check("whose volatility is a word, and confidence a share",
      all(each["volatility"] in VOLATILITY and type(each["confidence"]) is float and 0 <= each["confidence"] <= 1
          for each in traits))
check("which has a value", all("value" in each for each in traits))
check("and no id twice",
      all(len({trait["id"] for trait in each["traits"]}) == len(each["traits"]) for each in mindscapes))
found = [fault for each in sources for fault in faults(each, SOURCE)]
check("so has a source", len(sources) > 20 and not found, len(sources), *found[:5])
wanted = {source["obsId"] for source in sources}
there = {each["_id"] for each in database.observations.find({"_id": {"$in": list(wanted)}}, {"_id": 1})}
check("which is an observation that is there", wanted == there, *sorted(wanted - there)[:3])

personas = list(database.personas.find())
found = [fault for each in personas for fault in faults(each, PERSONA)]
check("there are personas", len(personas) > 10, len(personas))
check("a persona has the keys and types of Option A", not found, *found[:5])
ids = [each["_id"] for each in personas if not re.fullmatch(
    f"{each['mapperId']}:{each['userId']}:{each['detailLevel']}(:[0-9a-f]+)?", each["_id"])]
check("whose id is made of them", not ids, *ids[:3])
check("which expires after it was made", all(each["generatedAt"] < each["expiresAt"] for each in personas))
check("by an index of MongoDB's own", any(
    "expireAfterSeconds" in index and [key for key, _ in index["key"]] == ["expiresAt"]
    for index in database.personas.index_information().values()), database.personas.index_information())
check("whose parts have what the mapper gave", any(
    each.get("coreSnapshot", {}).get("tone") == "direct" and each.get("overlaySlice", {}).get("mood") == "calm"
    for each in personas))
print(f"1..{cases}")
