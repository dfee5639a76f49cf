/* settings.c - The one table of settings.
 *
 * Reading, checking, printing and the help all follow it. To add a setting: a
 * row here, and a commented line in etc/personakit.lua with the same default
 * (tests/unit/base insists on that, and that names in the environment do not
 * collide). */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/config.h"

#include <arpa/inet.h>
#include <string.h>

#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

static const char *const log_levels[] = { "debug", "info", "warn", "error", NULL };
static const char *const log_formats[] = { "auto", "text", "json", NULL };

static bool is_port(const char *text)
{
    long port = 0;
    size_t size = strspn(text, "0123456789");

    if (size < 1 || size > 5 || text[size] != '\0' || (size > 1 && text[0] == '0')) {
        return false;
    }
    for (; *text; text++) {
        port = port * 10 + (*text - '0');
    }
    return port <= 65535;
}

/* 127.0.0.1:8077, [::1]:8077. Names are not taken: what one resolves to changes. */
static bool is_listen_address(const char *text)
{
    unsigned char address[sizeof(struct in6_addr)];
    char host[64];
    const char *colon = strrchr(text, ':');
    bool is_v6 = text[0] == '[';

    if (!colon || !is_port(colon + 1)) {
        return false;
    }
    size_t size = (size_t)(colon - text);
    if (is_v6 && (size < 2 || colon[-1] != ']')) {
        return false;
    }
    const char *from = is_v6 ? text + 1 : text;
    size -= is_v6 ? 2 : 0;
    if (size >= sizeof(host)) {
        return false;
    }
    memcpy(host, from, size);
    host[size] = '\0';
    return inet_pton(is_v6 ? AF_INET6 : AF_INET, host, address) == 1;
}

static bool is_store_url(const char *text)
{
    static const char *const scheme[] = { "mongodb://", "mongodb+srv://" };

    for (size_t i = 0; i < PK_COUNT(scheme); i++) {
        size_t size = strlen(scheme[i]);
        if (strncmp(text, scheme[i], size) == 0) {
            return text[size] != '\0' && !strpbrk(text, " \t\r\n");
        }
    }
    return text[0] == '\0';
}

const struct pk_setting pk_setting_table[] = {
    { .name = "listen",
      .type = PK_SETTING_TEXT,
      .fallback = "127.0.0.1:8077",
      .min = 1,
      .max = 64,
      .check = is_listen_address,
      .expects = "an address and a port, like 127.0.0.1:8077 or [::1]:8077",
      .option = "--listen",
      .help = "Where requests are accepted; port 0 takes a free one." },
    { .name = "data",
      .type = PK_SETTING_TEXT,
      .fallback = "var",
      .min = 1,
      .max = 4000,
      .option = "--data",
      .help = "The folder of the embedded store, the pepper and the pid file." },
    { .name = "store.url",
      .type = PK_SETTING_TEXT,
      .fallback = "",
      .max = 4000,
      .check = is_store_url,
      .expects = "a URL that begins with mongodb:// or mongodb+srv://, or nothing for the "
                 "embedded store",
      .option = "--store",
      .variable = "PERSONAKIT_STORE",
      .is_secret = true,
      .help = "The MongoDB replica set to keep everything in; empty: embedded, in 'data'." },
    { .name = "store.group_lists",
      .type = PK_SETTING_INT,
      .fallback = "64",
      .min = 1,
      .max = 1000,
      .help = "Most write lists that share one durable commit." },
    { .name = "store.retention.events",
      .type = PK_SETTING_DURATION,
      .fallback = "7d",
      .min = HOUR,
      .max = 3650 * DAY,
      .help = "How long followers of the feed may be away and still go on where they were." },
    { .name = "store.retention.persona_log",
      .type = PK_SETTING_DURATION,
      .fallback = "90d",
      .min = HOUR,
      .max = 3650 * DAY,
      .help = "How long the record of each generated persona stays, for feedback and analytics." },
    { .name = "store.retention.idempotency",
      .type = PK_SETTING_DURATION,
      .fallback = "24h",
      .min = MINUTE,
      .max = 30 * DAY,
      .help = "How long a repeated Idempotency-Key gets the first answer." },
    { .name = "store.retention.deliveries",
      .type = PK_SETTING_DURATION,
      .fallback = "30d",
      .min = HOUR,
      .max = 3650 * DAY,
      .help = "How long webhook deliveries can be looked at and replayed." },
    { .name = "store.retention.outbox",
      .type = PK_SETTING_DURATION,
      .fallback = "7d",
      .min = HOUR,
      .max = 365 * DAY,
      .help = "How long finished tasks can be looked at." },
    { .name = "store.retention.tombstones",
      .type = PK_SETTING_DURATION,
      .fallback = "30d",
      .min = DAY,
      .max = 3650 * DAY,
      .help = "How long devices may be offline and still learn what was erased." },
    { .name = "store.retention.audit",
      .type = PK_SETTING_DURATION,
      .fallback = "365d",
      .min = DAY,
      .max = 3650 * DAY,
      .help = "How long it stays known who did what." },
    { .name = "log.level",
      .type = PK_SETTING_ENUM,
      .fallback = "info",
      .allowed = log_levels,
      .option = "--log-level",
      .help = "The least that is logged." },
    { .name = "log.format",
      .type = PK_SETTING_ENUM,
      .fallback = "auto",
      .allowed = log_formats,
      .option = "--log-format",
      .help = "How: text, json lines, or auto: text on a terminal and json elsewhere." },
    { .name = "drain.limit_ms",
      .type = PK_SETTING_DURATION,
      .fallback = "25000",
      .min = 0,
      .max = HOUR,
      .help = "How long a stop waits for requests that are under way." },
    { .name = "drain.lead_ms",
      .type = PK_SETTING_DURATION,
      .fallback = "0",
      .min = 0,
      .max = 10 * MINUTE,
      .help = "How long a stop says not ready and still accepts, for the load balancer." },
};
const size_t pk_setting_count = PK_COUNT(pk_setting_table);
