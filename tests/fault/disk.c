/* disk.c - A disk that is really full.
 *
 *     fault_disk
 *
 * A small file system in memory is mounted for the store alone. Clients write
 * until commits are refused; then reads must go on, opening the store again
 * must work or be refused in a clear sentence, and once there is room commits
 * must go on. Nothing acknowledged is lost, nothing refused is there. Needs
 * the right to mount; without it the cases are skipped. */
/* SPDX-License-Identifier: MIT */
#include "check.h"
#include "client.h"
#include "journal.h"
#include "process.h"
#include "tap.h"

#include "base/crypto.h"
#include "doc/doc.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BALLAST_BYTES = 512 * 1024, /* Taken away to make room. */
    LISTS_MAX = 5000,           /* More than fit. */
    REFUSALS = 20,              /* So many in a row before there is room. */
    LISTS_AFTER = 5             /* That surely fit there. */
};
static const char *const size_table[] = { "size=2m", "size=1300k", "size=2500k" };

struct world {
    char folder[600];
    char ballast[700];
    struct fault_record record;
    struct pk_store *store;
    uint32_t number;
};

static void fill_ballast(const struct world *world)
{
    int fd = open(world->ballast, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0 || posix_fallocate(fd, 0, BALLAST_BYTES) != 0) {
        tap_bail("put something in the way in '%s'", world->ballast);
    }
    (void)close(fd);
}

static enum pk_code do_next(struct world *world, struct pk_error *err)
{
    bool is_tried;
    uint32_t number = world->number++;
    enum fault_kind kind = fault_kind_of(number);
    return fault_client_do(&world->record, world->store, (struct fault_name){ 0, 0, number },
                           kind == FAULT_TWICE ? FAULT_PLAIN : kind, &is_tried, err);
}

/* Commits until it is refused 'REFUSALS' times in a row; each refusal must say why. */
static void write_until_full(struct world *world, const char *size)
{
    struct pk_error err = { 0 };
    unsigned refusals = 0;
    bool is_clear = true;
    while (refusals < REFUSALS && world->number < LISTS_MAX) {
        if (do_next(world, &err) == PK_OK) {
            refusals = 0;
            continue;
        }
        refusals++;
        if (err.code != PK_FULL || !err.hint) {
            is_clear = false;
            tap_note("list %u was answered '%s': %s", world->number - 1, pk_code_name(err.code),
                     err.message);
        }
    }
    tap_is(refusals == REFUSALS, "%s: it gets full, after %u lists", size, world->number);
    tap_is(is_clear, "%s: each refusal says that it is full", size);
}

static void read_while_full(struct world *world, const char *size)
{
    struct pk_doc *counter = NULL;
    struct pk_error err = { 0 };
    bool ok = pk_store_get(world->store, "counters", "own-0", 0, &counter, &err);
    tap_is(ok && counter, "%s: reads go on", size);
    pk_doc_unref(counter);
}

/* A server that is started on a full disk: it works or says why not. */
static void start_while_full(struct world *world, const char *size)
{
    struct pk_error err;
    pk_store_close(world->store);
    bool ok = fault_store_open(&world->store, world->folder, &err);
    tap_is(ok || (err.code == PK_FULL && err.hint), "%s: a start says '%s'", size,
           ok ? "ready" : err.message);
    if (!ok) {
        (void)unlink(world->ballast);
        if (!tap_is(fault_store_open(&world->store, world->folder, &err),
                    "%s: with room again it starts", size)) {
            tap_bail("%s", err.message);
        }
    }
}

static void write_with_room(struct world *world, const char *size)
{
    struct pk_error err = { 0 };
    bool ok = true;
    (void)unlink(world->ballast);
    for (int i = 0; i < LISTS_AFTER; i++) {
        if (do_next(world, &err) != PK_OK) {
            ok = false;
            tap_note("list %u: %s", world->number - 1, err.message);
        }
    }
    tap_is(ok, "%s: with room again commits go on", size);
}

static void look(struct world *world, const char *size)
{
    struct fault_journal journal;
    struct fault_report report;
    struct pk_error err;
    char where[64];
    char said[256];
    (void)snprintf(where, sizeof(where), ", %s", size);
    pk_store_close(world->store);
    if (!tap_is(fault_store_open(&world->store, world->folder, &err), "%s: it opens again", size)) {
        tap_bail("%s", err.message);
    }
    fault_record_journal(&world->record, fault_record_size(&world->record), &journal);
    fault_check(world->store, &journal, false, &report);
    fault_report_tap(&report, where);
    fault_journal_print(&journal);
    fault_journal_done(&journal);
    pk_store_close(world->store);
    fault_integrity(world->folder, said, sizeof(said));
    tap_is(strcmp(said, "ok") == 0, "%s: its file is sound: %s", size, said);
}

/* False when this process may not mount. */
static bool run_disk(uint64_t seed, const char *size)
{
    struct world world = { 0 };
    struct pk_error err;
    char mounted[500];
    fault_folder_new(mounted, sizeof(mounted), "disk");
    if (mkdir(mounted, 0700) != 0 || mount("personakit", mounted, "tmpfs", 0, size) != 0) {
        (void)rmdir(mounted);
        return false;
    }
    (void)snprintf(world.folder, sizeof(world.folder), "%s/data", mounted);
    (void)snprintf(world.ballast, sizeof(world.ballast), "%s/ballast", mounted);
    fault_record_init(&world.record, seed);
    fill_ballast(&world);
    if (!fault_store_open(&world.store, world.folder, &err)) {
        tap_note("%s: %s", size, err.message);
        tap_is(err.code == PK_FULL, "%s: a store that does not fit says so", size);
        (void)umount2(mounted, MNT_DETACH);
        return true;
    }
    write_until_full(&world, size);
    read_while_full(&world, size);
    start_while_full(&world, size);
    write_with_room(&world, size);
    look(&world, size);
    fault_record_done(&world.record);
    if (umount2(mounted, MNT_DETACH) != 0) {
        tap_note("'%s' stays mounted: %s", mounted, strerror(errno));
    }
    return true;
}

int main(void)
{
    struct pk_error err;
    if (!pk_crypto_init(&err)) {
        tap_bail("%s", err.message);
    }
    for (size_t i = 0; i < sizeof(size_table) / sizeof(size_table[0]); i++) {
        if (!run_disk(pk_random_u64() >> 32, size_table[i])) {
            tap_skip("a disk that is really full", strerror(errno));
            break;
        }
    }
    return tap_end();
}
