/* test_problems.c - The table of codes and what the program answers are the same. */
/* SPDX-License-Identifier: MIT */
#include "test.h"

#include "api/problems.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/file.h"
#include "doc/json.h"
#include "net/net.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FOR_EACH_PROBLEM(problem_)                                                    \
    for (size_t count_, i_ = 0; i_ < (pk_problems(&count_), count_); i_++)            \
        for (const struct pk_problem *problem_ = &pk_problems(&count_)[i_]; problem_; \
             problem_ = NULL)

TEST(every_code_of_an_error_is_in_the_table_with_its_status)
{
    for (int code = PK_OK + 1; code < PK_CODE_COUNT; code++) {
        const struct pk_problem *problem = pk_problem_find(pk_code_name((enum pk_code)code));
        if (!problem) {
            fail_msg("'%s' has no row", pk_code_name((enum pk_code)code));
        }
        assert_int_equal(problem->status, pk_code_http((enum pk_code)code));
        assert_int_equal(problem->retry, pk_code_retry((enum pk_code)code));
    }
}

TEST(every_status_of_a_problem_has_its_words)
{
    FOR_EACH_PROBLEM(problem)
    {
        const struct pk_request request = { .id = "" };
        struct pk_answer answer = { .status = 0 };
        pk_answer_problem(&request, &answer, problem->status, problem->code, "d", "h");
        if (strstr(pk_buf_text(&answer.body), "\"Unknown\"")) {
            fail_msg("%d of '%s' has no words", problem->status, problem->code);
        }
        pk_buf_done(&answer.body);
    }
}

/* The rows of http_policy.c are internal to net/, so they are read as text:
 * "[PK_REFUSAL_HOST] = { 400, "malformed_host", ..." */
TEST(every_refusal_of_the_front_door_is_in_the_table_with_its_status)
{
    static const char row[] = "[PK_REFUSAL_";
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    struct pk_error err;
    size_t rows = 0;
    assert_ok(pk_file_read(&text, PK_SOURCE_DIR "/core/net/http_policy.c", 1024 * 1024, &err),
              &err);
    for (const char *at = strstr(pk_buf_text(&text), row); at; at = strstr(at + 1, row)) {
        int status = 0;
        char code[64] = "";
        assert_int_equal(sscanf(strchr(at, '{'), "{ %d, \"%63[a-z_]\"", &status, code), 2);
        if (strcmp(code, "ok") == 0) {
            continue;
        }
        const struct pk_problem *problem = pk_problem_find(code);
        if (!problem) {
            fail_msg("'%s' has no row", code);
        }
        assert_int_equal(problem->status, status);
        rows++;
    }
    assert_true(rows >= 10);
}

TEST(the_table_is_sorted_by_status_and_names_no_code_twice)
{
    size_t count;
    const struct pk_problem *problem = pk_problems(&count);
    for (size_t i = 1; i < count; i++) {
        assert_true(problem[i - 1].status <= problem[i].status);
        if (problem[i - 1].status == problem[i].status) {
            assert_true(strcmp(problem[i - 1].code, problem[i].code) < 0);
        }
        assert_ptr_equal(pk_problem_find(problem[i].code), &problem[i]);
    }
    assert_null(pk_problem_find("nothing"));
}

TEST(every_row_says_what_it_means_and_what_to_do)
{
    FOR_EACH_PROBLEM(problem)
    {
        assert_in_range(problem->status, 400, 599);
        assert_true(strlen(problem->meaning) > 10 && strlen(problem->advice) > 10);
        assert_true(strspn(problem->code, "abcdefghijklmnopqrstuvwxyz_") == strlen(problem->code));
    }
}

/* ---- What the sources say ---- */

/* The argument that stands at '*at', without white space around it; '*at' is moved behind its
 * comma. Texts and brackets within are skipped. */
static char *next_argument(const char **at)
{
    const char *first = *at + strspn(*at, " \t\n");
    const char *c = first;
    for (int depth = 0; *c && (depth > 0 || (*c != ',' && *c != ')')); c++) {
        depth += *c == '(' ? 1 : *c == ')' ? -1 : 0;
        if (*c == '"') {
            for (c++; *c && *c != '"'; c++) {
                c += *c == '\\';
            }
        }
    }
    *at = *c ? c + 1 : c;
    return pk_strndup(first, (size_t)(c - first));
}

static size_t calls_seen;

/* "pk_answer_problem(request, answer, 405, "method_not_allowed", ..." */
static void check_call(const char *path, const char *arguments)
{
    PK_CLEANUP(pk_freep) char *request = next_argument(&arguments);
    pk_free(next_argument(&arguments)); /* The answer. */
    PK_CLEANUP(pk_freep) char *status = next_argument(&arguments);
    PK_CLEANUP(pk_freep) char *code = next_argument(&arguments);
    if (strncmp(request, "const struct", 12) == 0) {
        return; /* The function itself. */
    }
    calls_seen++;
    if (code[0] != '"') {
        /* From one of the two tables, which are checked above. */
        if (!strstr(code, "row->code") && !strstr(code, "pk_code_name(")) {
            fail_msg("%s: pk_answer_problem with the code %s", path, code);
        }
        return;
    }
    code[strlen(code) - 1] = '\0';
    const struct pk_problem *problem = pk_problem_find(code + 1);
    if (!problem) {
        fail_msg("%s: the code '%s' has no row in core/api/problems.c", path, code + 1);
    }
    if (atoi(status) != problem->status) {
        fail_msg("%s: '%s' is answered with %s, its row says %d", path, code + 1, status,
                 problem->status);
    }
}

static int check_file(const char *path, const struct stat *info, int kind, struct FTW *place)
{
    static const char call[] = "pk_answer_problem(";
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    struct pk_error err;
    size_t length = strlen(path);
    (void)info;
    (void)place;
    if (kind != FTW_F || strcmp(path + length - 2, ".c") != 0) {
        return 0;
    }
    assert_ok(pk_file_read(&text, path, 1024 * 1024, &err), &err);
    for (const char *at = strstr(pk_buf_text(&text), call); at; at = strstr(at + 1, call)) {
        check_call(path, at + sizeof(call) - 1);
    }
    return 0;
}

TEST(no_source_answers_a_code_that_is_not_in_the_table)
{
    calls_seen = 0;
    assert_int_equal(nftw(PK_SOURCE_DIR "/core", check_file, 16, FTW_PHYS), 0);
    assert_true(calls_seen >= 5);
}

/* ---- How it is printed ---- */

TEST(the_table_is_printed_for_people_and_for_programs)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf table = { 0 };
    PK_CLEANUP(pk_buf_done) struct pk_buf json = { 0 };
    struct pk_error err;
    bson_t doc;
    pk_problems_print(&table);
    pk_buf_add_text(&json, "{\"problems\":");
    pk_problems_json(&json);
    pk_buf_add_text(&json, "}");
    FOR_EACH_PROBLEM(problem)
    {
        assert_non_null(strstr(table.data, problem->code));
        assert_non_null(strstr(json.data, problem->advice));
    }
    assert_ok(pk_json_read(&doc, json.data, json.size, NULL, &err), &err);
    bson_destroy(&doc);
}
