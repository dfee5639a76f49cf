# tap.awk - Counts what a test program said in TAP, and keeps what failed.
#
#     awk -v status=EXIT -v name=PROGRAM -f tap.awk OUTPUT
#
# The first line says 'passed failed skipped'; the lines behind it are for
# people: each failing case with what the program said about it, and each
# skipped one. What was promised (1..N) and not delivered has failed: a
# program that dies takes its remaining cases with it. A program without a
# single TAP line is one case, and its exit status the result.
#
# cmocka 1.1.5 says 'not ok N # SKIP' for a skipped case: SKIP is looked at first.
#
# SPDX-License-Identifier: MIT
function close_case()
{
    if (in_failure) {
        said = said failure
    }
    in_failure = 0
    loose = ""
}

/^1\.\.[0-9]+/ {
    plan += substr($1, 4)
    has_plan = 1
    next
}
# The summary line of busted and cmocka is a comment, and is no case.
/^(not )?ok([ \t]|$)/ {
    before = loose
    close_case()
    seen++
    if ($0 ~ /# [Ss][Kk][Ii][Pp]/) {
        skipped++
        said = said "    skipped: " name ": " $0 "\n" before
    } else if ($1 == "ok") {
        passed++
    } else {
        failed++
        in_failure = 1
        lines = 0
        failure = "    failed: " name ": " $0 "\n" before
    }
    next
}
{
    line = "        " substr($0, 1, 400) "\n"
    last[NR % 40] = line
    if (in_failure && /^#/) {
        if (++lines <= 40) {
            failure = failure line
        }
        next
    }
    loose = length(loose) > 4000 ? substr(loose, length(loose) - 2000) line : loose line
}
END {
    end = loose
    close_case()
    missing = has_plan ? plan - seen : 0
    if (seen == 0 && !has_plan && status == 0) {
        passed++
    } else if (missing > 0) {
        failed += missing
        said = said "    failed: " name ": ended (exit status " status ") with " missing \
            " of " plan " cases not run\n" end
    } else if (status != 0 && failed == 0) {
        failed++
        said = said "    failed: " name ": exit status " status "\n"
        for (i = NR - 39; i <= NR; i++) {
            said = said last[(i + 40) % 40]
        }
    }
    printf "%d %d %d\n%s", passed, failed, skipped, said
}
