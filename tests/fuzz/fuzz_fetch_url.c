/* fuzz_fetch_url.c - The check of outgoing URLs: what it takes leads where a plain reading says.
 *
 * Three hosts are allowed. Whatever URL passes must have, between "//" and the
 * next '/', '?' or '#', one of them to the letter, case and a right port aside. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "net/fetch.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const host_table[] = { "a.test", "127.0.0.1:8080", "[2001:db8::1]" };
static const char *const taken_table[] = { "a.test",           "a.test:80",     "a.test:443",
                                           "127.0.0.1:8080",   "[2001:db8::1]", "[2001:db8::1]:80",
                                           "[2001:db8::1]:443" };

static void insist(bool is_true)
{
    if (!is_true) {
        abort();
    }
}

/* "080" is 80. */
static void drop_zeros(char *authority)
{
    char *colon = strrchr(authority, ':');
    if (colon && !strchr(colon, ']')) {
        char *digits = colon + 1 + strspn(colon + 1, "0");
        memmove(colon + 1, digits, strlen(digits) + 1);
    }
}

static void check_taken(const char *url)
{
    insist(strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0);
    const char *from = strstr(url, "//") + 2;
    PK_CLEANUP(pk_freep) char *authority = pk_strndup(from, strcspn(from, "/?#"));
    drop_zeros(authority);
    for (size_t i = 0; i < PK_COUNT(taken_table); i++) {
        if (strcasecmp(authority, taken_table[i]) == 0) {
            return;
        }
    }
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct pk_fetcher *fetcher;
    struct pk_error err = { 0 };
    const struct pk_fetch_options options = { .clock = pk_clock_system(),
                                              .host = host_table,
                                              .host_count = PK_COUNT(host_table) };
    if (!fetcher) {
        insist(pk_fetcher_new(&fetcher, &options, &err));
    }
    PK_CLEANUP(pk_freep) char *url = pk_strndup((const char *)data, size);
    if (pk_fetch_check(fetcher, url, &err)) {
        check_taken(url);
    } else {
        insist(err.code == PK_INVALID || err.code == PK_FORBIDDEN);
        insist(err.hint && err.message[0]);
    }
    /* The same text as an entry of the list of hosts: taken or refused, never more. */
    const char *const entry = url;
    struct pk_fetcher *other = NULL;
    const struct pk_fetch_options one = { .clock = pk_clock_system(),
                                          .host = &entry,
                                          .host_count = 1 };
    insist(pk_fetcher_new(&other, &one, &err) || err.code == PK_INVALID);
    pk_fetcher_free(other);
    return 0;
}
