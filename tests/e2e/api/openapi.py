#!/usr/bin/env python3
"""openapi.py - What a validator cannot say of /openapi.json: that it is whole, and ours.

    openapi.py DOCUMENT CODES

DOCUMENT is /openapi.json, CODES what 'personakit errors --json' prints. Prints TAP.
"""
# SPDX-License-Identifier: MIT
import json
import re
import sys

import openapi_spec_validator

KINDS = ("schemas", "responses", "parameters", "headers")


def operations(document):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield "%s %s" % (method.upper(), path), path, operation


def invalid(document, _):
    """the document is valid OpenAPI 3.1"""
    return [error.message[:300] for error in openapi_spec_validator.OpenAPIV31SpecValidator(document).iter_errors()]


def dangling(document, _):
    """every reference leads somewhere, and every component is referred to"""
    used = set(re.findall(r'"\$ref": "#/components/([^"]+)"', json.dumps(document)))
    there = {"%s/%s" % (kind, name) for kind in KINDS for name in document["components"][kind]}
    # A status that no route answers now may be answered tomorrow; so may a header or a parameter.
    return sorted(used - there) + sorted(name for name in there - used if name.startswith("schemas/"))


def codes(document, listed):
    """the codes are those of 'personakit errors'"""
    said = [one["const"] for one in document["components"]["schemas"]["Problem"]["properties"]["code"]["oneOf"]]
    return [] if said == [row["code"] for row in listed] else ["%s, not %s" % (said, listed)]


def unsecured(document, _):
    """an operation needs a key and can say 401, or it is public and cannot"""
    return [name for name, _, operation in operations(document)
            if bool(operation["security"]) != ("401" in operation["responses"])]


def unnamed(document, _):
    """operationIds are unique, and every operation has a tag and a summary"""
    names = [operation["operationId"] for _, _, operation in operations(document)]
    return sorted({name for name in names if names.count(name) > 1}) + [
        name for name, _, operation in operations(document) if not operation["summary"] or not operation["tags"]]


def undescribed(document, _):
    """every parameter of a path is declared"""
    return [name for name, path, operation in operations(document)
            if set(re.findall(r"{(\w+)}", path)) != {
                parameter["name"] for parameter in operation["parameters"] if parameter.get("in") == "path"}]


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        document = json.load(file)
    with open(sys.argv[2], encoding="utf-8") as file:
        listed = json.load(file)
    rules = (invalid, dangling, codes, unsecured, unnamed, undescribed)
    failed = 0
    print("1..%d" % len(rules))
    for number, rule in enumerate(rules, 1):
        wrong = rule(document, listed)
        failed += bool(wrong)
        print("%sok %d - %s" % ("not " if wrong else "", number, rule.__doc__))
        print("".join("# %s\n" % line for line in wrong[:5]), end="")
    return 1 if failed else 0


sys.exit(main())
