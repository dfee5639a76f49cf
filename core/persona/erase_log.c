/* erase_log.c - One line per erasure, appended and synced.
 *
 *     <keyed hash of the id, 64 digits> <asked for> <person|observation> <backups until> <check>
 *
 * Instants are ISO 8601; 'backups until' is when the last backup that may still
 * have it is to be gone; the check is 8 digits of the hash of what stands
 * before it. A line goes out in one write at the end of the file; what a crash
 * has torn is closed by the line break that the next one begins with.
 *
 * Reading tells what a power cut leaves (the beginning of a line, or zeros:
 * nothing had been deleted, and the erasure that went on wrote its line again)
 * from what was damaged later (a whole line whose check fails). A torn line
 * that has its first two words says whom to erase all the same. */
/* SPDX-License-Identifier: MIT */
#include "persona/erase_log.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CHECK_DIGITS = 8,
    HASH_DIGITS = PK_HASH_TEXT - 1,
    TIME_CHARS = 24, /* As pk_time_format writes them. */
    WORD_MAX = 16,
    LINE_TEXT = 1 + PK_HASH_TEXT + 2 * PK_TIME_TEXT + WORD_MAX + CHECK_DIGITS + 3,
    /* The shortest whole line, without its line break. */
    WHOLE = HASH_DIGITS + 1 + TIME_CHARS + 1 + (int)sizeof("person") + TIME_CHARS + 1 + CHECK_DIGITS
};
#define LOG_MAX_BYTES ((size_t)4 << 30)

static const char *const kind_name[] = {
    [PK_ERASED_PERSON] = "person",
    [PK_ERASED_OBSERVATION] = "observation",
};

static void check_of(const char *text, size_t size, char out[CHECK_DIGITS + 1])
{
    uint8_t hash[PK_HASH_BYTES];
    char digits[PK_HASH_TEXT];
    pk_hash(hash, text, size, NULL, 0);
    pk_hex(digits, hash, sizeof(hash));
    memcpy(out, digits, CHECK_DIGITS);
    out[CHECK_DIGITS] = '\0';
}

/* ---- Writing ---- */

static bool is_torn(int fd)
{
    char last = '\n';
    const off_t end = lseek(fd, 0, SEEK_END);
    return end > 0 && pread(fd, &last, 1, end - 1) == 1 && last != '\n';
}

static bool write_line(int fd, const char *line, size_t size)
{
    const ssize_t written = size > 0 ? write(fd, line, size) : 0;
    if (written >= 0 && (size_t)written != size) {
        errno = ENOSPC;
    }
    return written >= 0 && (size_t)written == size && fsync(fd) == 0;
}

/* The file's name is durable, too. */
static bool sync_folder(const char *folder)
{
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    return ok;
}

/* 'line' "": the file is made and nothing more. */
static bool append(const char *data, const char *line, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/%s", data, PK_ERASE_LOG_NAME);
    const int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    bool ok = fd >= 0;
    if (ok) {
        const bool has_gap = line[0] && is_torn(fd);
        PK_CLEANUP(pk_freep) char *text = pk_strdupf("%s%s", has_gap ? "\n" : "", line);
        ok = write_line(fd, text, strlen(text)) && sync_folder(data);
    }
    const int code = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    return ok ||
           pk_fail(err, code == ENOSPC ? PK_FULL : PK_UNAVAILABLE,
                   "make the data folder writable and free some room; nothing was deleted yet",
                   "'%s' cannot be written: %s", path, strerror(code));
}

bool pk_erase_log_make(const char *data, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/%s", data, PK_ERASE_LOG_NAME);
    return access(path, F_OK) == 0 || append(data, "", err);
}

bool pk_erase_log_add(const struct pk_domain *domain, enum pk_erased kind, const char *id,
                      int64_t at_ms, struct pk_error *err)
{
    char hash[PK_HASH_TEXT], at[PK_TIME_TEXT], until[PK_TIME_TEXT], check[CHECK_DIGITS + 1];
    char line[LINE_TEXT];
    pk_audit_person(domain->books->peppers, id, hash);
    pk_time_format(at_ms, at);
    pk_time_format(at_ms + domain->backup_keep_ms, until);
    const int size = snprintf(line, sizeof(line), "%s %s %s %s", hash, at, kind_name[kind], until);
    check_of(line, (size_t)size, check);
    (void)snprintf(line + size, sizeof(line) - (size_t)size, " %s\n", check);
    return append(domain->data, line, err);
}

/* ---- Reading ---- */

static bool has_digits(const char *text, size_t count)
{
    size_t i = 0;
    while (i < count &&
           ((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f'))) {
        i++;
    }
    return i == count;
}

/* The hash and the first instant, which are all that is needed. */
static bool read_head(const char *text, size_t size, struct pk_erase_line *out)
{
    char at[PK_TIME_TEXT];
    if (size < HASH_DIGITS + 1 + TIME_CHARS || !has_digits(text, HASH_DIGITS) ||
        text[HASH_DIGITS] != ' ') {
        return false;
    }
    memcpy(out->hash, text, HASH_DIGITS);
    out->hash[HASH_DIGITS] = '\0';
    memcpy(at, text + HASH_DIGITS + 1, TIME_CHARS);
    at[TIME_CHARS] = '\0';
    return pk_time_parse(at, TIME_CHARS, &out->at_ms, NULL);
}

static bool read_kind(const char *text, size_t size, struct pk_erase_line *out)
{
    for (size_t i = 0; i < PK_COUNT(kind_name); i++) {
        const size_t length = strlen(kind_name[i]);
        if (size > length && memcmp(text, kind_name[i], length) == 0 && text[length] == ' ') {
            out->kind = (enum pk_erased)i;
            return true;
        }
    }
    return false;
}

static bool is_whole(const char *text, size_t size, struct pk_erase_line *out)
{
    const size_t head = HASH_DIGITS + 1 + TIME_CHARS + 1;
    char check[CHECK_DIGITS + 1];
    if (size < WHOLE || text[size - CHECK_DIGITS - 1] != ' ') {
        return false;
    }
    check_of(text, size - CHECK_DIGITS - 1, check);
    return memcmp(text + size - CHECK_DIGITS, check, CHECK_DIGITS) == 0 &&
           read_head(text, size, out) && read_kind(text + head, size - head, out);
}

/* The beginning of a line, or zeros that were never written over. */
static bool may_be_torn(const char *text, size_t size)
{
    static const char used[] = "0123456789abcdefghijklmnopqrstuvwxyzTZ:.- ";
    size_t i = 0;
    while (i < size && text[i] && strchr(used, text[i])) {
        i++;
    }
    while (i < size && text[i] == '\0') {
        i++;
    }
    return i == size && (size < WHOLE || text[size - 1] == '\0');
}

static void add_line(struct pk_erase_log *log, size_t *capacity, const struct pk_erase_line *line)
{
    if (log->count == *capacity) {
        *capacity = *capacity ? *capacity * 2 : 64;
        log->line = pk_realloc(log->line, *capacity * sizeof(*log->line));
    }
    log->line[log->count++] = *line;
}

static bool read_lines(struct pk_erase_log *log, const char *text, size_t length, const char *path,
                       struct pk_error *err)
{
    size_t capacity = 0, number = 0;
    for (const char *at = text, *end = at + length; length > 0 && at < end; number++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        const size_t size = (size_t)((stop ? stop : end) - at);
        struct pk_erase_line line = { .kind = PK_ERASED_PERSON };
        if (is_whole(at, size, &line)) {
            add_line(log, &capacity, &line);
        } else if (!may_be_torn(at, size)) {
            return pk_fail(err, PK_INVALID,
                           "take the file from another copy of the data folder; what it says "
                           "cannot be guessed",
                           "line %zu of '%s' is damaged", number + 1, path);
        } else if (read_head(at, size, &line)) {
            add_line(log, &capacity, &line); /* Of which kind is not known: of either. */
            line.kind = PK_ERASED_OBSERVATION;
            add_line(log, &capacity, &line);
        } else if (size > 0) {
            log->torn++;
        }
        at += size + 1;
    }
    return true;
}

static int compare(const void *a, const void *b)
{
    const struct pk_erase_line *one = a;
    const struct pk_erase_line *other = b;
    const int order = strcmp(one->hash, other->hash);
    return one->kind != other->kind ? (one->kind < other->kind ? -1 : 1) : order;
}

static int compare_all(const void *a, const void *b)
{
    const struct pk_erase_line *one = a;
    const struct pk_erase_line *other = b;
    const int order = compare(a, b);
    return order != 0 ? order : (one->at_ms > other->at_ms) - (one->at_ms < other->at_ms);
}

/* Of equal lines the latest stays. */
static void sort(struct pk_erase_log *log)
{
    size_t kept = 0;
    if (log->count > 0) {
        qsort(log->line, log->count, sizeof(*log->line), compare_all);
    }
    for (size_t i = 0; i < log->count; i++) {
        if (i + 1 == log->count || compare(&log->line[i], &log->line[i + 1]) != 0) {
            log->line[kept++] = log->line[i];
        }
    }
    log->count = kept;
}

bool pk_erase_log_read(struct pk_erase_log *out, const char *data, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/%s", data, PK_ERASE_LOG_NAME);
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    *out = (struct pk_erase_log){ 0 };
    return pk_file_read(&text, path, LOG_MAX_BYTES, err) &&
           pk_erase_log_parse(out, text.data, text.size, path, err);
}

bool pk_erase_log_parse(struct pk_erase_log *out, const char *text, size_t size, const char *name,
                        struct pk_error *err)
{
    *out = (struct pk_erase_log){ 0 };
    if (!read_lines(out, text, size, name, err)) {
        pk_erase_log_done(out);
        return false;
    }
    sort(out);
    return true;
}

void pk_erase_log_done(struct pk_erase_log *log)
{
    pk_free(log->line);
    *log = (struct pk_erase_log){ 0 };
}

int64_t pk_erase_log_find(const struct pk_erase_log *log, const struct pk_peppers *peppers,
                          enum pk_erased kind, const char *id)
{
    struct pk_erase_line wanted = { .kind = kind };
    if (log->count == 0) {
        return 0;
    }
    pk_audit_person(peppers, id, wanted.hash);
    const struct pk_erase_line *found =
        bsearch(&wanted, log->line, log->count, sizeof(*log->line), compare);
    return found ? found->at_ms : 0;
}
