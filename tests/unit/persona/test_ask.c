/* test_ask.c - What processors are answered: requests to hosts that they were granted. */
/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "persona/ask.h"
#include "persona/replay.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Answers every connection with the same bytes, until it is closed. */
struct teller {
    int fd;
    int port;
    const char *answer;
    char heard[2048]; /* The last request. */
    _Atomic int count;
    pthread_t thread;
};

static void tell_one(struct teller *teller, int fd)
{
    size_t size = 0;
    while (size < sizeof(teller->heard) - 1) {
        const ssize_t got = recv(fd, teller->heard + size, sizeof(teller->heard) - 1 - size, 0);
        if (got <= 0) {
            break;
        }
        size += (size_t)got;
        teller->heard[size] = '\0';
        if (strstr(teller->heard, "\r\n\r\n")) {
            break;
        }
    }
    atomic_fetch_add(&teller->count, 1);
    (void)!send(fd, teller->answer, strlen(teller->answer), MSG_NOSIGNAL);
    (void)close(fd);
}

static void *tell(void *context)
{
    struct teller *teller = context;
    for (;;) {
        const int fd = accept(teller->fd, NULL, NULL);
        if (fd < 0) {
            return NULL;
        }
        tell_one(teller, fd);
    }
}

static void teller_open(struct teller *teller, const char *answer)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t size = sizeof(address);
    *teller = (struct teller){ .answer = answer };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    teller->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(teller->fd >= 0);
    assert_int_equal(bind(teller->fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(teller->fd, 8), 0);
    assert_int_equal(getsockname(teller->fd, (struct sockaddr *)&address, &size), 0);
    teller->port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&teller->thread, NULL, tell, teller), 0);
}

static void teller_close(struct teller *teller)
{
    (void)shutdown(teller->fd, SHUT_RDWR);
    (void)pthread_join(teller->thread, NULL);
    (void)close(teller->fd);
}

static void put_asking(struct kit *kit, const char *grant, int port)
{
    kit_script(kit, PK_SCRIPT_PROCESSOR,
               "return pk.processor { limits = { soft_ms = 1000, hard_ms = 5000 },"
               " id = 'asks', version = '1.0.0',\n"
               "  accepts = { 'work_session' }, capabilities = { 'http:%s' },\n"
               "  process = function(obs, m, t)\n"
               "    local told, why = pk.ask('http', { url = 'http://127.0.0.1:%d/tea?x=1',\n"
               "      headers = { ['X-For'] = 'tea' } })\n"
               "    t:set('asked.status', told and told.status or 0)\n"
               "    t:set('asked.body', told and told.body or 'none')\n"
               "    t:set('asked.type', told and told.headers['content-type'] or 'none')\n"
               "  end }\n",
               grant, port);
}

static char *ask_once(struct kit *kit, char person[PK_UUID_TEXT])
{
    char id[PK_UUID_TEXT];
    kit_person(kit, person);
    kit_observe(kit, person, "work_session", "{}", id);
    kit_work(kit);
    assert_int_equal(kit_count(kit, "outbox", "status", "failed"), 0);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *mindscape = kit_get(kit, "mindscapes", person);
    bson_t view;
    pk_doc_view(mindscape, &view);
    return kit_text(&view);
}

TEST(a_granted_host_is_asked_once_and_its_answer_replayed)
{
    KIT(kit, false);
    struct pk_asks asks = { .clock = pk_clock_system(), .is_private_allowed = true };
    struct teller teller;
    char person[PK_UUID_TEXT], task[PK_UUID_TEXT];
    kit.domain.ask = pk_ask;
    kit.domain.ask_context = &asks;
    teller_open(&teller, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n"
                         "green");
    put_asking(&kit, "127.0.0.1", teller.port);
    char *text = ask_once(&kit, person);
    teller_close(&teller);
    assert_non_null(strstr(text, "\"value\":\"green\""));
    assert_non_null(strstr(text, "\"value\":200"));
    assert_non_null(strstr(text, "\"value\":\"text/plain\""));
    assert_int_equal(atomic_load(&teller.count), 1);
    assert_non_null(strstr(teller.heard, "GET /tea?x=1 HTTP/1.1"));
    assert_non_null(strcasestr(teller.heard, "x-for: tea"));
    pk_free(text);

    /* Nobody listens any more. */
    const struct pk_remake asked = { .processor = NULL };
    assert_ok(pk_replay_person(&kit.domain, &kit.bed.by, person, &asked, task, &kit.err), &kit.err);
    kit_work(&kit);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *mindscape = kit_get(&kit, "mindscapes", person);
    bson_t view;
    pk_doc_view(mindscape, &view);
    text = kit_text(&view);
    assert_int_equal(pk_doc_int(mindscape, "epoch", 0), 1);
    assert_non_null(strstr(text, "\"value\":\"green\""));
    pk_free(text);
}

TEST(a_host_that_was_not_granted_or_is_private_is_not_asked)
{
    static const struct {
        const char *grant;
        bool is_private_allowed;
    } try[] = { { "example.org", true }, { "127.0.0.1", false } };
    for (size_t i = 0; i < PK_COUNT(try); i++) {
        KIT(kit, false);
        struct pk_asks asks = { .clock = pk_clock_system(),
                                .is_private_allowed = try[i].is_private_allowed };
        struct teller teller;
        char person[PK_UUID_TEXT];
        kit.domain.ask = pk_ask;
        kit.domain.ask_context = &asks;
        teller_open(&teller, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        put_asking(&kit, try[i].grant, teller.port);
        char *text = ask_once(&kit, person);
        teller_close(&teller);
        assert_non_null(strstr(text, "\"value\":\"none\""));
        assert_int_equal(atomic_load(&teller.count), 0);
        pk_free(text);
    }
}

TEST(an_answer_that_is_too_large_or_no_text_is_none)
{
    static char large[70 * 1024 + 256];
    static const char *const binary =
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n\xff\xfe";
    const int head = snprintf(large, sizeof(large),
                              "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                              "Content-Length: %d\r\n\r\n",
                              70 * 1024);
    memset(large + head, 'a', 70 * 1024);
    const char *const answer[] = { large, binary };
    for (size_t i = 0; i < PK_COUNT(answer); i++) {
        KIT(kit, false);
        struct pk_asks asks = { .clock = pk_clock_system(), .is_private_allowed = true };
        struct teller teller;
        char person[PK_UUID_TEXT];
        kit.domain.ask = pk_ask;
        kit.domain.ask_context = &asks;
        teller_open(&teller, answer[i]);
        put_asking(&kit, "127.0.0.1", teller.port);
        char *text = ask_once(&kit, person);
        teller_close(&teller);
        assert_non_null(strstr(text, "\"value\":\"none\""));
        assert_null(strstr(text, "text/plain"));
        assert_int_equal(atomic_load(&teller.count), 1);
        pk_free(text);
    }
}

TEST(a_question_that_nobody_answers_is_said_to_be_one)
{
    struct pk_asks asks = { .clock = pk_clock_system() };
    struct pk_error err = { 0 };
    bson_t question, answer = BSON_INITIALIZER;
    kit_json(&question, "{'value': {'q': 'tea'}}");
    assert_false(pk_ask(&asks, "search", &question, &answer, &err));
    expect_error(&err, PK_UNSUPPORTED, "'search' is not answered here");
    assert_false(pk_ask(&asks, "http", &question, &answer, &err));
    expect_error(&err, PK_INVALID, "has no url");
    bson_destroy(&question);
    bson_destroy(&answer);
}
