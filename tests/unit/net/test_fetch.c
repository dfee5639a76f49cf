/* test_fetch.c - Outgoing HTTP against servers that lie, linger and never end.
 *
 * Names under ".test" are resolved here: this file's getaddrinfo stands before
 * the system's, so that curl asks it as it would ask any other. */
/* SPDX-License-Identifier: MIT */
#include "fake.h"
#include "test.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "net/fetch.h"

#include <dlfcn.h>
#include <netdb.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

/* ---- Names ---- */

static atomic_int lookups;      /* Of names under ".test". */
static atomic_bool is_hanging;  /* "hang.test" does not come back before this is false. */
static atomic_int hanging_done; /* Look-ups of it that have come back. */

/* Every name under ".test" is the loopback address; "none.test" does not exist. */
__attribute__((visibility("default"))) int getaddrinfo(const char *node, const char *service,
                                                       const struct addrinfo *hints,
                                                       struct addrinfo **out)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = NULL;
    void *found = dlsym(RTLD_NEXT, "getaddrinfo");
    const char *dot = node ? strrchr(node, '.') : NULL;
    memcpy(&real, &found, sizeof(found));
    if (!dot || strcmp(dot, ".test") != 0) {
        return real(node, service, hints, out);
    }
    lookups++;
    if (strcmp(node, "none.test") == 0) {
        return EAI_NONAME;
    }
    if (strcmp(node, "hang.test") == 0) {
        while (is_hanging) {
            (void)usleep(1000);
        }
        hanging_done++;
    }
    return real("127.0.0.1", service, hints, out);
}

/* ---- Fetchers ---- */

static struct pk_fetcher *make(const struct pk_fetch_options *options)
{
    struct pk_error err = { 0 };
    struct pk_fetcher *fetcher = NULL;
    struct pk_fetch_options full = *options;
    full.clock = pk_clock_system();
    assert_ok(pk_fetcher_new(&fetcher, &full, &err), &err);
    return fetcher;
}

/* One that may reach 'host' wherever it is. */
static struct pk_fetcher *make_for(const char *host)
{
    return make(
        &(struct pk_fetch_options){ .host = &host, .host_count = 1, .is_private_allowed = true });
}

static enum pk_code ask(struct pk_fetcher *fetcher, const struct pk_fetch_request *request,
                        struct pk_fetch_answer *answer, struct pk_error *err)
{
    *err = (struct pk_error){ 0 };
    *answer = (struct pk_fetch_answer){ 0 };
    const bool is_ok = pk_fetch(fetcher, request, answer, err);
    assert_true(is_ok == (err->code == PK_OK));
    return err->code;
}

/* The code of a GET against 'play', which says 'says'. */
static enum pk_code get_from(fake_play_fn *play, const char *says,
                             const struct pk_fetch_request *how, struct pk_fetch_answer *answer,
                             struct pk_error *err)
{
    struct fake fake;
    struct pk_fetch_request request = *how;
    fake_start(&fake, play, says, NULL);
    struct pk_fetcher *fetcher = make_for(fake.host);
    request.url = fake.url;
    const enum pk_code code = ask(fetcher, &request, answer, err);
    pk_fetcher_free(fetcher);
    fake_stop(&fake);
    return code;
}

static const struct pk_fetch_request plain = { 0 };

/* ---- What goes and what comes ---- */

TEST(an_answer_has_its_status_headers_and_body)
{
    struct pk_error err;
    struct pk_fetch_answer answer;
    assert_int_equal(get_from(fake_once,
                              "HTTP/1.1 404 Not Found\r\nContent-Type:  text/plain \r\n"
                              "X-Empty:\r\nX-Two: a\r\nX-Two: b\r\nContent-Length: 4\r\n\r\nnone",
                              &plain, &answer, &err),
                     PK_OK);
    assert_int_equal(answer.status, 404);
    assert_string_equal(pk_buf_text(&answer.body), "none");
    assert_string_equal(pk_fetch_header(&answer, "content-type"), "text/plain");
    assert_string_equal(pk_fetch_header(&answer, "x-empty"), "");
    assert_string_equal(pk_fetch_header(&answer, "x-two"), "a");
    assert_null(pk_fetch_header(&answer, "x-none"));
    assert_int_equal(answer.header_count, 5);
    pk_fetch_answer_done(&answer);
}

TEST(interim_answers_and_trailers_leave_nothing_behind)
{
    struct pk_error err;
    struct pk_fetch_answer answer;
    assert_int_equal(get_from(fake_once,
                              "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
                              "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                              "0\r\nX-Trailer: y\r\n\r\n",
                              &plain, &answer, &err),
                     PK_OK);
    assert_int_equal(answer.status, 200);
    assert_null(pk_fetch_header(&answer, "link"));
    assert_null(pk_fetch_header(&answer, "x-trailer"));
    pk_fetch_answer_done(&answer);
}

static const char text_200[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

TEST(methods_bodies_and_headers_go_out_as_they_were_meant)
{
    static const struct {
        const char *method, *body, *says;
    } row[] = {
        { NULL, NULL, "GET /a/c?d=e HTTP/1.1\r\n" },
        { "DELETE", NULL, "DELETE /a/c?d=e HTTP/1.1\r\n" },
        { "DELETE", "{}", "\r\n\r\n{}" },
        { "POST", "{\"a\":1}", "\r\n\r\n{\"a\":1}" },
        { "POST", NULL, "Content-Length: 0\r\n" },
        { "PUT", "text", "PUT /a/c?d=e HTTP/1.1\r\n" },
        { "PATCH", "text", "Content-Length: 4\r\n" },
    };
    static const struct pk_fetch_header header[] = { { "X-Mine", "a b", 3 },
                                                     { "X-Empty", "", 0 },
                                                     { "Accept", "text/plain", 10 } };
    struct fake fake;
    struct pk_error err;
    char url[256];
    fake_start(&fake, fake_again, text_200, NULL);
    struct pk_fetcher *fetcher = make_for(fake.host);
    (void)snprintf(url, sizeof(url), "%s/a/b/../c?d=e#part", fake.url);
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        struct pk_fetch_answer answer;
        const struct pk_fetch_request request = { .method = row[i].method,
                                                  .url = url,
                                                  .header = header,
                                                  .header_count = PK_COUNT(header),
                                                  .body = row[i].body,
                                                  .body_size =
                                                      row[i].body ? strlen(row[i].body) : 0 };
        assert_int_equal(ask(fetcher, &request, &answer, &err), PK_OK);
        assert_string_equal(pk_buf_text(&answer.body), "ok");
        pk_fetch_answer_done(&answer);
        if (!strstr(fake.last, row[i].says)) {
            fail_msg("'%s' is not in '%s'", row[i].says, fake.last);
        }
        assert_non_null(strstr(fake.last, "\r\nX-Mine: a b\r\n"));
        assert_non_null(strstr(fake.last, "\r\nX-Empty:\r\n"));
        assert_non_null(strstr(fake.last, "\r\nAccept: text/plain\r\n"));
        assert_null(strstr(fake.last, "Content-Type"));
        assert_null(strstr(fake.last, "Expect"));
        assert_null(strstr(fake.last, "part"));
    }
    assert_int_equal(fake.accepted, 1); /* And all of it on one connection. */
    pk_fetcher_free(fetcher);
    fake_stop(&fake);
}

TEST(head_has_a_length_and_no_body)
{
    struct pk_error err;
    struct pk_fetch_answer answer;
    assert_int_equal(get_from(fake_once, "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
                              &(struct pk_fetch_request){ .method = "HEAD" }, &answer, &err),
                     PK_OK);
    assert_int_equal(answer.body.size, 0);
    assert_string_equal(pk_fetch_header(&answer, "content-length"), "99999999");
    pk_fetch_answer_done(&answer);
}

TEST(what_could_forge_a_header_or_a_request_is_refused)
{
    static const struct pk_fetch_header bad[] = {
        { "X-A", "a\r\nX-B: b", 9 },
        { "X-A", "a\nb", 3 },
        { "X-A", "a\rb", 3 },
        { "X-A", "a\0b", 3 },
        { "X-A", "\x7f", 1 },
        { "X A", "a", 1 },
        { "X-A:", "a", 1 },
        { "", "a", 1 },
        { "X-A\r\nX-B", "a", 1 },
        { "X-\xc3\xa4", "a", 1 },
        { "X-A", " a", 2 },
        { "Host", "b.test", 6 },
        { "transfer-encoding", "chunked", 7 },
        { "CONTENT-LENGTH", "1", 1 },
        { "Connection", "close", 5 },
        { "Expect", "100-continue", 12 },
    };
    struct fake fake;
    struct pk_error err;
    struct pk_fetch_answer answer;
    fake_start(&fake, fake_again, text_200, NULL);
    struct pk_fetcher *fetcher = make_for(fake.host);
    for (size_t i = 0; i < PK_COUNT(bad); i++) {
        const struct pk_fetch_request request = { .url = fake.url,
                                                  .header = &bad[i],
                                                  .header_count = 1 };
        if (ask(fetcher, &request, &answer, &err) != PK_INVALID) {
            fail_msg("header %zu was taken", i);
        }
        pk_fetch_answer_done(&answer);
    }
    static const char *const method[] = { "get",     "CONNECT", "TRACE",
                                          "OPTIONS", "",        "GET / HTTP/1.1\r\n" };
    for (size_t i = 0; i < PK_COUNT(method); i++) {
        const struct pk_fetch_request request = { .url = fake.url, .method = method[i] };
        assert_int_equal(ask(fetcher, &request, &answer, &err), PK_INVALID);
        pk_fetch_answer_done(&answer);
    }
    assert_int_equal(fake.accepted, 0);
    pk_fetcher_free(fetcher);
    fake_stop(&fake);
}

/* ---- Where it goes ---- */

TEST(a_redirect_is_an_answer_and_is_not_followed)
{
    struct fake other;
    struct fake fake;
    struct pk_error err;
    struct pk_fetch_answer answer;
    char says[512];
    fake_start(&other, fake_again, text_200, NULL);
    (void)snprintf(says, sizeof(says),
                   "HTTP/1.1 302 Found\r\nLocation: %s/\r\nContent-Length: 0\r\n\r\n", other.url);
    fake_start(&fake, fake_again, says, NULL);
    const char *const host[] = { fake.host, other.host }; /* Not even to one that is allowed. */
    struct pk_fetcher *fetcher = make(
        &(struct pk_fetch_options){ .host = host, .host_count = 2, .is_private_allowed = true });
    assert_int_equal(ask(fetcher, &(struct pk_fetch_request){ .url = fake.url }, &answer, &err),
                     PK_OK);
    assert_int_equal(answer.status, 302);
    assert_non_null(strstr(pk_fetch_header(&answer, "location"), other.host));
    assert_int_equal(other.accepted, 0);
    pk_fetch_answer_done(&answer);
    pk_fetcher_free(fetcher);
    fake_stop(&fake);
    fake_stop(&other);
}

TEST(a_public_name_with_a_private_address_leads_nowhere)
{
    struct fake fake;
    struct pk_error err;
    struct pk_fetch_answer answer;
    char host[64];
    char url[128];
    fake_start(&fake, fake_again, text_200, NULL);
    (void)snprintf(host, sizeof(host), "rebind.test:%d", fake.port);
    (void)snprintf(url, sizeof(url), "http://%s/?secret", host);
    const char *const one = host;
    struct pk_fetcher *fetcher = make(&(struct pk_fetch_options){ .host = &one, .host_count = 1 });
    lookups = 0;
    assert_int_equal(ask(fetcher, &(struct pk_fetch_request){ .url = url }, &answer, &err),
                     PK_FORBIDDEN);
    assert_non_null(strstr(err.message, "127.0.0.1"));
    assert_non_null(strstr(err.message, "loopback"));
    assert_null(strstr(err.message, "secret"));
    assert_true(lookups > 0); /* It was this name that was asked for. */
    assert_int_equal(fake.accepted, 0);
    pk_fetch_answer_done(&answer);
    pk_fetcher_free(fetcher);

    fetcher = make_for(host); /* The same, when private ones are allowed. */
    assert_int_equal(ask(fetcher, &(struct pk_fetch_request){ .url = url }, &answer, &err), PK_OK);
    pk_fetch_answer_done(&answer);
    pk_fetcher_free(fetcher);
    fake_stop(&fake);
}

TEST(private_addresses_in_the_url_are_refused_whatever_their_form)
{
    static const char *const host[] = { "127.0.0.1:9", "localhost:9", "[::1]:9",
                                        "[::ffff:7f00:1]:9", "10.0.0.1:9" };
    struct pk_fetcher *fetcher =
        make(&(struct pk_fetch_options){ .host = host, .host_count = PK_COUNT(host) });
    for (size_t i = 0; i < PK_COUNT(host); i++) {
        struct pk_error err;
        struct pk_fetch_answer answer;
        char url[128];
        (void)snprintf(url, sizeof(url), "http://%s/", host[i]);
        if (ask(fetcher, &(struct pk_fetch_request){ .url = url }, &answer, &err) != PK_FORBIDDEN) {
            fail_msg("'%s': %s", url, err.message);
        }
        pk_fetch_answer_done(&answer);
    }
    pk_fetcher_free(fetcher);
}

TEST(nothing_is_taken_from_the_environment)
{
    static const char *const name[] = { "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY",
                                        "https_proxy" };
    struct fake proxy;
    struct fake fake;
    struct pk_error err;
    struct pk_fetch_answer answer;
    char netrc[512];
    fake_start(&proxy, fake_again, text_200, NULL);
    fake_start(&fake, fake_again, "HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n",
               NULL);
    (void)snprintf(netrc, sizeof(netrc), "%s/.netrc", pk_test_folder());
    FILE *file = fopen(netrc, "w");
    assert_non_null(file);
    (void)fputs("machine 127.0.0.1 login me password hunter2\n", file);
    (void)fclose(file);
    (void)setenv("HOME", pk_test_folder(), 1);
    for (size_t i = 0; i < PK_COUNT(name); i++) {
        (void)setenv(name[i], proxy.url, 1);
    }
    struct pk_fetcher *fetcher = make_for(fake.host);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ask(fetcher, &(struct pk_fetch_request){ .url = fake.url }, &answer, &err),
                         PK_OK);
        pk_fetch_answer_done(&answer);
    }
    for (size_t i = 0; i < PK_COUNT(name); i++) {
        (void)unsetenv(name[i]);
    }
    assert_int_equal(proxy.accepted, 0);
    assert_null(strstr(fake.last, "Cookie"));
    assert_null(strstr(fake.last, "Authorization"));
    pk_fetcher_free(fetcher);
    fake_stop(&fake);
    fake_stop(&proxy);
}

TEST(a_unix_socket_is_reached_when_the_fetcher_was_made_for_it)
{
    static const char *const host = "personakit";
    struct fake fake;
    struct pk_error err;
    struct pk_fetch_answer answer;
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/fetch.sock", pk_test_folder());
    fake_start(&fake, fake_again, text_200, path);
    struct pk_fetcher *fetcher =
        make(&(struct pk_fetch_options){ .host = &host, .host_count = 1, .unix_path = path });
    const struct pk_fetch_request request = { .url = "http://personakit/x" };
    assert_int_equal(ask(fetcher, &request, &answer, &err), PK_OK);
    assert_string_equal(pk_buf_text(&answer.body), "ok");
    pk_fetch_answer_done(&answer);
    fake_stop(&fake);
    (void)unlink(path);
    assert_int_equal(ask(fetcher, &request, &answer, &err), PK_UNAVAILABLE);
    assert_non_null(strstr(err.message, path));
    pk_fetch_answer_done(&answer);
    pk_fetcher_free(fetcher);
}

/* ---- Size ---- */

TEST(an_answer_up_to_its_limit_is_taken_and_one_byte_more_is_not)
{
    static const char *const says[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n12345678",
        "HTTP/1.1 200 OK\r\n\r\n12345678", /* Until the end of the connection. */
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n1234\r\n4\r\n5678\r\n0\r\n\r\n",
    };
    for (size_t i = 0; i < PK_COUNT(says); i++) {
        struct pk_error err;
        struct pk_fetch_answer answer;
        struct pk_fetch_request request = { .answer_max_bytes = 8 };
        assert_int_equal(get_from(fake_once, says[i], &request, &answer, &err), PK_OK);
        assert_int_equal(answer.body.size, 8);
        pk_fetch_answer_done(&answer);
        request.answer_max_bytes = 7;
        assert_int_equal(get_from(fake_once, says[i], &request, &answer, &err), PK_TOO_LARGE);
        assert_non_null(strstr(err.message, "above 7 bytes"));
        pk_fetch_answer_done(&answer);
    }
}

TEST(a_content_length_that_lies_gains_nothing)
{
    struct pk_error err;
    struct pk_fetch_answer answer;
    /* Less than what comes: the rest is not ours. */
    assert_int_equal(get_from(fake_once, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n123456",
                              &(struct pk_fetch_request){ .answer_max_bytes = 4 }, &answer, &err),
                     PK_OK);
    assert_string_equal(pk_buf_text(&answer.body), "12");
    pk_fetch_answer_done(&answer);
    /* More than what comes: it was cut off. */
    assert_int_equal(get_from(fake_once, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n12345",
                              &plain, &answer, &err),
                     PK_UNAVAILABLE);
    pk_fetch_answer_done(&answer);
    /* More than is taken: refused before a byte of it. */
    assert_int_equal(get_from(fake_once, "HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n1",
                              &(struct pk_fetch_request){ .answer_max_bytes = 9 }, &answer, &err),
                     PK_TOO_LARGE);
    assert_int_equal(answer.body.size, 0);
    pk_fetch_answer_done(&answer);
}

static void endless_chunks(struct fake *fake, int fd)
{
    static char chunk[4096 + 8];
    memcpy(chunk, "1000\r\n", 6);
    memset(chunk + 6, 'x', 4096);
    memcpy(chunk + 6 + 4096, "\r\n", 2);
    if (fake_hear(fake, fd) && fake_say(fd, fake->says, strlen(fake->says))) {
        while (!fake->is_over && fake_say(fd, chunk, sizeof(chunk))) {
        }
    }
}

/* 'says', for ever. */
static void endless(struct fake *fake, int fd)
{
    if (fake_hear(fake, fd)) {
        while (!fake->is_over && fake_say(fd, fake->says, strlen(fake->says))) {
        }
    }
}

static void endless_headers(struct fake *fake, int fd)
{
    static const char status[] = "HTTP/1.1 200 OK\r\n";
    if (fake_hear(fake, fd) && fake_say(fd, status, sizeof(status) - 1)) {
        while (!fake->is_over && fake_say(fd, fake->says, strlen(fake->says))) {
        }
    }
}

TEST(what_never_ends_is_cut)
{
    struct pk_error err;
    struct pk_fetch_answer answer;
    assert_int_equal(get_from(endless_chunks,
                              "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &plain,
                              &answer, &err),
                     PK_TOO_LARGE);
    assert_true(answer.body.size <= PK_FETCH_ANSWER_BYTES);
    pk_fetch_answer_done(&answer);
    assert_int_equal(get_from(endless_headers, "X-A: b\r\n", &plain, &answer, &err), PK_TOO_LARGE);
    pk_fetch_answer_done(&answer);
    assert_int_equal(
        get_from(endless_headers, "no header at all, and no end of it ", &plain, &answer, &err),
        PK_UNAVAILABLE);
    pk_fetch_answer_done(&answer);
    assert_int_equal(
        get_from(endless, "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n", &plain, &answer, &err),
        PK_TOO_LARGE);
    pk_fetch_answer_done(&answer);
}

/* gzip of 64 MiB of nothing: 64 KiB. */
static void bomb(struct fake *fake, int fd)
{
    enum { ROOM = 256 * 1024, PIECE = 64 * 1024, PIECES = 1024 };
    static char packed[ROOM];
    static char nothing[PIECE];
    char head[256];
    z_stream zip = { .next_out = (Bytef *)packed, .avail_out = ROOM };
    assert_int_equal(deflateInit2(&zip, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY), Z_OK);
    for (int i = 0; i < PIECES; i++) {
        zip.next_in = (Bytef *)nothing;
        zip.avail_in = PIECE;
        (void)deflate(&zip, i + 1 == PIECES ? Z_FINISH : Z_NO_FLUSH);
    }
    const size_t size = ROOM - zip.avail_out;
    (void)deflateEnd(&zip);
    (void)snprintf(head, sizeof(head),
                   "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n",
                   size);
    if (fake_hear(fake, fd) && fake_say(fd, head, strlen(head))) {
        (void)fake_say(fd, packed, size);
    }
}

TEST(a_small_archive_of_a_large_emptiness_is_cut)
{
    struct pk_error err;
    struct pk_fetch_answer answer;
    assert_int_equal(get_from(bomb, "", &plain, &answer, &err), PK_TOO_LARGE);
    assert_true(answer.body.size <= PK_FETCH_ANSWER_BYTES);
    pk_fetch_answer_done(&answer);
}

TEST(what_is_no_http_is_said_to_be_none)
{
    static const char *const says[] = {
        "",
        "hello\r\n",
        "SSH-2.0-OpenSSH\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nplain",
        "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
    };
    for (size_t i = 0; i < PK_COUNT(says); i++) {
        struct pk_error err;
        struct pk_fetch_answer answer;
        if (get_from(fake_once, says[i], &plain, &answer, &err) != PK_UNAVAILABLE) {
            fail_msg("'%s' is %s: %s", says[i], pk_code_name(err.code), err.message);
        }
        assert_non_null(err.hint);
        pk_fetch_answer_done(&answer);
    }
}

/* ---- Time ---- */

static void silence(struct fake *fake, int fd)
{
    if (fake_hear(fake, fd)) {
        (void)fake_say(fd, fake->says, strlen(fake->says));
        fake_wait(fake, fd);
    }
}

static void drip(struct fake *fake, int fd)
{
    if (fake_hear(fake, fd) && fake_say(fd, "HTTP/1.1 200 OK\r\n\r\n", 19)) {
        while (!fake->is_over && fake_say(fd, ".", 1)) {
            (void)usleep(5000);
        }
    }
}

TEST(who_is_slow_is_cut_at_the_deadline)
{
    static const struct {
        fake_play_fn *play;
        const char *says;
    } row[] = {
        { silence, "" },
        { silence, "HTTP/1.1 200 OK\r\nContent-" },
        { silence, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n1" },
        { drip, "" },
    };
    const struct pk_clock *clock = pk_clock_system();
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        struct pk_error err;
        struct pk_fetch_answer answer;
        bool is_connected = false; /* Before the deadline, or there is more time. */
        for (int64_t ms = 150; !is_connected; ms *= 4) {
            assert_true(ms < PK_TEST_PATIENCE_MS);
            const int64_t begun_ns = pk_clock_mono_ns(clock);
            const struct pk_fetch_request request = { .deadline_ns = pk_deadline_in_ms(clock, ms) };
            assert_int_equal(get_from(row[i].play, row[i].says, &request, &answer, &err),
                             PK_TIMEOUT);
            assert_true((pk_clock_mono_ns(clock) - begun_ns) / 1000000 >= ms - 10);
            is_connected = strstr(err.message, "no whole answer") != NULL;
            pk_fetch_answer_done(&answer);
        }
    }
}

TEST(a_deadline_that_has_passed_sends_nothing)
{
    struct fake fake;
    struct pk_error err;
    struct pk_fetch_answer answer;
    fake_start(&fake, fake_again, text_200, NULL);
    struct pk_fetcher *fetcher = make_for(fake.host);
    const struct pk_fetch_request request = { .url = fake.url, .deadline_ns = 1 };
    assert_int_equal(ask(fetcher, &request, &answer, &err), PK_TIMEOUT);
    assert_int_equal(fake.accepted, 0);
    pk_fetcher_free(fetcher);
    fake_stop(&fake);
}

TEST(a_resolver_that_hangs_is_left_behind)
{
    struct pk_error err;
    struct pk_fetch_answer answer;
    is_hanging = true;
    struct pk_fetcher *fetcher = make_for("hang.test");
    const struct pk_fetch_request request = { .url = "http://hang.test/", .connect_ms = 100 };
    assert_int_equal(ask(fetcher, &request, &answer, &err), PK_TIMEOUT);
    assert_non_null(strstr(err.message, "no connection"));
    assert_int_equal(hanging_done, 0); /* It does hang still. */
    pk_fetcher_free(fetcher);
    is_hanging = false;
    for (int i = 0; hanging_done == 0 && i < PK_TEST_PATIENCE_MS; i++) {
        (void)usleep(1000);
    }
    assert_int_equal(hanging_done, 1);
}

TEST(names_and_ports_where_nobody_is_are_told_apart)
{
    struct fake fake;
    struct pk_error err;
    struct pk_fetch_answer answer;
    struct pk_fetcher *fetcher = make_for("none.test");
    assert_int_equal(
        ask(fetcher, &(struct pk_fetch_request){ .url = "http://none.test/" }, &answer, &err),
        PK_UNAVAILABLE);
    assert_non_null(strstr(err.message, "address of 'none.test'"));
    pk_fetcher_free(fetcher);

    fake_start(&fake, fake_again, text_200, NULL);
    fetcher = make_for(fake.host);
    fake_stop(&fake);
    assert_int_equal(ask(fetcher, &(struct pk_fetch_request){ .url = fake.url }, &answer, &err),
                     PK_UNAVAILABLE);
    assert_non_null(strstr(err.message, "refused"));
    assert_non_null(strstr(err.message, fake.host));
    pk_fetcher_free(fetcher);
}

/* ---- In pieces ---- */

struct taken {
    size_t bytes, pieces;
    size_t enough; /* Then it wants no more. */
};

static bool take(void *context, const struct pk_fetch_answer *answer, const void *data, size_t size)
{
    struct taken *taken = context;
    assert_int_equal(answer->status, 200);
    assert_non_null(data);
    taken->bytes += size;
    taken->pieces++;
    return taken->bytes < taken->enough;
}

TEST(an_answer_of_any_length_can_be_taken_in_pieces)
{
    struct pk_error err;
    struct pk_fetch_answer answer;
    struct taken taken = { .enough = SIZE_MAX };
    struct pk_fetch_request request = { .piece = take,
                                        .context = &taken,
                                        .answer_max_bytes = SIZE_MAX };
    assert_int_equal(get_from(bomb, "", &request, &answer, &err), PK_OK);
    assert_int_equal(taken.bytes, 64 * 1024 * 1024);
    assert_true(taken.pieces > 100); /* Never much of it at a time. */
    assert_int_equal(answer.body.size, 0);
    pk_fetch_answer_done(&answer);
    request.answer_max_bytes = 1000000;
    taken = (struct taken){ .enough = SIZE_MAX };
    assert_int_equal(get_from(bomb, "", &request, &answer, &err), PK_TOO_LARGE);
    assert_true(taken.bytes <= 1000000);
    pk_fetch_answer_done(&answer);
}

TEST(who_takes_pieces_may_have_enough)
{
    struct pk_error err;
    struct pk_fetch_answer answer;
    struct taken taken = { .enough = 3 };
    const struct pk_fetch_request request = { .piece = take,
                                              .context = &taken,
                                              .deadline_ns = PK_FETCH_NO_DEADLINE };
    assert_int_equal(get_from(drip, "", &request, &answer, &err), PK_OK);
    assert_true(answer.is_stopped);
    assert_true(taken.bytes >= 3);
    pk_fetch_answer_done(&answer);
}

/* ---- Connections ---- */

TEST(a_connection_is_used_again)
{
    struct fake fake;
    struct pk_error err;
    struct pk_fetch_answer answer;
    fake_start(&fake, fake_again, text_200, NULL);
    struct pk_fetcher *fetcher = make_for(fake.host);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(ask(fetcher, &(struct pk_fetch_request){ .url = fake.url }, &answer, &err),
                         PK_OK);
        pk_fetch_answer_done(&answer);
    }
    assert_int_equal(fake.heard, 20);
    assert_int_equal(fake.accepted, 1);
    pk_fetcher_free(fetcher);
    fake_stop(&fake);
}

TEST(one_that_was_closed_meanwhile_is_made_anew)
{
    struct fake fake;
    struct pk_error err;
    struct pk_fetch_answer answer;
    fake_start(&fake, fake_once, text_200, NULL); /* Says keep-alive, and closes. */
    struct pk_fetcher *fetcher = make_for(fake.host);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(ask(fetcher, &(struct pk_fetch_request){ .url = fake.url }, &answer, &err),
                         PK_OK);
        pk_fetch_answer_done(&answer);
    }
    assert_int_equal(fake.accepted, 5);
    pk_fetcher_free(fetcher);
    fake_stop(&fake);
}

struct crowd {
    struct pk_fetcher *fetcher;
    const char *url;
    atomic_int good;
};

static void *ask_often(void *context)
{
    struct crowd *crowd = context;
    for (int i = 0; i < 25; i++) {
        struct pk_error err;
        struct pk_fetch_answer answer;
        const struct pk_fetch_request request = { .url = crowd->url };
        crowd->good += ask(crowd->fetcher, &request, &answer, &err) == PK_OK;
        pk_fetch_answer_done(&answer);
    }
    return NULL;
}

TEST(many_threads_share_a_fetcher_and_its_connections)
{
    enum { THREADS = 8 };
    struct fake fake;
    pthread_t thread[THREADS];
    fake_start(&fake, fake_again, text_200, NULL);
    struct crowd crowd = { .fetcher = make_for(fake.host), .url = fake.url };
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, ask_often, &crowd), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        (void)pthread_join(thread[i], NULL);
    }
    assert_int_equal(crowd.good, THREADS * 25);
    assert_true(fake.accepted <= THREADS);
    pk_fetcher_free(crowd.fetcher);
    fake_stop(&fake);
}

TEST(no_more_handles_are_kept_than_was_said)
{
    struct fake fake[3];
    const char *host[3];
    struct pk_error err;
    struct pk_fetch_answer answer;
    for (size_t i = 0; i < 3; i++) {
        fake_start(&fake[i], fake_again, text_200, NULL);
        host[i] = fake[i].host;
    }
    struct pk_fetcher *fetcher = make(&(struct pk_fetch_options){
        .host = host, .host_count = 3, .is_private_allowed = true, .idle_max = 2 });
    static const size_t order[] = { 0, 1, 0, 2, 0, 1 }; /* 2 takes the place of 1. */
    for (size_t i = 0; i < PK_COUNT(order); i++) {
        const struct pk_fetch_request request = { .url = fake[order[i]].url };
        assert_int_equal(ask(fetcher, &request, &answer, &err), PK_OK);
        pk_fetch_answer_done(&answer);
    }
    assert_int_equal(fake[0].accepted, 1);
    assert_int_equal(fake[1].accepted, 2);
    assert_int_equal(fake[2].accepted, 1);
    pk_fetcher_free(fetcher);
    for (size_t i = 0; i < 3; i++) {
        fake_stop(&fake[i]);
    }
}
