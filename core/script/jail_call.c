/* jail_call.c - One call on one worker: frames, clocks, and how it ended.
 *
 *            send CALL
 *               |                       NEED -> send SOURCE
 *            receive until 'soft' ----> ASK  -> ask the caller, send ANSWER
 *               |                       END  -> result
 *            SIGUSR1: stop
 *            receive until 'hard'
 *               |
 *            SIGKILL; in a repeat first SIGUSR2: say where you are
 *
 * Both limits count from the CALL; the time that the caller takes to answer a
 * question is added to them, for it is not the script's. Nor is the time in
 * which its worker had no processor, while others had: when 'soft' has come and
 * the worker has used less, it is given the rest. What it has used is counted
 * from the first look at its clock, a millisecond after the CALL: most calls are
 * over by then and cost no look, and the others get that millisecond on top.
 * 'hard' is on the wall's clock, whatever was used.
 *
 * The stop signal is sent only while an answer is outstanding, and the next call
 * is sent after it, so a late signal meets a worker that is idle and ignores it.
 *
 * Everything that comes back is checked here, before anybody sees it: sizes,
 * BSON with UTF-8, clean text.
 * Thread: the caller's. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/error.h"
#include "base/text.h"
#include "script/jail_internal.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

enum {
    WHERE_MS = 50,
    LOOK_NS = 1000000,     /* After the CALL: when the worker's clock is read first. */
    SOFT_REST_NS = 500000, /* Less than that is not worth waiting for. */
    TEXTS_MAX = PK_WIRE_MESSAGE + PK_WIRE_TRACE,
    HELD_MAX_BYTES = 1 << 30, /* As much as a worker can take at all (lockdown.c). */
};

/* One exchange under way. */
struct exchange {
    struct jail_worker *worker;
    const struct pk_jail_call *call;
    struct pk_jail_result *result;
    struct pk_error *err;
    int64_t start_ns;
    int64_t looked_cpu_ns; /* What the worker had used at the first look; -1: nobody can tell. */
    int64_t waited_ns;     /* For the caller's answers. */
    bool has_looked;
    bool has_source;  /* The texts were sent: it cannot need them again. */
    bool is_stopping; /* The stop signal was sent. */
    bool is_asked_where;
    bool is_spent; /* The worker must be ended. */
};

/* One row per end, so that name, code and advice can never disagree. */
static const struct {
    const char *name;
    enum pk_code code;
    const char *hint;
} end_table[PK_JAIL_ENDS] = {
    [PK_JAIL_DONE] = { "done", PK_OK, NULL },
    [PK_JAIL_SYNTAX] = { "syntax", PK_INVALID, "mend the script" },
    [PK_JAIL_ERROR] = { "error", PK_INVALID, "mend the script" },
    [PK_JAIL_STOPPED] = { "stopped", PK_TIMEOUT,
                          "make the script do less, or raise its limit 'soft_ms'" },
    [PK_JAIL_KILLED] = { "killed", PK_TIMEOUT,
                         "make the script do less, or raise its limit 'hard_ms'" },
    [PK_JAIL_MEMORY] = { "memory", PK_TOO_LARGE,
                         "make the script keep less, or raise its limit 'memory'" },
    [PK_JAIL_OUTPUT] = { "output", PK_INVALID, "mend what the script gives out" },
    [PK_JAIL_CRASHED] = { "crashed", PK_UNAVAILABLE, "try again; report it if it happens again" },
    [PK_JAIL_NOT_RUN] = { "not_run", PK_BUSY, "try again" },
};

/* What the worker's reasons are here. */
static const enum pk_jail_end reason_table[PK_WIRE_REASONS] = {
    [PK_WIRE_DONE] = PK_JAIL_DONE,     [PK_WIRE_SYNTAX] = PK_JAIL_SYNTAX,
    [PK_WIRE_ERROR] = PK_JAIL_ERROR,   [PK_WIRE_STOPPED] = PK_JAIL_STOPPED,
    [PK_WIRE_MEMORY] = PK_JAIL_MEMORY, [PK_WIRE_OUTPUT] = PK_JAIL_OUTPUT,
};

const char *pk_jail_end_name(enum pk_jail_end end)
{
    return end_table[end].name;
}

/* ---- Ending ---- */

static int64_t ran_ms(const struct exchange *exchange)
{
    return (exchange->result->took_ns + 500000) / 1000000;
}

/* Says the end as an error: "daily.lua:12: attempt to ...". */
static bool fail_with(struct exchange *exchange, enum pk_jail_end end)
{
    struct pk_jail_result *result = exchange->result;

    result->end = end;
    if (result->line) {
        return pk_fail(exchange->err, end_table[end].code, end_table[end].hint, "%s:%u: %s",
                       result->file, result->line, pk_buf_text(&result->message));
    }
    return pk_fail(exchange->err, end_table[end].code, end_table[end].hint, "%s: %s",
                   exchange->call->script->name, pk_buf_text(&result->message));
}

static bool fail_stopped(struct exchange *exchange, enum pk_jail_end end)
{
    pk_buf_clear(&exchange->result->message);
    pk_buf_printf(&exchange->result->message, "stopped after %lld ms", (long long)ran_ms(exchange));
    return fail_with(exchange, end);
}

static bool fail_killed(struct exchange *exchange)
{
    exchange->is_spent = true;
    (void)jail_worker_end(exchange->worker);
    exchange->result->took_ns = jail_now_ns() - exchange->start_ns - exchange->waited_ns;
    return fail_stopped(exchange, PK_JAIL_KILLED);
}

static bool fail_crashed(struct exchange *exchange, bool is_nonsense)
{
    const int status = jail_worker_end(exchange->worker);
    struct pk_buf *message = &exchange->result->message;

    exchange->is_spent = true;
    pk_buf_clear(message);
    if (is_nonsense) {
        pk_buf_add_text(message, "the worker sent what it must not send, and was killed");
    } else if (status >= 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) {
        pk_buf_add_text(message, "the worker died: it tried a system call that is not allowed");
    } else if (status >= 0 && WIFSIGNALED(status)) {
        pk_buf_printf(message, "the worker died of signal %d", WTERMSIG(status));
    } else {
        pk_buf_printf(message, "the worker ended by itself (%d)",
                      status >= 0 ? WEXITSTATUS(status) : -1);
    }
    return fail_with(exchange, PK_JAIL_CRASHED);
}

static bool fail_io(struct exchange *exchange, enum jail_io io)
{
    exchange->result->took_ns = jail_now_ns() - exchange->start_ns - exchange->waited_ns;
    return io == JAIL_IO_TIMEOUT ? fail_killed(exchange)
                                 : fail_crashed(exchange, io == JAIL_IO_NONSENSE);
}

/* ---- What is sent ---- */

static void add_call(struct exchange *exchange, int64_t now_ms)
{
    const struct pk_jail_call *call = exchange->call;
    const struct pk_jail_limits *limits = &call->limits;
    struct pk_wire_call wire = {
        .seed = call->seed,
        .now_ms = now_ms,
        .memory_bytes = limits->memory_bytes,
        .output_bytes = limits->output_bytes,
        .depth = limits->depth,
        .asks = call->ask ? limits->asks : 0,
        .is_interpreted = call->is_repeat,
    };

    memcpy(wire.script, call->script->hash, sizeof(wire.script));
    if (call->script->preamble) {
        memcpy(wire.preamble, call->script->preamble_hash, sizeof(wire.preamble));
    }
    (void)strncpy(wire.entry, call->entry, sizeof(wire.entry) - 1);
    jail_frame(exchange->worker, PK_WIRE_CALL);
    struct pk_buf *out = &exchange->worker->out;
    const size_t at = out->size;
    pk_buf_add(out, &wire, sizeof(wire));
    if (call->script->cut &&
        jail_cut(call->script->cut, call->input, call->input_size, out, &wire)) {
        memcpy(out->data + at, &wire, sizeof(wire));
    } else {
        jail_frame_tail(exchange->worker, call->input, call->input_size);
    }
}

static void add_source(struct exchange *exchange)
{
    const struct pk_jail_script *script = exchange->call->script;
    struct pk_buf *out = &exchange->worker->out;
    struct pk_wire_source source = {
        .source_size = (uint32_t)script->source_size,
        .preamble_size = script->preamble ? (uint32_t)script->preamble_size : 0,
        .is_preamble_resident = script->is_preamble_resident,
        .module_count = (uint32_t)script->module_count,
    };

    (void)strncpy(source.name, script->name, sizeof(source.name) - 1);
    jail_frame(exchange->worker, PK_WIRE_SOURCE);
    pk_buf_add(out, &source, sizeof(source));
    pk_buf_add(out, script->source, script->source_size);
    pk_buf_add(out, script->preamble, source.preamble_size);
    for (size_t i = 0; i < script->module_count; i++) {
        const struct pk_jail_module *module = &script->module[i];
        struct pk_wire_module wire = { .size = (uint32_t)module->size };
        (void)strncpy(wire.name, module->name, sizeof(wire.name) - 1);
        (void)strncpy(wire.file, module->file, sizeof(wire.file) - 1);
        pk_buf_add(out, &wire, sizeof(wire));
        pk_buf_add(out, module->text, module->size);
    }
}

/* The caller's answer, or his error as { code, message, hint }. */
static void add_answer(struct exchange *exchange, const char *name, const bson_t *question)
{
    const struct pk_jail_call *call = exchange->call;
    struct pk_wire_answer wire = { 0 };
    struct pk_error error = { 0 };
    bson_t answer = BSON_INITIALIZER;

    wire.is_ok = call->ask(call->context, name, question, &answer, &error);
    exchange->result->asked++;
    if (!wire.is_ok) {
        bson_reinit(&answer);
        BSON_APPEND_UTF8(&answer, "code", pk_code_name(error.code));
        BSON_APPEND_UTF8(&answer, "message", error.message);
        if (error.hint) {
            BSON_APPEND_UTF8(&answer, "hint", error.hint);
        }
    }
    jail_frame(exchange->worker, PK_WIRE_ANSWER);
    pk_buf_add(&exchange->worker->out, &wire, sizeof(wire));
    pk_buf_add(&exchange->worker->out, bson_get_data(&answer), answer.len);
    bson_destroy(&answer);
}

/* ---- What comes ---- */

/* A question in worker->in; its answer goes to worker->out. False: nonsense, as is one that was not
 * granted: an honest worker counts, too, and refuses it by itself. */
static bool take_question(struct exchange *exchange)
{
    const struct pk_jail_call *call = exchange->call;
    const struct pk_buf *in = &exchange->worker->in;
    const size_t head = sizeof(struct pk_wire_head) + sizeof(struct pk_wire_ask);
    struct pk_wire_ask ask;
    bson_t question;

    if (in->size < head) {
        return false;
    }
    memcpy(&ask, in->data + sizeof(struct pk_wire_head), sizeof(ask));
    const uint8_t *data = (const uint8_t *)in->data + head;
    if (!call->ask || exchange->result->asked >= call->limits.asks ||
        ask.name[sizeof(ask.name) - 1] || in->size - head > call->limits.output_bytes ||
        !jail_value_is_good(data, in->size - head, call->limits.depth) ||
        !bson_init_static(&question, data, in->size - head)) {
        return false;
    }
    const int64_t asked_ns = jail_now_ns();
    add_answer(exchange, ask.name, &question);
    exchange->waited_ns += jail_now_ns() - asked_ns;
    return true;
}

/* Clean text of one line; what no longer fits is cut off between two characters. */
static void take_file(struct pk_jail_result *result, const char *file)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf clean = { 0 };

    pk_text_clean(&clean, file, strnlen(file, PK_WIRE_NAME));
    size_t size = clean.size < sizeof(result->file) ? clean.size : sizeof(result->file) - 1;
    while (size > 0 && size < clean.size && ((unsigned char)clean.data[size] & 0xc0) == 0x80) {
        size--;
    }
    for (size_t i = 0; i < size; i++) {
        result->file[i] = clean.data[i] == '\n' ? ' ' : clean.data[i];
    }
    result->file[size] = '\0';
}

static void take_texts(struct pk_jail_result *result, const struct pk_wire_end *end,
                       const char *text)
{
    pk_text_clean(&result->message, text, end->message_size);
    pk_text_clean(&result->trace, text + end->message_size, end->trace_size);
    take_file(result, end->file);
    result->line = end->line;
}

/* An END in worker->in becomes the result. */
static bool take_end(struct exchange *exchange)
{
    const struct pk_buf *in = &exchange->worker->in;
    const size_t head = sizeof(struct pk_wire_head) + sizeof(struct pk_wire_end);
    struct pk_jail_result *result = exchange->result;
    struct pk_wire_end end;

    if (in->size < head) {
        return fail_crashed(exchange, true);
    }
    memcpy(&end, in->data + sizeof(struct pk_wire_head), sizeof(end));
    const char *rest = in->data + head;
    const size_t size = in->size - head;
    if (end.reason >= PK_WIRE_REASONS || end.held_bytes > HELD_MAX_BYTES ||
        end.peak_bytes > HELD_MAX_BYTES ||
        (end.reason == PK_WIRE_DONE
             ? size > exchange->call->limits.output_bytes ||
                   !jail_value_is_good((const uint8_t *)rest, size, exchange->call->limits.depth)
             : end.message_size > PK_WIRE_MESSAGE || end.trace_size > PK_WIRE_TRACE ||
                   size != (size_t)end.message_size + end.trace_size)) {
        return fail_crashed(exchange, true);
    }
    result->peak_bytes = end.peak_bytes;
    exchange->worker->held_bytes = end.held_bytes;
    result->end = reason_table[end.reason];
    if (result->end == PK_JAIL_DONE) {
        pk_buf_add(&result->output, rest, size);
        return true;
    }
    take_texts(result, &end, rest);
    if (exchange->is_asked_where || result->end == PK_JAIL_MEMORY) {
        /* It has said its last words; and a heap that was full may not be sound (stop.c). */
        (void)jail_worker_end(exchange->worker);
        exchange->is_spent = true;
    }
    if (exchange->is_asked_where) {
        return fail_stopped(exchange, PK_JAIL_KILLED);
    }
    return result->end == PK_JAIL_STOPPED ? fail_stopped(exchange, PK_JAIL_STOPPED)
                                          : fail_with(exchange, result->end);
}

/* ---- The clocks ---- */

/* What a worker has used of a processor; -1: nobody can tell. */
static int64_t cpu_ns(const struct jail_worker *worker)
{
    struct timespec used;
    return clock_gettime(worker->cpu_clock, &used) == 0
               ? (int64_t)used.tv_sec * 1000000000 + used.tv_nsec
               : -1;
}

/* What it may still use before it is asked to stop. */
static int64_t left_ns(const struct exchange *exchange)
{
    const int64_t now_cpu_ns = cpu_ns(exchange->worker);
    return now_cpu_ns < 0 || exchange->looked_cpu_ns < 0
               ? 0
               : exchange->call->limits.soft_ms * 1000000 - (now_cpu_ns - exchange->looked_cpu_ns);
}

/* The next frame, if it comes before the first look, which is taken when it does not. */
static enum jail_io receive_early(struct exchange *exchange, size_t max, int64_t until,
                                  enum pk_wire_kind *out_kind)
{
    const int64_t look = exchange->start_ns + exchange->waited_ns + LOOK_NS;
    const enum jail_io io =
        jail_receive(exchange->worker, max, look < until ? look : until, out_kind);
    if (io == JAIL_IO_TIMEOUT) {
        exchange->looked_cpu_ns = cpu_ns(exchange->worker);
        exchange->has_looked = true;
    }
    return io;
}

/* The next frame until 'soft', which moves for as long as the worker had no processor. */
static enum jail_io receive_softly(struct exchange *exchange, size_t max, int64_t soft,
                                   int64_t hard, enum pk_wire_kind *out_kind)
{
    for (;;) {
        const int64_t until = soft < hard ? soft : hard;
        enum jail_io io =
            exchange->has_looked ? JAIL_IO_TIMEOUT : receive_early(exchange, max, until, out_kind);
        if (io == JAIL_IO_TIMEOUT) {
            io = jail_receive(exchange->worker, max, until, out_kind);
        }
        const int64_t left = io == JAIL_IO_TIMEOUT && soft < hard ? left_ns(exchange) : 0;
        if (left < SOFT_REST_NS) {
            return io;
        }
        soft = jail_now_ns() + left;
    }
}

/* The next frame; sends the stop signal on the way when the time has come. */
static enum jail_io receive(struct exchange *exchange, enum pk_wire_kind *out_kind)
{
    const struct pk_jail_limits *limits = &exchange->call->limits;
    const int64_t from = exchange->start_ns + exchange->waited_ns;
    const int64_t soft = from + limits->soft_ms * 1000000;
    const int64_t hard = from + limits->hard_ms * 1000000;
    const size_t fixed = sizeof(struct pk_wire_end) + sizeof(struct pk_wire_ask) + TEXTS_MAX;
    const size_t max = fixed + limits->output_bytes;
    enum jail_io io;

    if (!exchange->is_stopping) {
        io = receive_softly(exchange, max, soft, hard, out_kind);
        if (io != JAIL_IO_TIMEOUT) {
            return io;
        }
        exchange->is_stopping = true;
        (void)kill(exchange->worker->pid, SIGUSR1);
    }
    io = jail_receive(exchange->worker, max, hard, out_kind);
    if (io == JAIL_IO_TIMEOUT && exchange->call->is_repeat) {
        exchange->is_asked_where = true;
        (void)kill(exchange->worker->pid, SIGUSR2);
        io = jail_receive(exchange->worker, max, hard + WHERE_MS * INT64_C(1000000), out_kind);
    }
    return io;
}

bool jail_exchange(struct jail_worker *worker, const struct pk_jail_call *call, int64_t now_ms,
                   struct pk_jail_result *result, bool *out_is_spent, struct pk_error *err)
{
    struct exchange exchange = {
        .worker = worker,
        .call = call,
        .result = result,
        .err = err,
        .start_ns = jail_now_ns(),
    };
    bool is_ok = false, is_over = false;

    add_call(&exchange, now_ms);
    while (!is_over) {
        const int64_t hard =
            exchange.start_ns + exchange.waited_ns + call->limits.hard_ms * 1000000;
        enum pk_wire_kind kind = PK_WIRE_END;
        enum jail_io io = jail_send(worker, hard);
        io = io == JAIL_IO_OK ? receive(&exchange, &kind) : io;
        if (io != JAIL_IO_OK) {
            is_ok = fail_io(&exchange, io);
            break;
        }
        result->took_ns = jail_now_ns() - exchange.start_ns - exchange.waited_ns;
        if (kind == PK_WIRE_NEED && !exchange.has_source) {
            exchange.has_source = true;
            add_source(&exchange);
        } else if (kind == PK_WIRE_END) {
            is_ok = take_end(&exchange);
            is_over = true;
        } else if (kind != PK_WIRE_ASK || !take_question(&exchange)) {
            is_ok = fail_crashed(&exchange, true);
            is_over = true;
        }
        jail_taken(worker);
    }
    *out_is_spent = exchange.is_spent;
    return is_ok;
}
