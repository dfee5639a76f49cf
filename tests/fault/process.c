/* process.c - Children, pipes and time. */
/* SPDX-License-Identifier: MIT */
#include "process.h"

#include "journal.h"
#include "tap.h"

#include "base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { READ_BYTES = 64 * 1024, ARGUMENTS_MAX = 32, HEAR_MS = 5 };

extern char **environ;

int64_t fault_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- Programs ---- */

/* Starts a program with the given ends as its standard input and output; -1: as ours. */
static pid_t spawn(const char *const *argument, int input, int output)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    pid_t pid;
    (void)sigemptyset(&none);
    (void)posix_spawnattr_init(&attributes);
    (void)posix_spawnattr_setsigmask(&attributes, &none);
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    (void)posix_spawn_file_actions_init(&actions);
    if (input >= 0) {
        (void)posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    }
    if (output >= 0) {
        (void)posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    }
    int failure =
        posix_spawnp(&pid, argument[0], &actions, &attributes, (char *const *)argument, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)posix_spawnattr_destroy(&attributes);
    if (failure != 0) {
        tap_bail("'%s' starts: %s", argument[0], strerror(failure));
    }
    return pid;
}

static void make_pipe(int ends[2])
{
    if (pipe2(ends, O_CLOEXEC) != 0) {
        tap_bail("a pipe: %s", strerror(errno));
    }
}

/* ---- The writer ---- */

const char *fault_beside(const char *name)
{
    static char path[4096];
    ssize_t size = readlink("/proc/self/exe", path, sizeof(path) - 64);
    if (size <= 0) {
        tap_bail("find this program: %s", strerror(errno));
    }
    path[size] = '\0';
    (void)strcpy(strrchr(path, '/') + 1, name);
    return path;
}

void fault_child_start(struct fault_child *child, const char *const *option)
{
    const char *argument[ARGUMENTS_MAX] = { fault_beside("fault_writer") };
    int input[2];
    int output[2];
    for (size_t i = 0; option[i] && i + 2 < ARGUMENTS_MAX; i++) {
        argument[i + 1] = option[i];
    }
    make_pipe(input);
    make_pipe(output);
    *child = (struct fault_child){ .input = input[1], .output = output[0] };
    child->pid = spawn(argument, input[0], output[1]);
    (void)close(input[0]);
    (void)close(output[1]);
}

/* Hands whole lines to the journal and keeps the rest. */
static void take_lines(struct fault_child *child, struct fault_journal *journal)
{
    char *line = child->rest.data;
    char *end = line + child->rest.size;
    char *stop;
    while (line && (stop = memchr(line, '\n', (size_t)(end - line))) != NULL) {
        *stop = '\0';
        fault_journal_line(journal, line);
        line = stop + 1;
    }
    if (line) {
        child->rest.size = (size_t)(end - line);
        memmove(child->rest.data, line, child->rest.size);
    }
}

static void end_child(struct fault_child *child)
{
    if (child->input >= 0) {
        (void)close(child->input);
    }
    (void)close(child->output);
    while (waitpid(child->pid, &child->status, 0) < 0 && errno == EINTR) {
    }
    child->pid = 0;
    pk_buf_done(&child->rest);
}

bool fault_child_hear(struct fault_child *child, struct fault_journal *journal, int64_t ms)
{
    int64_t end_ms = fault_now_ms() + ms;
    bool is_drained = false; /* What lies in the pipe is always heard. */
    while (!is_drained || fault_now_ms() < end_ms) {
        struct pollfd output = { .fd = child->output, .events = POLLIN };
        int64_t left_ms = end_ms - fault_now_ms();
        if (poll(&output, 1, left_ms > 0 ? (int)left_ms : 0) <= 0) {
            is_drained = true;
            continue;
        }
        ssize_t got = read(child->output, pk_buf_reserve(&child->rest, READ_BYTES), READ_BYTES);
        is_drained = got < PIPE_BUF;
        if (got > 0) {
            child->rest.size += (size_t)got;
            take_lines(child, journal);
        } else if (got == 0) {
            end_child(child);
            return false;
        }
    }
    return true;
}

void fault_child_kill(struct fault_child *child, struct fault_journal *journal)
{
    if (child->pid == 0) {
        return;
    }
    (void)kill(child->pid, SIGKILL);
    while (fault_child_hear(child, journal, 1000)) {
    }
}

bool fault_child_finish(struct fault_child *child, struct fault_journal *journal, int64_t ms)
{
    if (child->pid != 0 && child->input >= 0) {
        (void)close(child->input);
        child->input = -1;
    }
    if (child->pid != 0 && fault_child_hear(child, journal, ms)) {
        tap_note("the writer did not end within %lld ms", (long long)ms);
        fault_child_kill(child, journal);
    }
    return WIFEXITED(child->status) && WEXITSTATUS(child->status) == 0;
}

/* ---- Other programs ---- */

/* True when there is something to read; hears the child while there is not. */
static void await_output(int output, struct fault_child *child, struct fault_journal *journal)
{
    struct pollfd ready = { .fd = output, .events = POLLIN };
    while (poll(&ready, 1, child && child->pid ? 0 : -1) == 0) {
        (void)fault_child_hear(child, journal, HEAR_MS);
    }
}

bool fault_run(const char *const *argument, char *out, size_t out_size, struct fault_child *child,
               struct fault_journal *journal)
{
    int ends[2];
    int status = 0;
    char bytes[512];
    size_t size = 0;
    ssize_t got = 1;
    make_pipe(ends);
    pid_t pid = spawn(argument, -1, ends[1]);
    (void)close(ends[1]);
    while (got > 0 || (got < 0 && errno == EINTR)) {
        await_output(ends[0], child, journal);
        got = read(ends[0], bytes, sizeof(bytes));
        for (ssize_t i = 0; out && i < got && size + 1 < out_size; i++) {
            out[size++] = bytes[i];
        }
    }
    (void)close(ends[0]);
    if (out) {
        out[size] = '\0';
        out[strcspn(out, "\n")] = '\0';
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* ---- The rest ---- */

const char *fault_source(const char *path)
{
    static char full[4096];
    const char *top = getenv("PK_SOURCE");
    (void)snprintf(full, sizeof(full), "%s/%s", top ? top : PK_SOURCE_FOLDER, path);
    return full;
}

void fault_times_add(struct fault_times *times, int64_t ms)
{
    if (times->count == times->capacity) {
        times->capacity = times->capacity ? 2 * times->capacity : 64;
        times->ms = pk_realloc(times->ms, times->capacity * sizeof(*times->ms));
    }
    times->ms[times->count++] = ms;
}

static int compare_ms(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int64_t fault_times_at(struct fault_times *times, double quantile)
{
    if (times->count == 0) {
        return -1;
    }
    qsort(times->ms, times->count, sizeof(*times->ms), compare_ms);
    return times->ms[(size_t)(quantile * (double)(times->count - 1) + 0.5)];
}

void fault_times_done(struct fault_times *times)
{
    pk_free(times->ms);
    *times = (struct fault_times){ 0 };
}

/* The one folder of this program. */
static char folder[256];

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
    (void)info;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void remove_folder(void)
{
    (void)nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

const char *fault_folder(void)
{
    if (folder[0] == '\0') {
        const char *tmp = getenv("TMPDIR");
        (void)snprintf(folder, sizeof(folder), "%s/personakit-fault-XXXXXX", tmp ? tmp : "/tmp");
        if (!mkdtemp(folder)) {
            tap_bail("a folder '%s': %s", folder, strerror(errno));
        }
        (void)atexit(remove_folder);
    }
    return folder;
}
