/* test_rogue.c - A worker that lies, and what it gets: its call fails, and it is killed. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "jailed.h"

#include <string.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { IS_SANITIZED = 1 };
#else
enum { IS_SANITIZED = 0 };
#endif

/* Each row: the trick (rogue.c), and how its call ends. */
static const struct {
    const char *trick;
    enum pk_jail_end end;
    const char *words;
} trick_table[] = {
    { "half_a_head", PK_JAIL_KILLED, "stopped after" },
    { "half_a_frame", PK_JAIL_KILLED, "stopped after" },
    { "huge_frame", PK_JAIL_CRASHED, "must not send" },
    { "unknown_kind", PK_JAIL_CRASHED, "must not send" },
    { "hello_again", PK_JAIL_CRASHED, "must not send" },
    { "bad_reason", PK_JAIL_CRASHED, "must not send" },
    { "not_bson", PK_JAIL_CRASHED, "must not send" },
    { "bson_not_utf8", PK_JAIL_CRASHED, "must not send" },
    { "two_answers", PK_JAIL_CRASHED, "must not send" },
    { "lying_sizes", PK_JAIL_CRASHED, "must not send" },
    { "dirty_text", PK_JAIL_ERROR, "fff" },
    { "need_for_ever", PK_JAIL_CRASHED, "must not send" },
    { "ask_unasked", PK_JAIL_CRASHED, "must not send" },
    { "ask_without_name", PK_JAIL_CRASHED, "must not send" },
    { "ask_for_ever", PK_JAIL_CRASHED, "must not send" },
    { "bottomless_bson", PK_JAIL_CRASHED, "must not send" },
    { "bson_regex", PK_JAIL_CRASHED, "must not send" },
    { "bson_code", PK_JAIL_CRASHED, "must not send" },
    { "bson_other_field", PK_JAIL_CRASHED, "must not send" },
    { "bson_value_twice", PK_JAIL_CRASHED, "must not send" },
    { "bson_list_out_of_order", PK_JAIL_CRASHED, "must not send" },
    { "bson_infinite", PK_JAIL_CRASHED, "must not send" },
    { "file_dirty", PK_JAIL_ERROR, "" },
    { "holds_much", PK_JAIL_CRASHED, "must not send" },
    { "dribble", PK_JAIL_KILLED, "stopped after" },
    { "say_nothing", PK_JAIL_KILLED, "stopped after" },
    { "exit_well", PK_JAIL_CRASHED, "the worker ended by itself (0)" },
    { "crash", PK_JAIL_CRASHED, "the worker died of signal 9" },
};

static bool refuse_to_be_asked(void *context, const char *name, const bson_t *question,
                               bson_t *answer, struct pk_error *err)
{
    (void)name;
    (void)question;
    (void)answer;
    (void)err;
    ++*(int *)context;
    return true;
}

static void expect_clean(const char *text)
{
    assert_true(bson_utf8_validate(text, strlen(text), false));
    for (const char *at = text; *at; at++) {
        assert_true(*at == '\n' || (unsigned char)*at >= ' ');
    }
}

#define LATE_NS (5000 * INT64_C(1000000)) /* It is ended, and not only with its server. */

TEST(a_worker_that_lies_is_killed)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf faults = { 0 };
    struct pk_jail *jail =
        pk_jail_new(&(struct pk_jail_options){ .worker_path = PK_ROGUE, .workers_max = 1 });
    for (size_t i = 0; i < PK_COUNT(trick_table); i++) {
        int asked = 0;
        struct jailed jailed = {
            .source = "return 1",
            .entry = trick_table[i].trick,
            .limits = { .soft_ms = 20, .hard_ms = 60 }, /* No asks. */
            .ask = refuse_to_be_asked,
            .context = &asked,
        };
        jailed_run(jail, &jailed);
        for (int tries = 0; jailed.result.took_ns > LATE_NS && tries < 3; tries++) {
            jailed_done(&jailed); /* On a busy machine a kill may wait for its turn. */
            jailed_run(jail, &jailed);
        }
        if (jailed.result.end != trick_table[i].end ||
            !strstr(jailed.is_ok ? "" : jailed.err.message, trick_table[i].words)) {
            pk_buf_printf(&faults, "\n%s: ended as '%s': %s", trick_table[i].trick,
                          pk_jail_end_name(jailed.result.end), jailed.err.message);
        }
        assert_true(IS_SANITIZED || jailed.result.took_ns <= LATE_NS);
        assert_int_equal(asked, 0); /* Nothing was granted. */
        expect_clean(pk_buf_text(&jailed.result.message));
        expect_clean(jailed.result.file);
        jailed_done(&jailed);
    }
    if (faults.size) {
        fail_msg("%s", pk_buf_text(&faults));
    }
    pk_jail_free(jail);
}

TEST(a_worker_that_says_it_holds_much_makes_room_for_another)
{
    struct pk_jail *jail = pk_jail_new(&(struct pk_jail_options){
        .worker_path = PK_ROGUE, .workers_max = 2, .memory_total_bytes = 256 << 20 });
    static const struct {
        const char *trick;
        enum pk_jail_end end;
    } step_table[] = {
        { "holds_some", PK_JAIL_DONE },
        { "holds_some", PK_JAIL_DONE }, /* And not: refused, busy. */
        { "exit_well", PK_JAIL_CRASHED },
    };
    for (size_t i = 0; i < PK_COUNT(step_table); i++) {
        struct jailed jailed = { .source = "return 1", .entry = step_table[i].trick };
        jailed_run(jail, &jailed);
        assert_int_equal(jailed.result.end, step_table[i].end);
        jailed_done(&jailed);
    }
    struct jailed jailed = { .source = "return 1",
                             .entry = "exit_well",
                             .limits = { .memory_bytes = SIZE_MAX - 4096 } };
    jailed_run(jail, &jailed);
    assert_int_equal(jailed.result.end, PK_JAIL_NOT_RUN);
    assert_int_equal(jailed.err.code, PK_BUSY);
    jailed_done(&jailed);
    pk_jail_free(jail);
}

TEST(a_worker_that_does_not_read_is_killed)
{
    struct pk_jail *jail =
        pk_jail_new(&(struct pk_jail_options){ .worker_path = PK_ROGUE, .workers_max = 1 });
    char *input = pk_alloc(4 << 20);
    (void)strcpy(input, "{ \"x\": \"");
    memset(input + strlen(input), 'x', (4 << 20) - 16);
    (void)strcpy(input + (4 << 20) - 16, "\" }");
    struct jailed jailed = { .source = "return 1",
                             .entry = "never_reads",
                             .input = input,
                             .limits = { .soft_ms = 20, .hard_ms = 100 } };
    jailed_run(jail, &jailed);
    assert_int_equal(jailed.result.end, PK_JAIL_KILLED);
    jailed_done(&jailed);
    pk_free(input);
    pk_jail_free(jail);
}
