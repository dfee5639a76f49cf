/* store_open.c - A store as commands open it: its folder locked first, so that no two do; and no
 * folder in which a restore was interrupted before the store could say so. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/text.h"
#include "cli/cli.h"
#include "store/store.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char sqlite_scheme[] = "sqlite:";

const char *pk_cli_store_folder(const char *url)
{
    size_t size = sizeof(sqlite_scheme) - 1;
    return strncmp(url, sqlite_scheme, size) == 0 && url[size] != '\0' ? url + size : NULL;
}

char *pk_cli_store_url(const struct pk_config *config)
{
    const char *url = pk_config_text(config, "store.url");
    return url[0] ? pk_strdup(url)
                  : pk_strdupf("%s%s", sqlite_scheme, pk_config_text(config, "data"));
}

char *pk_cli_store_shown(const char *url)
{
    struct pk_buf shown = { 0 };
    pk_text_mask(&shown, url, strlen(url));
    return pk_buf_take(&shown);
}

static bool is_same_folder(const char *a, const char *b)
{
    char buffer_a[PATH_MAX];
    char buffer_b[PATH_MAX];
    return realpath(a, buffer_a) && realpath(b, buffer_b) && strcmp(buffer_a, buffer_b) == 0;
}

static char *mark_path(const char *folder)
{
    return pk_strdupf("%s/restore.begun", folder);
}

bool pk_cli_restore_mark(const char *folder, bool *out_is_marked, struct pk_error *err)
{
    static const char text[] = "A restore into this store was begun. Run it again to finish it.\n";
    PK_CLEANUP(pk_freep) char *path = mark_path(folder);
    *out_is_marked = access(path, F_OK) == 0;
    return *out_is_marked || pk_file_write(path, text, sizeof(text) - 1, 0600, err);
}

bool pk_cli_restore_unmark(const char *folder, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *path = mark_path(folder);
    return unlink(path) == 0 || errno == ENOENT ||
           pk_fail(err, PK_UNAVAILABLE, "check who may write there, and run the restore again",
                   "'%s' cannot be deleted: %s", path, strerror(errno));
}

static bool check_mark(const char *folder, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *path = mark_path(folder);
    return access(path, F_OK) != 0 ||
           pk_fail(err, PK_PRECONDITION, "run the same 'personakit restore' again to finish it",
                   "a restore into this store was begun and is not finished");
}

bool pk_cli_store_open(const struct pk_app *app, const char *url, const char *held_folder,
                       enum pk_open_how how, struct pk_open_store *out, struct pk_error *err)
{
    const struct pk_store_options options = {
        .url = url,
        .inventory = app->inventory,
        .clock = app->clock,
        .is_upgrade_allowed = how == PK_OPEN_UPGRADE,
        .is_read_only = how == PK_OPEN_READ,
    };
    const char *folder = pk_cli_store_folder(url);
    struct pk_open_store open = { .lock_fd = -1 };

    if (folder && how != PK_OPEN_READ && !pk_folder_make(folder, 0700, err)) {
        return false;
    }
    if (how != PK_OPEN_RESTORE && (folder || held_folder) &&
        !check_mark(folder ? folder : held_folder, err)) {
        return false;
    }
    if (folder && !(held_folder && is_same_folder(folder, held_folder))) {
        if (access(folder, F_OK) != 0) {
            return pk_fail(err, PK_NOT_FOUND, "check the folder's name",
                           "there is no store in '%s'", folder);
        }
        if (!pk_folder_lock(folder, &open.lock_fd, err)) {
            return false;
        }
    }
    if (!pk_store_open(&open.store, &options, err)) {
        pk_cli_store_close(&open);
        return false;
    }
    *out = open;
    return true;
}

void pk_cli_store_close(struct pk_open_store *open)
{
    pk_store_close(open->store);
    if (open->lock_fd >= 0) {
        (void)close(open->lock_fd);
    }
    *open = (struct pk_open_store){ .lock_fd = -1 };
}
