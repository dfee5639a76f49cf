#!/usr/bin/env python3
"""check.py - What the house looks like, checked (STYLE, DESIGN section 4).

    check.py [ROOT]

Looks at what git has or would take (tracked, and untracked but not ignored)
and prints TAP: one case per rule, each finding as 'file:line: what is wrong'.
If you add a rule, write it as a function that yields findings, name it as a
sentence, put it into RULES, and plant a violation of it in test_check.py.
"""
# SPDX-License-Identifier: MIT
import concurrent.futures
import os
import re
import shutil
import statistics
import subprocess
import sys

TOP_LEVEL = {
    "CMakeLists.txt", "CMakePresets.json", "LICENSE", "README.md",
    "core", "lua", "mappers", "plugins", "tests", "etc",
}
FILE_LINES_WARN, FILE_LINES_MAX = 800, 1200
FUNCTION_LINES_LONG, FUNCTION_LINES_MAX = 80, 120  # "Explain at 80"; nothing explains 120.
FUNCTION_LONG_SHARE_MAX = 0.02
FUNCTION_MEDIAN_MAX, FUNCTION_P90_MAX = 20, 50
UNDOCUMENTED_SHARE_MAX = 0.10
FILE_BYTES_MAX = 2 * 1024 * 1024
STORY_LINES = 80  # Where the SPDX line must have come.


class House:
    """The files, read once."""

    def __init__(self, root):
        self.root = root
        self.paths = sorted(self.list_paths())
        self.notes = []
        self.cache = {}

    def list_paths(self):
        if os.path.exists(os.path.join(self.root, ".git")):
            listed = subprocess.run(
                ["git", "-C", self.root, "ls-files", "-co", "--exclude-standard", "-z"],
                check=True, stdout=subprocess.PIPE).stdout.decode()
            return {p for p in listed.split("\0") if p and os.path.lexists(os.path.join(self.root, p))}
        return {os.path.relpath(os.path.join(folder, name), self.root)
                for folder, _, names in os.walk(self.root) for name in names}

    def lines(self, path):
        if path not in self.cache:
            try:
                with open(os.path.join(self.root, path), encoding="utf-8", newline="") as file:
                    self.cache[path] = file.read().split("\n")
            except (UnicodeDecodeError, OSError):
                self.cache[path] = []  # Binary: nothing to read.
        return self.cache[path]

    def some(self, *suffixes, under=""):
        return [p for p in self.paths if p.startswith(under) and p.endswith(suffixes)]

    def scripts(self):
        """Executable text with an interpreter line, and shell without one."""
        return [p for p in self.paths if p.endswith(".sh") or self.lines(p)[:1] and
                self.lines(p)[0].startswith("#!")]

    def note(self, text):
        self.notes.append(text)


# ---- Layout and layers ----

def the_top_level_holds_what_design_lists(house):
    for name in sorted({p.split("/")[0] for p in house.paths}):
        if not name.startswith(".") and name not in TOP_LEVEL:
            yield f"{name}: is not one of {', '.join(sorted(TOP_LEVEL))}"


def read_layers(house):
    """(room -> layer number, [(header prefix, [file prefixes])]) from core/LAYERS."""
    level, only = {}, []
    for line in house.lines("core/LAYERS"):
        if not line or line.startswith("#"):
            continue
        if line.startswith("only "):
            header, files = line[5:].split(":")
            only.append((header, files.split()))
        else:
            number = len(set(level.values()))
            level.update({room: number for room in line.split()})
    return level, only


def includes(house, under):
    for path in house.some(".c", ".h", under=under):
        for number, line in enumerate(house.lines(path), 1):
            found = re.match(r'\s*#\s*include\s*([<"])([^">]+)[">]', line)
            if found:
                yield path, number, found.group(1) == '"', found.group(2)


def a_room_includes_lower_layers_only(house):
    level, _ = read_layers(house)
    for room in sorted({p.split("/")[1] for p in house.some(".c", ".h", under="core/")}):
        if room not in level:
            yield f"core/{room}: core/LAYERS does not know it"
    for path, number, is_own, header in includes(house, "core/"):
        if not is_own:
            continue
        room, other = path.split("/")[1], header.split("/")[0]
        if "/" not in header:
            yield f"{path}:{number}: '{header}' is included without its room"
        elif other not in level:
            yield f"{path}:{number}: '{header}' is of no room in core/LAYERS"
        elif other != room and room in level and level[other] >= level[room]:
            yield f"{path}:{number}: {room} may not include {other}, which is no lower layer"


def third_party_headers_stay_where_they_belong(house):
    _, only = read_layers(house)
    for path, number, is_own, header in includes(house, "core/"):
        for prefix, files in only:
            if not is_own and header.startswith(prefix) and not path.startswith(tuple(files)):
                yield f"{path}:{number}: <{header}> belongs to {' '.join(files)} alone"


def internal_headers_stay_in_their_room(house):
    for path, number, is_own, header in includes(house, ""):
        inside = header.split("/")[0] == path.split("/")[1] if path.startswith("core/") else False
        # Unit tests may look inside the room that they mirror, fuzz targets at their parser.
        mirrors = path.startswith((f"tests/unit/{header.split('/')[0]}/", "tests/fuzz/"))
        if is_own and header.endswith("_internal.h") and "/" in header and not (inside or mirrors):
            yield f"{path}:{number}: '{header}' is internal to its room"


# ---- Compiling and formatting ----

def compile_flags():
    flags = ["-std=gnu11", "-D_GNU_SOURCE", '-DPK_VERSION="0"', "-Wall", "-Wextra", "-Werror"]
    for library in ["libbson-1.0", "libmongoc-1.0", "sqlite3", "libsodium", "luajit", "cmocka",
                    "libevent", "openssl", "libcurl"]:
        found = subprocess.run(["pkg-config", "--cflags", library], stdout=subprocess.PIPE)
        flags += found.stdout.decode().split()
    return flags


def fetched_flags(house):
    """For headers that include llhttp.h: where etc/fetch has it."""
    if not any(header == "llhttp.h" for _, _, _, header in includes(house, "core/")):
        return []
    found = subprocess.run([os.path.join(house.root, "etc/fetch"), "llhttp"],
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    folder = found.stdout.decode().strip()
    if folder != "pkg-config":
        return ["-isystem", folder]
    found = subprocess.run(["pkg-config", "--cflags", "libllhttp"], stdout=subprocess.PIPE)
    return found.stdout.decode().split()


def in_parallel(work, items):
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for findings in pool.map(work, items):
            yield from findings


def every_header_compiles_alone(house):
    flags = compile_flags() + fetched_flags(house)

    def compile_one(path):
        done = subprocess.run(
            ["cc", *flags, "-Icore", "-Itests/support", "-Itests", "-I" + os.path.dirname(path),
             "-fsyntax-only", "-x", "c", path],
            cwd=house.root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            first = [x for x in done.stdout.decode().split("\n") if "error" in x][:1]
            yield f"{path}: does not compile by itself: {first[0] if first else 'see cc'}"

    yield from in_parallel(compile_one, house.some(".h"))


def clang_format_agrees(house):
    if not shutil.which("clang-format"):
        yield "clang-format: is not installed"
        return

    def format_one(path):
        done = subprocess.run(["clang-format", "--dry-run", "-Werror", path], cwd=house.root,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            line = re.search(r":(\d+):", done.stdout.decode())
            yield f"{path}:{line.group(1) if line else 1}: run clang-format -i on it"

    yield from in_parallel(format_one, house.some(".c", ".h"))


def scripts_parse(house):
    checkers = [("python", ["python3", "-c", "import ast,sys;ast.parse(open(sys.argv[1]).read())"]),
                ("sh", ["bash", "-n"])]
    for path in house.scripts():
        for word, command in checkers:
            if word in house.lines(path)[0] or path.endswith("." + word):
                done = subprocess.run([*command, path], cwd=house.root, stdout=subprocess.DEVNULL,
                                      stderr=subprocess.PIPE)
                if done.returncode != 0:
                    yield f"{path}: {done.stderr.decode().strip().splitlines()[-1]}"
                break


# ---- Stories and words ----

def every_file_opens_with_its_story(house):
    for path in house.some(".c", ".h"):
        lines, name = house.lines(path), os.path.basename(path)
        if not lines[0].startswith(f"/* {name} - "):
            yield f"{path}:1: does not open with '/* {name} - what it is for'"
    for path in house.some(".lua"):
        if not re.match(r"-- \S+\.lua - ", house.lines(path)[0]):
            yield f"{path}:1: does not open with '-- name.lua - what it is for'"
    for path in house.scripts():
        head = "\n".join(house.lines(path)[:3])
        if f"{os.path.basename(path)} - " not in head:
            yield f"{path}:2: does not open with '# {os.path.basename(path)} - what it is for'"


def every_source_says_its_licence(house):
    for path in sorted({*house.some(".c", ".h"), *house.scripts()}):
        if not any("SPDX-License-Identifier: MIT" in x for x in house.lines(path)[:STORY_LINES]):
            yield f"{path}: has no SPDX line below its story"


def todos_name_an_issue(house):
    word = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b(?!\(#\d+\))")
    for path in house.some(".c", ".h", ".lua", ".py", ".sh", ".txt", ".md"):
        if path.startswith("tests/data/"):
            continue
        for number, line in enumerate(house.lines(path), 1):
            if word.search(line) and "TO" "DO(#12)" not in line:
                yield f"{path}:{number}: names no issue"


def no_file_knows_this_machine(house):
    # Split so that this file does not find itself.
    place = re.compile("(?:^|[\\s'\"=(:])(/ro" r"ot/|/ho" r"me/\w|/wo" r"rk/|/Us" r"ers/\w|/tmp/d" r"l)")
    host = re.compile("py" r"pi\.org|python" r"hosted|registry\.n" r"pmjs|repo1?\.ma" r"ven|crates\.i" r"o")
    for path in house.paths:
        if path.startswith("tests/data/") or path.startswith("tests/fuzz/corpus/"):
            continue
        for number, line in enumerate(house.lines(path), 1):
            if place.search(line):
                yield f"{path}:{number}: names a folder of somebody's machine"
            if host.search(line):
                yield f"{path}:{number}: names a registry's host"


def public_functions_are_documented(house):
    """A declaration has a comment above it or behind it, alone or with its neighbours."""
    total, bare = 0, []
    for path in house.some(".h", under="core/"):
        if path.endswith("_internal.h"):
            continue
        block, has_comment = [], False
        for number, line in enumerate([*house.lines(path), ""], 1):
            if not line.strip() or line.startswith("#"):
                total += len(block)
                if not has_comment:
                    bare += block
                block, has_comment = [], False
                continue
            has_comment = has_comment or "/*" in line or "*/" in line
            found = re.match(r"[a-z][\w \*]*\b\*?(\w+)\(", line)
            if found and not line.startswith((" ", "typedef", "return")):
                block.append((path, number, found.group(1)))
    story = {p: "\n".join(house.lines(p)[:STORY_LINES]).split("*/")[0] for p, _, _ in bare}
    bare = [b for b in bare if b[2] not in story[b[0]]]
    share = len(bare) / total if total else 0
    house.note(f"public functions: {total}, undocumented {len(bare)} ({share:.1%})")
    for path, number, name in bare:
        if share > UNDOCUMENTED_SHARE_MAX:
            yield f"{path}:{number}: {name} has no comment"
        else:
            house.note(f"{path}:{number}: {name} has no comment")


def public_names_start_with_pk(house):
    """What is internal to a room is named as its module likes."""
    for path in house.some(".h", under="core/"):
        if path.endswith("_internal.h"):
            continue
        for number, line in enumerate(house.lines(path), 1):
            found = re.match(r"(?!typedef|return|static)[a-z][\w \*]*[ \*](\w+)\(", line)
            if found and not found.group(1).startswith(("pk_", "__attribute__")):
                yield f"{path}:{number}: {found.group(1)} does not start with pk_"


def there_are_no_mutable_globals(house):
    variable = re.compile(r"^(static )?(?!.*\b(const|typedef|extern|return|struct \w+;)\b)"
                          r"[a-zA-Z_][\w ]*[ \*]+\w+(\[[^\]]*\])*( = .*)?(;|\{)$")
    for path in house.some(".c", under="core/"):
        for number, line in enumerate(house.lines(path), 1):
            if variable.match(line) and not re.match(r"(struct|enum|union) \w+( \{|;)$", line):
                yield f"{path}:{number}: '{line.strip()}' is a global that can change"


# ---- Sizes ----

def files_are_not_too_long(house):
    for path in house.some(".c", ".h", ".lua", ".py", ".sh"):
        count = len(house.lines(path)) - 1
        if count > FILE_LINES_MAX:
            yield f"{path}: {count} lines; it is two modules ({FILE_LINES_MAX} is the limit)"
        elif count > FILE_LINES_WARN:
            house.note(f"{path}: {count} lines; {FILE_LINES_WARN} is where two modules begin")


def functions(house):
    """(file, line, lines) of every C function: in this layout only a function opens with '{' alone."""
    for path in house.some(".c", ".h"):
        start = None
        for number, line in enumerate(house.lines(path), 1):
            if line == "{":
                start = number
            elif line == "}" and start is not None:
                yield path, start, number - start - 1
                start = None


def functions_fit_a_screen(house):
    found = sorted(functions(house), key=lambda each: each[2])
    if not found:
        return
    sizes = [size for _, _, size in found]
    median, p90 = statistics.median(sizes), sizes[int(len(sizes) * 0.9)]
    share = sum(size > FUNCTION_LINES_LONG for size in sizes) / len(sizes)
    house.note(f"functions: {len(sizes)}, median {median:g} lines, p90 {p90}, "
               f"longest {sizes[-1]}, over {FUNCTION_LINES_LONG} lines {share:.1%}")
    for path, line, size in found:
        if size > FUNCTION_LINES_MAX:
            yield f"{path}:{line}: a function of {size} lines ({FUNCTION_LINES_MAX} is the limit)"
        elif size > FUNCTION_LINES_LONG:
            house.note(f"{path}:{line}: a function of {size} lines")
    if len(sizes) >= 100 and share > FUNCTION_LONG_SHARE_MAX:
        yield f"{share:.1%} of all functions are over {FUNCTION_LINES_LONG} lines"
    if median > FUNCTION_MEDIAN_MAX or p90 > FUNCTION_P90_MAX:
        yield f"functions are too long: median {median:g} (at most {FUNCTION_MEDIAN_MAX}), " \
              f"p90 {p90} (at most {FUNCTION_P90_MAX})"


def nothing_big_is_committed(house):
    for path in house.paths:
        size = os.lstat(os.path.join(house.root, path)).st_size
        if size > FILE_BYTES_MAX:
            yield f"{path}: {size} bytes"


RULES = [
    the_top_level_holds_what_design_lists,
    a_room_includes_lower_layers_only,
    third_party_headers_stay_where_they_belong,
    internal_headers_stay_in_their_room,
    every_header_compiles_alone,
    clang_format_agrees,
    scripts_parse,
    every_file_opens_with_its_story,
    every_source_says_its_licence,
    todos_name_an_issue,
    no_file_knows_this_machine,
    public_functions_are_documented,
    public_names_start_with_pk,
    there_are_no_mutable_globals,
    files_are_not_too_long,
    functions_fit_a_screen,
    nothing_big_is_committed,
]


def main():
    default = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    house = House(os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else default))
    failed = 0
    print(f"1..{len(RULES)}")
    for number, rule in enumerate(RULES, 1):
        findings = list(rule(house))
        print(f"{'not ok' if findings else 'ok'} {number} - {rule.__name__}")
        for text in findings:
            print(f"# {text}")
        failed += bool(findings)
    for text in house.notes:
        print(f"# note: {text}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
