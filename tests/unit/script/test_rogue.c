/* test_rogue.c - A worker that lies, and what it gets: its call fails, and it is killed. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "jailed.h"

#include <string.h>

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
    { "ask_unasked", PK_JAIL_DONE, "" },
    { "ask_without_name", PK_JAIL_CRASHED, "must not send" },
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

TEST(a_worker_that_lies_is_killed)
{
    struct pk_jail *jail =
        pk_jail_new(&(struct pk_jail_options){ .worker_path = PK_ROGUE, .workers_max = 1 });
    for (size_t i = 0; i < PK_COUNT(trick_table); i++) {
        int asked = 0;
        struct jailed jailed = {
            .source = "return 1",
            .entry = trick_table[i].trick,
            .limits = { .soft_ms = 20, .hard_ms = 60 },
            .ask = refuse_to_be_asked,
            .context = &asked,
        };
        jailed_run(jail, &jailed);
        if (jailed.result.end != trick_table[i].end ||
            !strstr(jailed.is_ok ? "" : jailed.err.message, trick_table[i].words)) {
            fail_msg("%s: ended as '%s': %s", trick_table[i].trick,
                     pk_jail_end_name(jailed.result.end), jailed.err.message);
        }
        assert_int_equal(asked, 0); /* Nothing was granted. */
        for (const char *at = pk_buf_text(&jailed.result.message); *at; at++) {
            assert_true(*at == '\n' || (unsigned char)*at >= ' ');
        }
        jailed_done(&jailed);
    }
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
