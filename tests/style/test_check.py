#!/usr/bin/env python3
"""test_check.py - Each rule of check.py, shown a small clean house and then one fault in it."""
# SPDX-License-Identifier: MIT
import os
import shutil
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import check  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
SPDX = "/* SPDX-License-Identifier: MIT */\n"

CLEAN = {
    "LICENSE": "MIT\n",
    "core/LAYERS": "# Layers.\nbase\ndoc\nstore net\n\nonly sqlite3.h: core/store/sqlite\n",
    "core/base/a.h": "/* a.h - A. */\n" + SPDX + "#ifndef A\n#define A\n\n"
                     "/* One. */\nint pk_a_one(void);\n\n#endif\n",
    "core/base/a.c": "/* a.c - A. */\n" + SPDX + '#include "base/a.h"\n\n'
                     "static const int one = 1;\n\nint pk_a_one(void)\n{\n    return one;\n}\n",
    "core/store/sqlite.c": "/* sqlite.c - S. */\n" + SPDX + '#include "base/a.h"\n\n'
                           "#include <sqlite3.h>\n",
    "core/net/net.c": "/* net.c - N. */\n" + SPDX + '#include "base/a.h"\n',
    "etc/run": "#!/bin/sh\n# run - Runs.\n# SPDX-License-Identifier: MIT\ntrue\n",
}


def long_function(lines):
    body = "".join(f"    x += {i};\n" for i in range(lines - 2))
    return f"int pk_long(int x)\n{{\n{body}    return x;\n}}\n"


def append(path, text):
    return {path: CLEAN.get(path, "") + text}


PLANTS = [
    ("the_top_level_holds_what_design_lists", {"docs/x.md": "x\n"}),
    ("a_room_includes_lower_layers_only", append("core/base/a.c", '#include "store/store.h"\n')),
    ("a_room_includes_lower_layers_only", append("core/net/net.c", '#include "store/store.h"\n')),
    ("a_room_includes_lower_layers_only", append("core/net/net.c", '#include "net.h"\n')),
    ("a_room_includes_lower_layers_only", {"core/cellar/c.c": "/* c.c - C. */\n" + SPDX}),
    ("third_party_headers_stay_where_they_belong",
     append("core/net/net.c", "#include <sqlite3.h>\n")),
    ("internal_headers_stay_in_their_room",
     append("core/net/net.c", '#include "base/a_internal.h"\n')),
    ("every_header_compiles_alone",
     {"core/base/b.h": "/* b.h - B. */\n" + SPDX + "/* B. */\nvoid pk_b(struct_not_known x);\n"}),
    ("every_header_compiles_alone",
     {"core/base/b.h": "/* b.h - B. */\n" + SPDX + "/* B. */\nvoid pk_b(size_t x);\n"}),
    ("clang_format_agrees", append("core/base/a.c", "\nstatic  const int  y=2;\n")),
    ("scripts_parse", append("etc/run", "if true; then\n")),
    ("every_file_opens_with_its_story", {"core/base/b.c": SPDX}),
    ("every_file_opens_with_its_story", {"core/base/b.c": "/* other.c - B. */\n" + SPDX}),
    ("every_source_says_its_licence", {"core/base/b.c": "/* b.c - B. */\n"}),
    ("todos_name_an_issue", append("core/base/a.c", "\n/* TO" "DO: later. */\n")),
    ("no_file_knows_this_machine", append("LICENSE", "see /ho" "me/me/x\n")),
    ("no_file_knows_this_machine", append("LICENSE", "see py" "pi.org\n")),
    ("public_functions_are_documented",
     {"core/base/b.h": "/* b.h - B. */\n" + SPDX + "\nint pk_b(void);\n"}),
    ("public_names_start_with_pk",
     {"core/base/b.h": "/* b.h - B. */\n" + SPDX + "\n/* B. */\nint b_two(void);\n"}),
    ("there_are_no_mutable_globals", append("core/base/a.c", "\nstatic int counter;\n")),
    ("there_are_no_mutable_globals", append("core/base/a.c", "\nstatic char *names[4];\n")),
    ("files_are_not_too_long", append("core/base/a.c", "\n" + "/* x */\n" * 1300)),
    ("functions_fit_a_screen", append("core/base/a.c", "\n" + long_function(130))),
    ("nothing_big_is_committed", {"tests/data/big.bin": "x" * 3 * 1024 * 1024}),
]


def build(folder, files):
    shutil.copy(os.path.join(HERE, "..", "..", ".clang-format"), folder)
    for path, text in files.items():
        full = os.path.join(folder, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(text)


def findings(rule, plant):
    with tempfile.TemporaryDirectory() as folder:
        build(folder, {**CLEAN, **plant})
        return list(getattr(check, rule)(check.House(folder)))


def main():
    number = failed = 0
    print(f"1..{len(check.RULES) + len(PLANTS) + 1}")

    def case(is_ok, name, said):
        nonlocal number, failed
        number += 1
        failed += not is_ok
        print(f"{'ok' if is_ok else 'not ok'} {number} - {name}")
        for text in said if not is_ok else []:
            print(f"# {text}")

    for rule in check.RULES:
        said = findings(rule.__name__, {})
        case(not said, f"a clean house passes {rule.__name__}", said)
    for rule, plant in PLANTS:
        case(findings(rule, plant), f"{rule} finds a fault in {', '.join(plant)}", [str(plant)[:200]])
    planted = {rule for rule, _ in PLANTS}
    bare = [r.__name__ for r in check.RULES if r.__name__ not in planted]
    case(not bare, "every rule has a planted fault", bare)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
