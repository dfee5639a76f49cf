/* reload.c - Scripts that are saved all the time, in every bad way there is, while others call
 * them.
 *
 *     fault_reload --folder FOLDER [--reloads N] [--callers N] [--store URL] [--json]
 *
 * The server's own parts (cli/scripting.h) watch a folder. A writer saves a
 * bundle of two files that both hold the same number: whole; with a pause
 * between the files and in the middle of a file; with a syntax error; with an
 * example that is wrong; deleted, and written anew. Callers pin a generation,
 * run the script twice, and look at the numbers:
 *
 *     - no call fails
 *     - both files and both calls show one number
 *     - a number that was only ever saved in a bad version is never seen
 *     - private memory of all processes does not grow (from 400 reloads on)
 *
 * Figures: from the last byte saved to the first new request that is served by
 * it, less the 50 ms in which a file must be still. */
/* SPDX-License-Identifier: MIT */
#include "access/pepper.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "cli/scripting.h"
#include "doc/doc.h"
#include "doc/inventory.h"
#include "script/folders.h"
#include "script/scripts.h"
#include "script/takers.h"
#include "store/store.h"
#include "tap.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SETTLE_MS = 50,
    PATIENCE_MS = 120000,
    CALLERS_MAX = 32,
    WARM_RELOADS = 200,
    GROWTH_MAX_BYTES = 1024,
    NS_PER_MS = 1000000
};

static struct {
    long reloads, callers;
    const char *store;
    bool is_json;
    const char *work; /* A folder of its own. */
    struct pk_scripting scripting;
    atomic_bool is_over;
    atomic_long serving;  /* The number that the last call saw. */
    atomic_long good_max; /* Greatest number that may be served. */
    atomic_ulong calls, failures, mixed, bad;
    pthread_mutex_t lock; /* Guards 'why'. */
    char why[512];        /* What the first failure said. */
} drive = { .reloads = 100, .callers = 4, .lock = PTHREAD_MUTEX_INITIALIZER };

/* Numbers of bad versions are odd, of good ones even. */
static bool is_good(long number)
{
    return number % 2 == 0 && number <= atomic_load(&drive.good_max);
}

/* ---- Callers ---- */

static void note_failure(const struct pk_error *err)
{
    (void)pthread_mutex_lock(&drive.lock);
    if (drive.why[0] == '\0') {
        (void)snprintf(drive.why, sizeof(drive.why), "%s", err->message);
    }
    (void)pthread_mutex_unlock(&drive.lock);
    atomic_fetch_add(&drive.failures, 1);
}

/* The number that both files show; -1 when they differ, or the call failed. */
static long call_once(struct pk_generation *pinned, const struct pk_script *script,
                      const bson_t *input)
{
    const struct pk_scripts_call call = { .input = bson_get_data(input), .input_size = input->len };
    struct pk_scripts_result result = { 0 };
    struct pk_error err = { 0 };
    long number = -1;

    atomic_fetch_add(&drive.calls, 1);
    if (!pk_scripts_call(drive.scripting.scripts, pinned, script, &call, &result, &err)) {
        note_failure(&err);
    } else {
        bson_t view;
        pk_jail_result_view(&result.jail, &view);
        struct pk_doc *doc = pk_doc_new(&view);
        number = pk_doc_int(doc, "value.overlay.main", -1);
        if (number != pk_doc_int(doc, "value.overlay.helper", -2)) {
            atomic_fetch_add(&drive.mixed, 1);
            number = -1;
        }
        pk_doc_unref(doc);
    }
    pk_scripts_result_done(&result);
    return number;
}

static void *run_caller(void *nothing)
{
    bson_t input, mindscape;
    (void)nothing;
    bson_init(&input);
    BSON_APPEND_DOCUMENT_BEGIN(&input, "mindscape", &mindscape);
    bson_append_document_end(&input, &mindscape);
    BSON_APPEND_DATE_TIME(&input, "now", INT64_C(1790000000000));
    while (!atomic_load(&drive.is_over)) {
        struct pk_generation *pinned = pk_scripts_pin(drive.scripting.scripts);
        const struct pk_script *script = pk_generation_find(pinned, PK_SCRIPT_MAPPER, "turn");
        if (script) {
            const long first = call_once(pinned, script, &input);
            const long second = call_once(pinned, script, &input);
            if (first != -1 && second != -1) {
                atomic_fetch_add(&drive.mixed, first != second);
                atomic_fetch_add(&drive.bad, !is_good(first));
                atomic_store(&drive.serving, first);
            }
        }
        pk_generation_unpin(pinned);
        (void)poll(NULL, 0, 1); /* Load, but not all there is: the writer's figures count, too. */
    }
    bson_destroy(&input);
    return NULL;
}

/* ---- The writer ---- */

static void save(const char *name, const char *text, size_t size, bool is_in_place)
{
    PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/mappers/turn/%s", drive.work, name);
    PK_CLEANUP(pk_freep) char *fresh = pk_strdupf("%s/mappers/turn/.%s.tmp", drive.work, name);
    const int fd = open(is_in_place ? path : fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, text, size) != (ssize_t)size || close(fd) != 0 ||
        (!is_in_place && rename(fresh, path) != 0)) {
        tap_bail("cannot write '%s'", path);
    }
}

static char *helper_text(long number)
{
    return pk_strdupf("return { number = %ld }\n", number);
}

enum badness { FINE, SYNTAX, EXAMPLE };

static char *main_text(long number, enum badness badness)
{
    return pk_strdupf(
        "local pk = require \"personakit\"\n"
        "local helper = require \"helper\"\n"
        "return pk.mapper {\n"
        "  id = \"turn\", version = \"1.0.0\", name = \"Turn\", purpose = \"Turns\",\n"
        "  limits = { soft_ms = 1000, hard_ms = 5000 },\n" /* A stall is no failed call. */
        "  overlay = function(m, ctx)\n"
        "    return { main = %ld, helper = helper.number }%s\n"
        "  end,\n"
        "  examples = { { given = {}, expect = { overlay = { main = %ld } } } },\n"
        "}\n",
        number, badness == SYNTAX ? " end end" : "", badness == EXAMPLE ? number + 1 : number);
}

/* Both files, one after the other; 'pause_ms' in the middle of the second and between them. */
static void save_both(long number, enum badness badness, int pause_ms, bool is_in_place)
{
    PK_CLEANUP(pk_freep) char *helper = helper_text(number);
    PK_CLEANUP(pk_freep) char *text = main_text(number, badness);
    const size_t size = strlen(text);
    save("helper.lua", helper, strlen(helper), is_in_place);
    if (pause_ms > 0) {
        (void)poll(NULL, 0, pause_ms);
        save("init.lua", text, size / 2, true);
        (void)poll(NULL, 0, pause_ms);
    }
    save("init.lua", text, size, is_in_place);
}

static void delete_both(void)
{
    static const char *const name[] = { "init.lua", "helper.lua" };
    for (size_t i = 0; i < PK_COUNT(name); i++) {
        PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/mappers/turn/%s", drive.work, name[i]);
        (void)unlink(path);
    }
}

static void await_settled(void)
{
    if (!pk_folders_settle(drive.scripting.folders, PATIENCE_MS) ||
        !pk_takers_settle(drive.scripting.takers, PATIENCE_MS)) {
        tap_bail("the folder has not settled after %d ms", PATIENCE_MS);
    }
}

/* Until a caller has seen it; the nanoseconds that this took since 'since_ns'. */
static int64_t await_served(long number, int64_t since_ns)
{
    const struct pk_clock *clock = pk_clock_system();
    const int64_t end_ns = pk_deadline_in_ms(clock, PATIENCE_MS);
    while (atomic_load(&drive.serving) != number) {
        if (pk_deadline_passed(clock, end_ns)) {
            tap_bail("number %ld does not serve after %d ms: %ld does", number, PATIENCE_MS,
                     atomic_load(&drive.serving));
        }
        (void)poll(NULL, 0, 1);
    }
    return pk_clock_mono_ns(clock) - since_ns;
}

/* A good version, saved in one of the ways that editors have; what its activation took. */
static int64_t reload_good(long number, long turn)
{
    atomic_store(&drive.good_max, number);
    save_both(number, FINE, turn % 3 == 1 ? 10 : 0, turn % 2 == 0);
    return await_served(number, pk_clock_mono_ns(pk_clock_system())) -
           (int64_t)SETTLE_MS * NS_PER_MS;
}

static void reload_bad(long number, long turn)
{
    if (turn % 4 == 3) {
        delete_both();
    } else {
        save_both(number, turn % 2 ? SYNTAX : EXAMPLE, turn % 3 == 1 ? 10 : 0, turn % 2 == 0);
    }
    await_settled();
}

/* ---- Memory of this process and its workers ---- */

static long dirty_of(const char *pid)
{
    PK_CLEANUP(pk_freep) char *path = pk_strdupf("/proc/%s/smaps_rollup", pid);
    char line[256];
    long kilobytes = 0;
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof(line), file)) {
        (void)sscanf(line, "Private_Dirty: %ld kB", &kilobytes);
    }
    if (file) {
        (void)fclose(file);
    }
    return kilobytes * 1024;
}

static long dirty_of_all(void)
{
    char list[4096] = "";
    char *rest = NULL;
    long bytes = dirty_of("self");
    DIR *threads = opendir("/proc/self/task");
    for (struct dirent *entry; threads && (entry = readdir(threads));) {
        PK_CLEANUP(pk_freep)
        char *path = pk_strdupf("/proc/self/task/%s/children", entry->d_name);
        FILE *file = entry->d_name[0] == '.' ? NULL : fopen(path, "r");
        if (file) {
            list[fread(list, 1, sizeof(list) - 1, file)] = '\0';
            (void)fclose(file);
            for (char *pid = strtok_r(list, " ", &rest); pid; pid = strtok_r(NULL, " ", &rest)) {
                bytes += dirty_of(pid);
            }
        }
    }
    if (threads) {
        (void)closedir(threads);
    }
    return bytes;
}

/* ---- All of it ---- */

static void open_parts(struct pk_config **config, struct pk_store **store,
                       struct pk_peppers **peppers, struct pk_books *books, struct pk_log **log)
{
    const struct pk_clock *clock = pk_clock_system();
    PK_CLEANUP(pk_freep) char *folders = pk_strdupf("scripts.folders=%s/mappers", drive.work);
    PK_CLEANUP(pk_freep) char *bundle = pk_strdupf("%s/mappers/turn", drive.work);
    PK_CLEANUP(pk_freep) char *mappers = pk_strdupf("%s/mappers", drive.work);
    PK_CLEANUP(pk_freep) char *logged = pk_strdupf("%s/log", drive.work);
    PK_CLEANUP(pk_freep)
    char *url = drive.store ? pk_strdup(drive.store) : pk_strdupf("sqlite:%s", drive.work);
    const struct pk_config_option option[] = {
        { .option = "--set", .option_size = 5, .value = folders },
        { .option = "--set", .option_size = 5, .value = "scripts.watch=true" },
    };
    const struct pk_config_source source = { .option = option, .option_count = PK_COUNT(option) };
    const struct pk_store_options wanted = { .url = url,
                                             .inventory = pk_inventory_builtin(),
                                             .clock = clock };
    const int fd = open(logged, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    const struct pk_log_options lines = {
        .clock = clock, .fd = fd, .level = PK_LOG_INFO, .format = PK_LOG_JSON
    };
    struct pk_error err = { 0 };

    *log = pk_log_new(&lines);
    if (!pk_crypto_init(&err) || !pk_folder_make(mappers, 0700, &err) ||
        !pk_folder_make(bundle, 0700, &err) || !pk_config_load(config, &source, NULL, &err) ||
        !pk_store_open(store, &wanted, &err) ||
        !pk_peppers_open(peppers, drive.work, *store, false, &err)) {
        tap_bail("%s", err.message);
    }
    *books = (struct pk_books){ .store = *store,
                                .clock = clock,
                                .peppers = *peppers,
                                .node = "node-1",
                                .event_keep_ms = INT64_C(86400000) };
    save_both(0, FINE, 0, true);
    if (!pk_scripting_start(&drive.scripting, *config, books, *log, &err) ||
        !pk_scripting_watch(&drive.scripting, &err)) {
        tap_bail("%s", err.message);
    }
}

static int by_size(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

struct figures {
    int64_t *took_ns; /* Of each good reload. */
    size_t count;
    long growth_bytes; /* Of each reload, after the warm-up; 0: there were too few. */
};

static void run_writer(struct figures *figures)
{
    long warm_bytes = 0;
    for (long i = 1; i <= drive.reloads; i++) {
        if (i == WARM_RELOADS) {
            warm_bytes = dirty_of_all();
        }
        if (i % 3 == 0) {
            reload_bad(2 * i + 1, i / 3);
        } else {
            figures->took_ns[figures->count++] = reload_good(2 * i, i);
        }
    }
    if (drive.reloads >= 2 * WARM_RELOADS) {
        figures->growth_bytes = (dirty_of_all() - warm_bytes) / (drive.reloads - WARM_RELOADS);
    }
}

static void judge(struct figures *figures)
{
    qsort(figures->took_ns, figures->count, sizeof(*figures->took_ns), by_size);
    const double p50 = (double)figures->took_ns[figures->count / 2] / NS_PER_MS;
    const double p99 = (double)figures->took_ns[figures->count * 99 / 100] / NS_PER_MS;

    tap_note("%ld reloads, %zu of them good; %lu calls; serving after p50 %.1f ms, p99 %.1f ms",
             drive.reloads, figures->count, atomic_load(&drive.calls), p50, p99);
    if (drive.is_json) {
        printf("{\"reloads\":%ld,\"calls\":%lu,\"p50_ms\":%.2f,\"p99_ms\":%.2f,"
               "\"growth_bytes\":%ld}\n",
               drive.reloads, atomic_load(&drive.calls), p50, p99, figures->growth_bytes);
    }
    tap_is(atomic_load(&drive.calls) > (unsigned long)drive.reloads, "calls went on all the time");
    if (!tap_is(atomic_load(&drive.failures) == 0, "no call failed")) {
        tap_note("%lu failed, the first: %s", atomic_load(&drive.failures), drive.why);
    }
    tap_is(atomic_load(&drive.mixed) == 0, "no request saw two versions");
    tap_is(atomic_load(&drive.bad) == 0, "no bad version ever served");
    if (drive.reloads >= 2 * WARM_RELOADS) {
        tap_note("private memory of all processes: %ld bytes a reload", figures->growth_bytes);
        tap_is(figures->growth_bytes < GROWTH_MAX_BYTES,
               "memory grows by less than 1 KiB a reload");
    }
}

static void read_arguments(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const bool has_value = i + 1 < argc;
        if (strcmp(argv[i], "--json") == 0) {
            drive.is_json = true;
        } else if (strcmp(argv[i], "--reloads") == 0 && has_value) {
            drive.reloads = strtol(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--callers") == 0 && has_value) {
            drive.callers = strtol(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--store") == 0 && has_value) {
            drive.store = argv[++i];
        } else if (strcmp(argv[i], "--folder") == 0 && has_value) {
            drive.work = argv[++i];
        } else {
            tap_bail("unknown argument '%s'", argv[i]);
        }
    }
    if (!drive.work) {
        tap_bail("--folder is missing");
    }
    if (drive.reloads < 4 || drive.callers < 1 || drive.callers > CALLERS_MAX) {
        tap_bail("at least 4 reloads, and 1 to %d callers", CALLERS_MAX);
    }
}

int main(int argc, char **argv)
{
    pthread_t caller[CALLERS_MAX];
    struct pk_config *config = NULL;
    struct pk_store *store = NULL;
    struct pk_peppers *peppers = NULL;
    struct pk_books books;
    struct pk_log *log = NULL;

    read_arguments(argc, argv);
    open_parts(&config, &store, &peppers, &books, &log);
    for (long i = 0; i < drive.callers; i++) {
        (void)pthread_create(&caller[i], NULL, run_caller, NULL);
    }
    (void)await_served(0, 0);
    struct figures figures = { .took_ns = pk_calloc((size_t)drive.reloads, sizeof(int64_t)) };
    run_writer(&figures);
    atomic_store(&drive.is_over, true);
    for (long i = 0; i < drive.callers; i++) {
        (void)pthread_join(caller[i], NULL);
    }
    judge(&figures);
    pk_free(figures.took_ns);
    pk_scripting_stop(&drive.scripting);
    pk_peppers_free(peppers);
    pk_store_close(store);
    pk_config_free(config);
    pk_log_free(log);
    return tap_end();
}
