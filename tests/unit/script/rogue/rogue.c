/* rogue.c - A script worker as it would be if a script had taken it over.
 *
 *     rogue [unsafe]
 *
 * Says a good hello and reads the call; then does what the call's entry names:
 * a row of 'trick_table'. What the server makes of it is in test_rogue.c. */
/* SPDX-License-Identifier: MIT */
#include "script/worker/wire.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void put(const void *data, size_t size)
{
    for (size_t at = 0; at < size;) {
        const ssize_t done = write(PK_WIRE_FD, (const char *)data + at, size - at);
        if (done <= 0) {
            _exit(0);
        }
        at += (size_t)done;
    }
}

static void put_head(uint32_t kind, size_t size)
{
    const struct pk_wire_head head = { kind, (uint32_t)size };
    put(&head, sizeof(head));
}

static void put_end(const struct pk_wire_end *end, const void *rest, size_t size)
{
    put_head(PK_WIRE_END, sizeof(*end) + size);
    put(end, sizeof(*end));
    put(rest, size);
}

static void take(void *out, size_t size)
{
    for (size_t at = 0; at < size;) {
        const ssize_t got = read(PK_WIRE_FD, (char *)out + at, size - at);
        if (got <= 0) {
            _exit(0);
        }
        at += (size_t)got;
    }
}

/* ---- The tricks ---- */

static const char empty_bson[] = { 5, 0, 0, 0, 0 };

static void half_a_head(void)
{
    put("\7", 1);
}

static void half_a_frame(void)
{
    put_head(PK_WIRE_END, 4096);
    put("half", 4);
}

static void huge_frame(void)
{
    put_head(PK_WIRE_END, 0xffffffff);
}

static void unknown_kind(void)
{
    put_head(4711, 0);
}

static void hello_again(void)
{
    const struct pk_wire_hello hello = { .version = PK_WIRE_VERSION, .is_locked = 1 };
    put_head(PK_WIRE_HELLO, sizeof(hello));
    put(&hello, sizeof(hello));
}

static void bad_reason(void)
{
    const struct pk_wire_end end = { .reason = 99 };
    put_end(&end, empty_bson, sizeof(empty_bson));
}

static void not_bson(void)
{
    const struct pk_wire_end end = { .reason = PK_WIRE_DONE };
    put_end(&end, "\x20\0\0\0garbage", 11);
}

static void bson_not_utf8(void)
{
    static const char bson[] = "\x10\0\0\0\2value\0\2\0\0\0\xff\0";
    const struct pk_wire_end end = { .reason = PK_WIRE_DONE };
    put_end(&end, bson, sizeof(bson));
}

static void two_answers(void)
{
    const struct pk_wire_end end = { .reason = PK_WIRE_DONE };
    const struct pk_wire_head head = { PK_WIRE_END, sizeof(end) + sizeof(empty_bson) };
    char frame[2 * (sizeof(head) + sizeof(end) + sizeof(empty_bson))];
    for (size_t i = 0, at = 0; i < 2; i++, at += sizeof(frame) / 2) {
        memcpy(frame + at, &head, sizeof(head));
        memcpy(frame + at + sizeof(head), &end, sizeof(end));
        memcpy(frame + at + sizeof(head) + sizeof(end), empty_bson, sizeof(empty_bson));
    }
    put(frame, sizeof(frame));
}

static void lying_sizes(void)
{
    const struct pk_wire_end end = { .reason = PK_WIRE_ERROR,
                                     .message_size = 0xfffffff0,
                                     .trace_size = 0x20 };
    put_end(&end, "0123456789abcdef", 16);
}

static void dirty_text(void)
{
    struct pk_wire_end end = { .reason = PK_WIRE_ERROR, .line = 1, .message_size = 10 };
    memset(end.file, 'f', sizeof(end.file)); /* Without a NUL. */
    put_end(&end, "\x1b[2J\r\n\0\xff\xfe!", 10);
}

static void need_for_ever(void)
{
    char sink[65536];
    for (;;) {
        put_head(PK_WIRE_NEED, 0);
        if (read(PK_WIRE_FD, sink, sizeof(sink)) <= 0) {
            _exit(0);
        }
    }
}

static void ask_unasked(void)
{
    struct pk_wire_ask ask = { .name = "steal" };
    put_head(PK_WIRE_ASK, sizeof(ask) + sizeof(empty_bson));
    put(&ask, sizeof(ask));
    put(empty_bson, sizeof(empty_bson));
    struct pk_wire_head head;
    struct pk_wire_answer answer;
    take(&head, sizeof(head));
    take(&answer, sizeof(answer));
    char rest[4096];
    take(rest, head.size - sizeof(answer));
    const struct pk_wire_end end = { .reason = PK_WIRE_DONE };
    char bson[] = "\x0e\0\0\0\x8value\0\0"; /* Whether it was answered. */
    bson[11] = (char)answer.is_ok;
    bson[0] = 13;
    put_end(&end, bson, 13);
}

static void ask_without_name(void)
{
    struct pk_wire_ask ask;
    memset(&ask, 'x', sizeof(ask));
    put_head(PK_WIRE_ASK, sizeof(ask) + sizeof(empty_bson));
    put(&ask, sizeof(ask));
    put(empty_bson, sizeof(empty_bson));
}

static void ask_for_ever(void)
{
    struct pk_wire_ask ask = { .name = "again" };
    char sink[4096];
    for (;;) {
        put_head(PK_WIRE_ASK, sizeof(ask) + sizeof(empty_bson));
        put(&ask, sizeof(ask));
        put(empty_bson, sizeof(empty_bson));
        if (read(PK_WIRE_FD, sink, sizeof(sink)) <= 0) {
            _exit(0);
        }
    }
}

/* Documents in documents, as many as an output may have bytes: 7 for each. */
static void bottomless_bson(void)
{
    enum { LEVELS = 37000, SIZE = 5 + 7 * LEVELS };
    static char bson[SIZE + 1];
    const struct pk_wire_end end = { .reason = PK_WIRE_DONE };
    for (uint32_t i = 0; i <= LEVELS; i++) {
        const uint32_t size = SIZE - 7 * i;
        memcpy(bson + 6 * i, &size, sizeof(size));
        if (i < LEVELS) {
            bson[6 * i + 4] = 3;
        }
    }
    put_end(&end, bson, SIZE);
}

/* Sound BSON, but not what a script can give. */
static void put_element(const char *element, size_t size)
{
    const struct pk_wire_end end = { .reason = PK_WIRE_DONE };
    char bson[128] = { 0 };
    bson[0] = (char)(size + 5);
    memcpy(bson + 4, element, size);
    put_end(&end, bson, size + 5);
}

static void bson_regex(void)
{
    put_element("\x0bvalue\0.*\0i", 12);
}

static void bson_code(void)
{
    put_element("\x0dvalue\0\2\0\0\0x", 13);
}

static void bson_other_field(void)
{
    put_element("\x08other\0\1", 8);
}

static void bson_value_twice(void)
{
    put_element("\x08value\0\1\x08value\0", 16);
}

static void bson_list_out_of_order(void)
{
    put_element("\x04value\0\x09\0\0\0\x08"
                "7\0\1",
                16);
}

static void bson_infinite(void)
{
    put_element("\x01value\0\0\0\0\0\0\0\xf0\x7f", 15);
}

static void file_dirty(void)
{
    struct pk_wire_end end = {
        .reason = PK_WIRE_ERROR, .line = 1, .message_size = 1, .file = "\x1b[2J\xff\r\nx"
    };
    put_end(&end, "!", 1);
}

static void holds_some(void)
{
    const struct pk_wire_end end = { .reason = PK_WIRE_DONE, .held_bytes = 512 << 20 };
    put_end(&end, empty_bson, sizeof(empty_bson));
}

static void holds_much(void)
{
    const struct pk_wire_end end = { .reason = PK_WIRE_DONE, .held_bytes = UINT64_MAX - 4096 };
    put_end(&end, empty_bson, sizeof(empty_bson));
}

/* One byte after the other, for ever: of a frame that is as large as allowed. */
static void dribble(void)
{
    put_head(PK_WIRE_END, 256 << 10);
    for (;;) {
        put("x", 1);
    }
}

static void say_nothing(void)
{
    for (;;) {
        (void)pause();
    }
}

static void exit_well(void)
{
    _exit(0);
}

static void crash(void)
{
    (void)raise(SIGKILL);
}

static const struct {
    const char *entry;
    void (*play)(void);
} trick_table[] = {
    { "half_a_head", half_a_head },
    { "half_a_frame", half_a_frame },
    { "huge_frame", huge_frame },
    { "unknown_kind", unknown_kind },
    { "hello_again", hello_again },
    { "bad_reason", bad_reason },
    { "not_bson", not_bson },
    { "bson_not_utf8", bson_not_utf8 },
    { "two_answers", two_answers },
    { "lying_sizes", lying_sizes },
    { "dirty_text", dirty_text },
    { "need_for_ever", need_for_ever },
    { "ask_unasked", ask_unasked },
    { "ask_without_name", ask_without_name },
    { "ask_for_ever", ask_for_ever },
    { "bottomless_bson", bottomless_bson },
    { "bson_regex", bson_regex },
    { "bson_code", bson_code },
    { "bson_other_field", bson_other_field },
    { "bson_value_twice", bson_value_twice },
    { "bson_list_out_of_order", bson_list_out_of_order },
    { "bson_infinite", bson_infinite },
    { "file_dirty", file_dirty },
    { "holds_some", holds_some },
    { "holds_much", holds_much },
    { "dribble", dribble },
    { "say_nothing", say_nothing },
    { "exit_well", exit_well },
    { "crash", crash },
};

int main(void)
{
    struct pk_wire_head head;
    struct pk_wire_call call;
    char sink[4096];

    (void)signal(SIGUSR1, SIG_IGN);
    hello_again();
    for (;;) {
        take(&head, sizeof(head));
        take(&call, sizeof(call));
        for (size_t left = head.size - sizeof(call); left;) {
            const size_t size = left < sizeof(sink) ? left : sizeof(sink);
            if (strcmp(call.entry, "never_reads") == 0) {
                say_nothing();
            }
            take(sink, size);
            left -= size;
        }
        for (size_t i = 0; i < sizeof(trick_table) / sizeof(trick_table[0]); i++) {
            if (strcmp(call.entry, trick_table[i].entry) == 0) {
                trick_table[i].play();
            }
        }
    }
}
