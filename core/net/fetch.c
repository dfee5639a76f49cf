/* fetch.c - Outgoing HTTP: a pool of curl's handles, and one request from begin to end.
 *
 * A handle belongs to one request at a time and carries its own connections,
 * which is how they are kept: curl's way of sharing them between threads is
 * documented as unsafe. An idle handle that was last used for the same place
 * is taken first, so its connection is used again; the longest idle is ended
 * when there are too many.
 *
 *     request ─▶ guard (URL, host) ─▶ handle ─▶ resolve ─▶ open_socket (address) ─▶ said ─▶ answer
 *
 * Before each request a handle is reset and told everything anew: what one
 * request set cannot reach the next. Only connections, resolved names (60 s)
 * and TLS sessions stay, all made under the same rules.
 *
 * Locked by the fetcher's mutex: the list of idle handles; any thread. */
/* SPDX-License-Identifier: MIT */
#include "net/fetch_internal.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    IDLE_MAX = 16,          /* Handles. */
    CONNECTIONS_MAX = 4,    /* Kept by one handle. */
    CONNECTION_LIFE_S = 600 /* Then a new one is made, with a fresh look at the address. */
};

/* A handle that is not in use. */
struct idle {
    CURL *curl;
    struct pk_fetch_target place; /* Where it has been last. */
};

struct pk_fetcher {
    const struct pk_clock *clock;
    struct pk_guard guard;
    bool is_private_allowed;
    char *ca_file;        /* Or NULL. */
    char *unix_path;      /* Or NULL. */
    pthread_mutex_t lock; /* Of 'idle' and 'idle_count'. */
    struct idle *idle;    /* The longest idle first. */
    size_t idle_count, idle_max;
};

/* One request on its way. */
struct trip {
    struct pk_fetcher *fetcher;
    const struct pk_fetch_request *request;
    struct pk_fetch_target place;
    CURL *curl;
    struct pk_said said;
    const char *refused_kind; /* Why an address was refused; NULL: none was. */
    char refused[NI_MAXHOST]; /* That address. */
    int64_t time_ms;          /* For all of it. */
    char detail[CURL_ERROR_SIZE];
};

/* ---- The pool ---- */

bool pk_fetcher_new(struct pk_fetcher **out, const struct pk_fetch_options *options,
                    struct pk_error *err)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) { /* Counted; any thread. */
        return pk_fail(err, PK_INTERNAL, NULL, "cannot start libcurl");
    }
    struct pk_fetcher *fetcher = pk_calloc(1, sizeof(*fetcher));
    fetcher->clock = options->clock;
    fetcher->is_private_allowed = options->is_private_allowed;
    fetcher->ca_file = options->ca_file ? pk_strdup(options->ca_file) : NULL;
    fetcher->unix_path = options->unix_path ? pk_strdup(options->unix_path) : NULL;
    fetcher->idle_max = options->idle_max ? options->idle_max : IDLE_MAX;
    fetcher->idle = pk_calloc(fetcher->idle_max, sizeof(*fetcher->idle));
    (void)pthread_mutex_init(&fetcher->lock, NULL);
    if (!pk_guard_init(&fetcher->guard, options->host, options->host_count, err)) {
        pk_fetcher_free(fetcher);
        return false;
    }
    *out = fetcher;
    return true;
}

void pk_fetcher_free(struct pk_fetcher *fetcher)
{
    if (!fetcher) {
        return;
    }
    for (size_t i = 0; i < fetcher->idle_count; i++) {
        curl_easy_cleanup(fetcher->idle[i].curl);
    }
    (void)pthread_mutex_destroy(&fetcher->lock);
    pk_guard_done(&fetcher->guard);
    pk_free(fetcher->idle);
    pk_free(fetcher->ca_file);
    pk_free(fetcher->unix_path);
    pk_free(fetcher);
    curl_global_cleanup();
}

void pk_fetcher_freep(struct pk_fetcher **fetcher)
{
    pk_fetcher_free(*fetcher);
}

static bool is_same_place(const struct pk_fetch_target *a, const struct pk_fetch_target *b)
{
    return a->port == b->port && a->is_secure == b->is_secure && strcmp(a->host, b->host) == 0;
}

/* Takes row 'at' out of the list. */
static CURL *take_at(struct pk_fetcher *fetcher, size_t at)
{
    CURL *curl = fetcher->idle[at].curl;
    fetcher->idle_count--;
    memmove(&fetcher->idle[at], &fetcher->idle[at + 1],
            (fetcher->idle_count - at) * sizeof(fetcher->idle[0]));
    return curl;
}

/* The handle that has been there last, or a new one: another's connections are worth keeping. */
static CURL *take_handle(struct pk_fetcher *fetcher, const struct pk_fetch_target *place)
{
    CURL *curl = NULL;
    (void)pthread_mutex_lock(&fetcher->lock);
    for (size_t i = fetcher->idle_count; i > 0 && !curl; i--) {
        if (is_same_place(&fetcher->idle[i - 1].place, place)) {
            curl = take_at(fetcher, i - 1);
        }
    }
    (void)pthread_mutex_unlock(&fetcher->lock);
    return curl ? curl : curl_easy_init();
}

static void give_handle(struct pk_fetcher *fetcher, CURL *curl, const struct pk_fetch_target *place)
{
    CURL *oldest = NULL;
    curl_easy_reset(curl); /* Nothing of this request is kept, and no pointer into it. */
    (void)pthread_mutex_lock(&fetcher->lock);
    if (fetcher->idle_count == fetcher->idle_max) {
        oldest = take_at(fetcher, 0);
    }
    fetcher->idle[fetcher->idle_count++] = (struct idle){ .curl = curl, .place = *place };
    (void)pthread_mutex_unlock(&fetcher->lock);
    if (oldest) { /* Outside the lock: it may say goodbye to somebody. */
        curl_easy_cleanup(oldest);
    }
}

/* ---- One request ---- */

/* curl asks for a socket to this address: the last moment at which it can be refused, and the
 * first at which it is known. */
static curl_socket_t open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *to)
{
    struct trip *trip = context;
    const struct pk_fetcher *fetcher = trip->fetcher;
    const bool is_unix = to->family == AF_UNIX;
    const char *kind = is_unix ? NULL : pk_fetch_address_kind(&to->addr);
    if (purpose != CURLSOCKTYPE_IPCXN || is_unix != (fetcher->unix_path != NULL)) {
        return CURL_SOCKET_BAD;
    }
    if (kind && !fetcher->is_private_allowed) {
        trip->refused_kind = kind;
        if (getnameinfo(&to->addr, (socklen_t)to->addrlen, trip->refused, sizeof(trip->refused),
                        NULL, 0, NI_NUMERICHOST) != 0) {
            trip->refused[0] = '\0';
        }
        return CURL_SOCKET_BAD;
    }
    return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

/* Numbers and switches that are the same for all. */
static const struct {
    CURLoption option;
    long value;
} number_table[] = {
    { CURLOPT_NOSIGNAL, 1 },
    { CURLOPT_FOLLOWLOCATION, 0 },
    { CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1 },
    { CURLOPT_HTTP09_ALLOWED, 0 },
    { CURLOPT_NETRC, CURL_NETRC_IGNORED },
    { CURLOPT_DISALLOW_USERNAME_IN_URL, 1 },
    { CURLOPT_SSL_VERIFYPEER, 1 },
    { CURLOPT_SSL_VERIFYHOST, 2 },
    { CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2 },
    { CURLOPT_MAXCONNECTS, CONNECTIONS_MAX },
    { CURLOPT_MAXLIFETIME_CONN, CONNECTION_LIFE_S },
    { CURLOPT_QUICK_EXIT, 1 }, /* A resolver that hangs is left behind: deadlines hold. */
};
/* The same for texts. */
static const struct {
    CURLoption option;
    const char *value;
} text_table[] = {
    { CURLOPT_PROTOCOLS_STR, "http,https" },
    { CURLOPT_REDIR_PROTOCOLS_STR, "https" }, /* None is followed; it cannot be empty. */
    { CURLOPT_PROXY, "" },                    /* Not what the environment says. */
    { CURLOPT_ACCEPT_ENCODING, "gzip" },
    { CURLOPT_USERAGENT, "personakit/" PK_VERSION },
};

static bool set_options(struct trip *trip, struct pk_error *err)
{
    CURL *curl = trip->curl;
    const struct pk_fetcher *fetcher = trip->fetcher;
    CURLcode code = CURLE_OK;
    for (size_t i = 0; i < PK_COUNT(number_table) && code == CURLE_OK; i++) {
        code = curl_easy_setopt(curl, number_table[i].option, number_table[i].value);
    }
    for (size_t i = 0; i < PK_COUNT(text_table) && code == CURLE_OK; i++) {
        code = curl_easy_setopt(curl, text_table[i].option, text_table[i].value);
    }
    if (code == CURLE_OK && fetcher->ca_file) {
        code = curl_easy_setopt(curl, CURLOPT_CAINFO, fetcher->ca_file);
    }
    if (code == CURLE_OK && fetcher->unix_path) {
        code = curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, fetcher->unix_path);
    }
    if (code == CURLE_OK) {
        code = curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    }
    if (code != CURLE_OK) { /* A curl that lacks one of these must not be used. */
        return pk_fail(err, PK_INTERNAL, NULL, "cannot set up a request: %s",
                       curl_easy_strerror(code));
    }
    (void)curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, trip);
    (void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, trip->detail);
    pk_said_listen(&trip->said, curl);
    return true;
}

static bool set_limits(struct trip *trip, struct pk_error *err)
{
    const struct pk_fetch_request *request = trip->request;
    const struct pk_clock *clock = trip->fetcher->clock;
    const bool is_endless = request->deadline_ns == PK_FETCH_NO_DEADLINE;
    int64_t connect_ms = request->connect_ms > 0 ? request->connect_ms : PK_FETCH_CONNECT_MS;
    trip->time_ms = PK_FETCH_TIME_MS;
    if (request->deadline_ns != 0 && !is_endless) {
        trip->time_ms = pk_deadline_left_ms(clock, request->deadline_ns, INT32_MAX);
    }
    if (trip->time_ms <= 0) {
        return pk_fail(err, PK_TIMEOUT, NULL, "no time is left to ask '%.150s'", trip->place.host);
    }
    if (connect_ms > trip->time_ms && !is_endless) {
        connect_ms = trip->time_ms;
    }
    (void)curl_easy_setopt(trip->curl, CURLOPT_TIMEOUT_MS, is_endless ? 0L : (long)trip->time_ms);
    (void)curl_easy_setopt(trip->curl, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
    const bool is_head = request->method && strcmp(request->method, "HEAD") == 0;
    if (!is_head && trip->said.body_max_bytes < (size_t)INT64_MAX) {
        (void)curl_easy_setopt(trip->curl, CURLOPT_MAXFILESIZE_LARGE,
                               (curl_off_t)trip->said.body_max_bytes);
    }
    return true;
}

/* ---- What went wrong ---- */

static const char text_unreachable[] = "see that it runs and can be reached from here";

static bool fail_connect(struct trip *trip, struct pk_error *err)
{
    long number = 0;
    const char *host = trip->place.host;
    if (trip->refused_kind) {
        return pk_fail(err, PK_FORBIDDEN, "allow private addresses, if it is meant to be reached",
                       "the address %s of '%.100s' is no public one (%s)", trip->refused, host,
                       trip->refused_kind);
    }
    (void)curl_easy_getinfo(trip->curl, CURLINFO_OS_ERRNO, &number);
    if (trip->fetcher->unix_path) {
        return pk_fail(err, PK_UNAVAILABLE, text_unreachable, "cannot connect to '%.150s'%s%s",
                       trip->fetcher->unix_path, number ? ": " : "",
                       number ? strerrordesc_np((int)number) : "");
    }
    return pk_fail(err, PK_UNAVAILABLE, text_unreachable, "cannot connect to '%.150s:%d'%s%s", host,
                   trip->place.port, number ? ": " : "",
                   number ? strerrordesc_np((int)number) : "");
}

static bool fail_time(const struct trip *trip, struct pk_error *err)
{
    curl_off_t connected_us = 0;
    const char *host = trip->place.host;
    (void)curl_easy_getinfo(trip->curl, CURLINFO_PRETRANSFER_TIME_T, &connected_us);
    if (connected_us == 0) {
        return pk_fail(err, PK_TIMEOUT, text_unreachable,
                       "no connection to '%.150s:%d' in the time there was", host,
                       trip->place.port);
    }
    return pk_fail(err, PK_TIMEOUT, "allow it more time, if it is known to be slow",
                   "no whole answer of '%.150s:%d' within %lld ms", host, trip->place.port,
                   (long long)trip->time_ms);
}

static bool fail_size(const struct trip *trip, struct pk_error *err)
{
    if (trip->said.is_over && !trip->said.is_headed) {
        return pk_fail(err, PK_TOO_LARGE, NULL,
                       "the headers of the answer of '%.150s' are above %d bytes or more than %d",
                       trip->place.host, PK_FETCH_HEAD_MAX, PK_FETCH_HEADERS_MAX);
    }
    return pk_fail(err, PK_TOO_LARGE, "ask for less, or allow more",
                   "the answer of '%.150s' is above %zu bytes", trip->place.host,
                   trip->said.body_max_bytes);
}

/* What curl said in words, or the words for its code. */
static const char *detail_of(const struct trip *trip, CURLcode code)
{
    return trip->detail[0] ? trip->detail : curl_easy_strerror(code);
}

/* The codes that have a sentence; others get curl's. */
static const struct {
    CURLcode curl;
    enum pk_code code;
    const char *what; /* "... of 'host'" */
    const char *hint;
} failure_table[] = {
    { CURLE_COULDNT_RESOLVE_HOST, PK_UNAVAILABLE, "cannot find the address",
      "check how the name is written, and this machine's DNS" },
    { CURLE_PEER_FAILED_VERIFICATION, PK_UNAVAILABLE, "cannot trust the certificate",
      "its issuer must be known here, or be given as the CA file; the name must be in it" },
    { CURLE_SSL_CONNECT_ERROR, PK_UNAVAILABLE, "no TLS with the server",
      "it must speak TLS 1.2 or later on this port" },
    { CURLE_SSL_CACERT_BADFILE, PK_INVALID, "cannot read the CA file for the certificate",
      "it must be there, and be PEM" },
    { CURLE_GOT_NOTHING, PK_UNAVAILABLE, "no answer", "try again; see the log of that server" },
    { CURLE_PARTIAL_FILE, PK_UNAVAILABLE, "only a part of the answer",
      "try again; see the log of that server" },
    { CURLE_RECV_ERROR, PK_UNAVAILABLE, "the connection broke before the end of the answer",
      "try again; see the log of that server" },
    { CURLE_SEND_ERROR, PK_UNAVAILABLE, "the connection broke before the request was sent to that",
      "try again; see the log of that server" },
    { CURLE_UNSUPPORTED_PROTOCOL, PK_UNAVAILABLE, "no HTTP in the answer",
      "see what listens on that port" },
    { CURLE_WEIRD_SERVER_REPLY, PK_UNAVAILABLE, "no HTTP in the answer",
      "see what listens on that port" },
    { CURLE_BAD_CONTENT_ENCODING, PK_UNAVAILABLE, "no valid compression in the answer",
      "that server is wrong; its makers should know" },
};

static bool fail_other(const struct trip *trip, CURLcode code, struct pk_error *err)
{
    for (size_t i = 0; i < PK_COUNT(failure_table); i++) {
        if (failure_table[i].curl == code) {
            return pk_fail(err, failure_table[i].code, failure_table[i].hint,
                           "%s of '%.100s' (%.100s)", failure_table[i].what, trip->place.host,
                           detail_of(trip, code));
        }
    }
    return pk_fail(err, PK_UNAVAILABLE, text_unreachable, "no answer of '%.100s' (%.100s)",
                   trip->place.host, detail_of(trip, code));
}

static bool explain(struct trip *trip, CURLcode code, struct pk_error *err)
{
    if (trip->said.is_over || code == CURLE_FILESIZE_EXCEEDED) {
        return fail_size(trip, err);
    }
    if (code == CURLE_COULDNT_CONNECT) {
        return fail_connect(trip, err);
    }
    return code == CURLE_OPERATION_TIMEDOUT ? fail_time(trip, err) : fail_other(trip, code, err);
}

/* ---- From begin to end ---- */

static bool travel(struct trip *trip, CURLU *url, struct pk_error *err)
{
    struct curl_slist *list = NULL;
    bool is_ok = set_options(trip, err) && set_limits(trip, err) &&
                 pk_wants_set(trip->curl, trip->request, &list, err);
    if (is_ok) {
        (void)curl_easy_setopt(trip->curl, CURLOPT_CURLU, url);
        const CURLcode code = curl_easy_perform(trip->curl);
        is_ok = code == CURLE_OK || trip->said.answer->is_stopped || explain(trip, code, err);
    }
    give_handle(trip->fetcher, trip->curl, &trip->place);
    curl_slist_free_all(list);
    return is_ok;
}

bool pk_fetch(struct pk_fetcher *fetcher, const struct pk_fetch_request *request,
              struct pk_fetch_answer *answer, struct pk_error *err)
{
    CURLU *url = NULL;
    struct trip trip = {
        .fetcher = fetcher,
        .request = request,
        .said = { .answer = answer,
                  .piece = request->piece,
                  .context = request->context,
                  .body_max_bytes = request->answer_max_bytes ? request->answer_max_bytes
                                                              : (size_t)PK_FETCH_ANSWER_BYTES },
    };
    if (!pk_guard_url(&fetcher->guard, request->url, &url, &trip.place, err)) {
        return false;
    }
    trip.curl = take_handle(fetcher, &trip.place);
    if (!trip.curl) {
        curl_url_cleanup(url);
        return pk_fail(err, PK_INTERNAL, NULL, "cannot make a handle of libcurl");
    }
    const bool is_ok = travel(&trip, url, err);
    curl_url_cleanup(url);
    return is_ok;
}

bool pk_fetch_check(const struct pk_fetcher *fetcher, const char *url, struct pk_error *err)
{
    struct pk_fetch_target place;
    return pk_guard_url(&fetcher->guard, url, NULL, &place, err);
}
