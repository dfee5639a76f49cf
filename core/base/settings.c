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
#include <stdlib.h>
#include <string.h>

#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

static const char *const log_levels[] = { "debug", "info", "warn", "error", NULL };
static const char *const log_formats[] = { "auto", "text", "json", NULL };
static const char *const jails[] = { "strict", "unsafe", NULL };

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

/* unix:/run/personakit/http.sock: an absolute path that fits into a socket's address. */
static bool is_unix_path(const char *text)
{
    enum { SUN_PATH_MAX = 107 };
    const char *path = strncmp(text, "unix:", 5) == 0 ? text + 5 : NULL;
    return path && path[0] == '/' && path[1] != '\0' && strlen(path) <= SUN_PATH_MAX;
}

static bool is_door(const char *text)
{
    return is_listen_address(text) || is_unix_path(text);
}

static bool is_door_or_nothing(const char *text)
{
    return text[0] == '\0' || is_door(text);
}

/* 10.0.0.0/8, ::1, unix. */
static bool is_network(const char *text)
{
    unsigned char address[sizeof(struct in6_addr)];
    char host[64];
    long bits = 0;
    const size_t size = strcspn(text, "/");

    if (strcmp(text, "unix") == 0) {
        return true;
    }
    if (size >= sizeof(host)) {
        return false;
    }
    memcpy(host, text, size);
    host[size] = '\0';
    const bool is_v4 = inet_pton(AF_INET, host, address) == 1;
    if (!is_v4 && inet_pton(AF_INET6, host, address) != 1) {
        return false;
    }
    if (text[size] == '\0') {
        return true;
    }
    const char *digits = text + size + 1;
    const size_t digit_count = strspn(digits, "0123456789");
    if (digit_count < 1 || digit_count > 3 || digits[digit_count] != '\0') {
        return false;
    }
    for (; *digits; digits++) {
        bits = bits * 10 + (*digits - '0');
    }
    return bits <= (is_v4 ? 32 : 128);
}

/* A public key as 'personakit mapper keygen' prints it: 32 bytes in hexadecimal. */
static bool is_public_key(const char *text)
{
    return strspn(text, "0123456789abcdef") == 64 && text[64] == '\0';
}

static bool is_folder(const char *text)
{
    return text[0] != '\0';
}

/* "slack", or "*" for all. */
static bool is_source(const char *text)
{
    return text[0] != '\0' && !strpbrk(text, " \t\r\n");
}

/* "work.*=review" */
static bool is_conflict_rule(const char *text)
{
    static const char *const policy[] = { "latest", "strongest", "keep_all", "review" };
    const char *equals = strchr(text, '=');
    for (size_t i = 0; equals && equals != text && i < PK_COUNT(policy); i++) {
        if (strcmp(equals + 1, policy[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* A time for a volatility, in whole hours or days; a factor for a source. */
static bool is_half_life(const char *text)
{
    static const char *const volatility[] = { "low", "medium", "high" };
    const char *equals = strchr(text, '=');
    const size_t length = equals ? (size_t)(equals - text) : 0;
    char *end = NULL;
    if (length == 0 || length > 64 || equals[1] < '0' || equals[1] > '9') {
        return false;
    }
    for (size_t i = 0; i < PK_COUNT(volatility); i++) {
        if (strlen(volatility[i]) == length && memcmp(volatility[i], text, length) == 0) {
            const long count = strtol(equals + 1, &end, 10);
            return count > 0 && count <= 36500 && (*end == 'h' || *end == 'd') && end[1] == '\0';
        }
    }
    const double factor = strtod(equals + 1, &end);
    return *end == '\0' && factor >= 0 && factor <= 1000;
}

/* As a browser writes it: no path, no slash at the end. */
static bool is_origin(const char *text)
{
    const bool is_http = strncmp(text, "http://", 7) == 0;
    const bool is_https = strncmp(text, "https://", 8) == 0;
    const char *host = text + (is_https ? 8 : 7);
    return strcmp(text, "*") == 0 ||
           ((is_http || is_https) && host[0] != '\0' && !strpbrk(host, "/ \t\r\n?#@\""));
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

enum { LISTENERS_MAX = 8 };

/* A lane of executors: how many, and how many requests may wait for one. */
#define LANE_ROWS(LANE, THREADS, QUEUE, WHAT)                                                  \
    { .name = "lanes." LANE ".threads",                                                        \
      .type = PK_SETTING_INT,                                                                  \
      .fallback = (THREADS),                                                                   \
      .min = 1,                                                                                \
      .max = 1024,                                                                             \
      .help = "Threads " WHAT "." },                                                           \
    {                                                                                          \
        .name = "lanes." LANE ".queue", .type = PK_SETTING_INT, .fallback = (QUEUE), .min = 0, \
        .max = 1000000,                                                                        \
        .help = "Requests that may wait for a thread " WHAT "; further ones hear 503."         \
    }

/* A token bucket: 'limit' requests at once, filled again in 'window_ms'. */
#define RATE_ROWS(KIND, LIMIT, WHAT)                                                          \
    { .name = "rates." KIND ".limit",                                                         \
      .type = PK_SETTING_INT,                                                                 \
      .fallback = (LIMIT),                                                                    \
      .min = 0,                                                                               \
      .max = 1000000,                                                                         \
      .is_reloadable = true,                                                                  \
      .help = "Requests of " WHAT " in a window, on this node; 0: any number." },             \
    {                                                                                         \
        .name = "rates." KIND ".window_ms", .type = PK_SETTING_DURATION, .fallback = "60000", \
        .min = 1, .max = DAY, .is_reloadable = true,                                          \
        .help = "The window of " WHAT ", over which what was used up comes back."             \
    }

const struct pk_setting pk_setting_table[] = {
    { .name = "listen",
      .type = PK_SETTING_LIST,
      .fallback = "127.0.0.1:8077",
      .min = 0,
      .max = LISTENERS_MAX,
      .check = is_door,
      .expects = "an address and a port, like 127.0.0.1:8077 or [::1]:8077, or unix:/path",
      .option = "--listen",
      .help = "Where requests are accepted, without TLS; port 0 takes a free one." },
    { .name = "tls.listen",
      .type = PK_SETTING_LIST,
      .fallback = "",
      .min = 0,
      .max = LISTENERS_MAX,
      .check = is_listen_address,
      .expects = "an address and a port, like 127.0.0.1:8443 or [::1]:8443",
      .help = "Where requests are accepted with TLS." },
    { .name = "tls.certificate",
      .type = PK_SETTING_TEXT,
      .fallback = "",
      .max = 4000,
      .help = "The file of the certificate and its chain (PEM); read anew at SIGHUP." },
    { .name = "tls.key",
      .type = PK_SETTING_TEXT,
      .fallback = "",
      .max = 4000,
      .help = "The file of the certificate's key (PEM, without a password); read anew at SIGHUP." },
    { .name = "operations.listen",
      .type = PK_SETTING_TEXT,
      .fallback = "",
      .max = 200,
      .check = is_door_or_nothing,
      .expects = "an address and a port, or unix:/path, or nothing",
      .help = "Where health, metrics and the API's description are given without a key; empty: "
              "nowhere." },
    { .name = "proxy.trusted",
      .type = PK_SETTING_LIST,
      .fallback = "",
      .min = 0,
      .max = 64,
      .check = is_network,
      .expects = "an address or a network, like 10.0.0.0/8 or ::1, or unix",
      .help = "Whose X-Forwarded-For and PROXY header are believed." },
    { .name = "proxy.protocol",
      .type = PK_SETTING_BOOL,
      .fallback = "false",
      .help = "Whether connections to 'listen' and 'tls.listen' begin with a PROXY header "
              "(version 2)." },
    { .name = "cors.origins",
      .type = PK_SETTING_LIST,
      .fallback = "",
      .min = 0,
      .max = 64,
      .check = is_origin,
      .expects = "an origin, like https://app.example.org, or *",
      .help = "Whose pages may call the API from a browser." },
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
    { .name = "store.retention.backups",
      .type = PK_SETTING_DURATION,
      .fallback = "30d",
      .min = HOUR,
      .max = 3650 * DAY,
      .help = "How long you keep backups: receipts of erasures say so, deleting them is yours." },
    { .name = "store.retention.audit",
      .type = PK_SETTING_DURATION,
      .fallback = "365d",
      .min = DAY,
      .max = 3650 * DAY,
      .help = "How long it stays known who did what." },
    { .name = "net.loops",
      .type = PK_SETTING_INT,
      .fallback = "0",
      .min = 0,
      .max = 64,
      .help = "Threads that read and write connections; 0: one for each core." },
    { .name = "net.connections",
      .type = PK_SETTING_INT,
      .fallback = "16384",
      .min = 1,
      .max = 1000000,
      .help = "Most connections at the same time; further ones hear 503." },
    { .name = "net.connections_per_address",
      .type = PK_SETTING_INT,
      .fallback = "1024",
      .min = 1,
      .max = 1000000,
      .help = "Most of these from one address that is no trusted proxy." },
    { .name = "net.bodies_bytes",
      .type = PK_SETTING_SIZE,
      .fallback = "512MiB",
      .min = 1 << 20,
      .max = INT64_C(1) << 40,
      .help = "Memory for bodies of requests, of all of them together; beyond it 503." },
    { .name = "net.head_ms",
      .type = PK_SETTING_DURATION,
      .fallback = "10000",
      .min = 10,
      .max = HOUR,
      .help = "How long a client may take to send the head of a request." },
    { .name = "net.body_ms",
      .type = PK_SETTING_DURATION,
      .fallback = "10000",
      .min = 10,
      .max = HOUR,
      .help = "The span in which a body must come with net.rate_min bytes a second." },
    { .name = "net.rate_min",
      .type = PK_SETTING_INT,
      .fallback = "1024",
      .min = 1,
      .max = 1000000000,
      .help = "Bytes per second that a client must at least send or take." },
    { .name = "net.idle_ms",
      .type = PK_SETTING_DURATION,
      .fallback = "60000",
      .min = 10,
      .max = DAY,
      .help = "How long a connection may be silent between two requests." },
    { .name = "net.write_ms",
      .type = PK_SETTING_DURATION,
      .fallback = "30000",
      .min = 10,
      .max = HOUR,
      .help = "How long a client may take to take an answer, beyond what net.rate_min allows." },
    LANE_ROWS("store", "64", "4096", "for what asks the store"),
    LANE_ROWS("script", "16", "1024", "for what runs scripts"),
    LANE_ROWS("slow", "8", "256", "for uploads, exports and verification"),
    { .name = "scripts.jail",
      .type = PK_SETTING_ENUM,
      .fallback = "strict",
      .allowed = jails,
      .help = "strict: no start where the kernel cannot lock script workers down; unsafe: start "
              "all the same, and say so on every status page." },
    { .name = "scripts.watch",
      .type = PK_SETTING_BOOL,
      .fallback = "false",
      .help = "Whether saving a file in 'scripts.folders' uploads and activates it." },
    { .name = "scripts.folders",
      .type = PK_SETTING_LIST,
      .fallback = "mappers,plugins/processors",
      .min = 0,
      .max = 16,
      .check = is_folder,
      .expects = "a folder",
      .help = "The folders that 'scripts.watch' looks at." },
    { .name = "scripts.require_signature",
      .type = PK_SETTING_BOOL,
      .fallback = "false",
      .help = "Whether only scripts signed by one of 'scripts.keys' may serve." },
    { .name = "scripts.keys",
      .type = PK_SETTING_LIST,
      .fallback = "",
      .min = 0,
      .max = 64,
      .check = is_public_key,
      .expects = "a public key of 64 hexadecimal digits, as 'personakit mapper keygen' prints it",
      .help = "Whose signatures count." },
    { .name = "scripts.workers",
      .type = PK_SETTING_INT,
      .fallback = "16",
      .min = 1,
      .max = 16,
      .help = "Processes that run scripts, at most." },
    { .name = "scripts.memory_total",
      .type = PK_SETTING_SIZE,
      .fallback = "1GiB",
      .min = 64 << 20,
      .max = INT64_C(1) << 40,
      .help = "What all of them may take; beyond it calls are refused." },
    { .name = "scripts.limits.soft_ms",
      .type = PK_SETTING_DURATION,
      .fallback = "1000",
      .min = 1,
      .max = MINUTE,
      .help = "The longest time that a script may ask for before it is told to stop." },
    { .name = "scripts.limits.hard_ms",
      .type = PK_SETTING_DURATION,
      .fallback = "5000",
      .min = 1,
      .max = 5 * MINUTE,
      .help = "The same before it is killed." },
    { .name = "scripts.limits.memory",
      .type = PK_SETTING_SIZE,
      .fallback = "64MiB",
      .min = 1 << 20,
      .max = INT64_C(1) << 30,
      .help = "The most memory that a script may ask for." },
    { .name = "scripts.limits.output",
      .type = PK_SETTING_SIZE,
      .fallback = "4MiB",
      .min = 1 << 10,
      .max = 16 << 20,
      .help = "The largest output that a script may ask for." },
    { .name = "observations.approve",
      .type = PK_SETTING_LIST,
      .fallback = "",
      .min = 0,
      .max = 1000,
      .check = is_source,
      .expects = "the name of a source, or '*' for all",
      .help = "The sources whose observations wait for somebody's approval; others are approved "
              "at once." },
    { .name = "traits.conflicts",
      .type = PK_SETTING_LIST,
      .fallback = "",
      .min = 0,
      .max = 1000,
      .check = is_conflict_rule,
      .expects = "PATTERN=POLICY, as in 'work.*=review'; policies are latest, strongest, keep_all "
                 "and review",
      .help = "What decides when sources disagree on a trait; the first pattern that fits, else "
              "strongest." },
    { .name = "traits.half_lives",
      .type = PK_SETTING_LIST,
      .fallback = "",
      .min = 0,
      .max = 100,
      .check = is_half_life,
      .expects = "VOLATILITY=TIME as in 'high=7d', or SOURCE=FACTOR as in 'chat_log=0.5' (0: it "
                 "does not decay)",
      .help = "After how long half of the confidence in a trait is left, where it is not low=365d, "
              "medium=90d, high=14d, times assessment=2, interview=1.5, user_input=1.5, "
              "chat_log=0.5." },
    { .name = "personas.ttl",
      .type = PK_SETTING_DURATION,
      .fallback = "24h",
      .min = SECOND,
      .max = 365 * DAY,
      .help = "How long a persona lives when its mapper says nothing." },
    { .name = "personas.max_bytes",
      .type = PK_SETTING_SIZE,
      .fallback = "1MiB",
      .min = 1 << 10,
      .max = 8 << 20,
      .help = "The largest persona that is kept; a larger one is refused." },
    { .name = "person.max_bytes",
      .type = PK_SETTING_SIZE,
      .fallback = "1GiB",
      .min = 1 << 20,
      .max = INT64_C(1) << 50,
      .help = "What the observations of one person may take; beyond it they are refused." },
    { .name = "outbox.threads",
      .type = PK_SETTING_INT,
      .fallback = "16",
      .min = 1,
      .max = 256,
      .help = "Tasks that run at the same time." },
    { .name = "outbox.threads_quiet",
      .type = PK_SETTING_INT,
      .fallback = "48",
      .min = 1,
      .max = 256,
      .help = "The same while no new ones come in, on the embedded store." },
    { .name = "access.stale_keys_ms",
      .type = PK_SETTING_DURATION,
      .fallback = "2000",
      .min = 2000,
      .max = HOUR,
      .help = "How long keys are still good for reading when the store is silent; more than 2 s "
              "delays revocations." },
    RATE_ROWS("key", "60000", "one key"),
    RATE_ROWS("address", "120000", "one address"),
    RATE_ROWS("person", "6000", "writes about one person"),
    { .name = "log.level",
      .type = PK_SETTING_ENUM,
      .fallback = "info",
      .allowed = log_levels,
      .is_reloadable = true,
      .option = "--log-level",
      .help = "The least that is logged." },
    { .name = "log.format",
      .type = PK_SETTING_ENUM,
      .fallback = "auto",
      .allowed = log_formats,
      .option = "--log-format",
      .help = "How: text, json lines, or auto: text on a terminal and json elsewhere." },
    { .name = "log.access",
      .type = PK_SETTING_BOOL,
      .fallback = "false",
      .is_reloadable = true,
      .help = "Whether every request is logged." },
    { .name = "log.slow_ms",
      .type = PK_SETTING_DURATION,
      .fallback = "1000",
      .min = 0,
      .max = HOUR,
      .is_reloadable = true,
      .help = "Requests that take longer are logged with where the time went; 0: none." },
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
