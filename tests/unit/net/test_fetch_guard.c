/* test_fetch_guard.c - Which URLs, hosts and addresses outgoing requests may have. */
/* SPDX-License-Identifier: MIT */
#include "test.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "net/fetch.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

static struct pk_fetcher *make(const char *const *host, size_t count)
{
    struct pk_error err = { 0 };
    struct pk_fetcher *fetcher = NULL;
    const struct pk_fetch_options options = { .clock = pk_clock_system(),
                                              .host = host,
                                              .host_count = count };
    assert_ok(pk_fetcher_new(&fetcher, &options, &err), &err);
    return fetcher;
}

static enum pk_code verdict(const struct pk_fetcher *fetcher, const char *url)
{
    struct pk_error err = { 0 };
    const bool ok = pk_fetch_check(fetcher, url, &err);
    assert_true(ok == (err.code == PK_OK));
    assert_true(ok || err.hint);
    return err.code;
}

struct url_case {
    const char *url;
    enum pk_code code;
};

static void check_all(const struct pk_fetcher *fetcher, const struct url_case *row, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const enum pk_code code = verdict(fetcher, row[i].url);
        if (code != row[i].code) {
            fail_msg("'%s' is %s and should be %s", row[i].url, pk_code_name(code),
                     pk_code_name(row[i].code));
        }
    }
}

TEST(only_allowed_hosts_and_ports_pass)
{
    static const char *const host[] = { "api.example.org", "*.Example.NET", "odd.example.org:8443",
                                        "192.0.2.7",       "[2001:db8::1]", "*.example.com:444" };
    static const struct url_case row[] = {
        { "https://api.example.org/v1?a=b#c", PK_OK },
        { "http://api.example.org", PK_OK },
        { "HTTPS://API.Example.ORG:443/", PK_OK },
        { "https://api.example.org?x", PK_OK },
        { "https://api.example.org:444/", PK_FORBIDDEN },
        { "http://api.example.org:443/", PK_FORBIDDEN },
        { "https://www.api.example.org/", PK_FORBIDDEN },
        { "https://xapi.example.org/", PK_FORBIDDEN },
        { "https://example.org/", PK_FORBIDDEN },
        { "https://api.example.org.evil.test/", PK_FORBIDDEN },
        { "https://a.example.net/", PK_OK },
        { "https://a.b.EXAMPLE.net/", PK_OK },
        { "https://example.net/", PK_FORBIDDEN },
        { "https://xexample.net/", PK_FORBIDDEN },
        { "https://a.example.net.evil.test/", PK_FORBIDDEN },
        { "https://evil.test/a.example.net", PK_FORBIDDEN },
        { "https://evil.test?a.example.net", PK_FORBIDDEN },
        { "https://evil.test#.example.net", PK_FORBIDDEN },
        { "https://odd.example.org:8443/", PK_OK },
        { "https://odd.example.org/", PK_FORBIDDEN },
        { "http://192.0.2.7/", PK_OK },
        { "http://192.0.2.8/", PK_FORBIDDEN },
        { "http://[2001:db8::1]/", PK_OK },
        { "http://[2001:DB8::1]/", PK_OK },
        { "http://[2001:db8::2]/", PK_FORBIDDEN },
        { "https://a.example.com:444/", PK_OK },
        { "https://a.example.com/", PK_FORBIDDEN },
    };
    struct pk_fetcher *fetcher = make(host, PK_COUNT(host));
    check_all(fetcher, row, PK_COUNT(row));
    pk_fetcher_free(fetcher);
}

TEST(what_can_be_read_in_two_ways_is_refused)
{
    static const char *const host[] = { "a.test", "127.0.0.1", "*.a.test", "0.0.0.1" };
    static const struct url_case row[] = {
        { "", PK_INVALID },
        { "a.test", PK_INVALID },
        { "//a.test/", PK_INVALID },
        { "http:a.test", PK_INVALID },
        { "http:/a.test", PK_INVALID },
        { "http:///a.test", PK_INVALID },
        { "http://", PK_INVALID },
        { "http:///", PK_INVALID },
        { "http://:80/", PK_INVALID },
        { "file:///etc/passwd", PK_INVALID },
        { "ftp://a.test/", PK_INVALID },
        { "gopher://a.test/", PK_INVALID },
        { "dict://a.test/", PK_INVALID },
        { "httpx://a.test/", PK_INVALID },
        { "javascript:alert(1)", PK_INVALID },
        { "http://me@a.test/", PK_INVALID },
        { "http://me:secret@a.test/", PK_INVALID },
        { "http://a.test@evil.test/", PK_INVALID },
        { "http://evil.test@a.test/", PK_INVALID },
        { "http://@a.test/", PK_INVALID },
        { "http://a.test:80@evil.test/", PK_INVALID },
        { "http://a.test\\@evil.test/", PK_INVALID },
        { "http://evil.test\\a.test/", PK_INVALID },
        { "http://a.test /", PK_INVALID },
        { " http://a.test/", PK_INVALID },
        { "http://a.test/\r\nX: y", PK_INVALID },
        { "http://a.test/\x01", PK_INVALID },
        { "http://a.test/\xc3\xa4", PK_INVALID },
        { "http://a.t\xc3\xa4st/", PK_INVALID },
        { "http://a.test\xe3\x80\x82"
          "evil.test/",
          PK_INVALID },
        { "http://%61.test/", PK_INVALID },
        { "http://a.test%00.evil.test/", PK_INVALID },
        { "http://a.test%2f.evil.test/", PK_INVALID },
        { "http://a.test./", PK_INVALID },
        { "http://.a.test/", PK_INVALID },
        { "http://b..a.test/", PK_INVALID },
        { "http://a.test:/", PK_INVALID },
        { "http://a.test:0/", PK_INVALID },
        { "http://a.test:65536/", PK_INVALID },
        { "http://a.test:99999999999/", PK_INVALID },
        { "http://a.test:+80/", PK_INVALID },
        { "http://a.test:80:80/", PK_INVALID },
        { "http://a.test:080/", PK_OK },
        { "http://a.test/?q=http://me:pw@x", PK_OK },
        { "http://127.0.0.1/", PK_OK },
        { "http://127.1/", PK_INVALID },
        { "http://0x7f.0.0.1/", PK_INVALID },
        { "http://0177.0.0.1/", PK_INVALID },
        { "http://2130706433/", PK_INVALID },
        { "http://127.0.0.1./", PK_INVALID },
        { "http://1/", PK_INVALID },
        { "http://[::1]/", PK_FORBIDDEN },
        { "http://[::1%25lo]/", PK_INVALID },
        { "http://[::1", PK_INVALID },
        { "http://::1/", PK_INVALID },
        { "http://[127.0.0.1]/", PK_INVALID },
        { "http://[a.test]/", PK_INVALID },
        { "http://[]/", PK_INVALID },
        { "http://a.test[::1]/", PK_INVALID },
    };
    struct pk_fetcher *fetcher = make(host, PK_COUNT(host));
    check_all(fetcher, row, PK_COUNT(row));
    pk_fetcher_free(fetcher);
}

TEST(an_endless_url_is_refused)
{
    static const char *const host[] = { "a.test" };
    static char url[PK_FETCH_URL_MAX + 2] = "http://a.test/";
    struct pk_fetcher *fetcher = make(host, 1);
    memset(url + 14, 'a', PK_FETCH_URL_MAX - 14);
    assert_int_equal(verdict(fetcher, url), PK_OK);
    url[PK_FETCH_URL_MAX] = 'a';
    assert_int_equal(verdict(fetcher, url), PK_INVALID);
    pk_fetcher_free(fetcher);
}

TEST(without_hosts_none_is_allowed_and_the_refusal_says_what_to_add)
{
    struct pk_error err = { 0 };
    struct pk_fetcher *fetcher = make(NULL, 0);
    assert_false(pk_fetch_check(fetcher, "https://api.example.org:8443/x?token=s3cret", &err));
    assert_int_equal(err.code, PK_FORBIDDEN);
    assert_non_null(strstr(err.message, "'api.example.org:8443'"));
    assert_null(strstr(err.message, "s3cret"));
    assert_non_null(strstr(err.hint, "allowed hosts"));
    pk_fetcher_free(fetcher);
}

TEST(hosts_that_could_never_match_are_refused)
{
    static const char *const bad[] = { "",          "*",          "*.",          "https://a.test",
                                       "a.test/x",  "a.test:",    "a.test:0",    "a.test:70000",
                                       "*a.test",   "a.*.test",   "me@a.test",   "a.test.",
                                       ".a.test",   "a..test",    "a b.test",    "[::1",
                                       "*.[::1]",   "::1",        "\xc3\xa4.de", "[::1]x",
                                       "a.test:8x", "[::1%25lo]", "*.*.test",    "a:b:80" };
    for (size_t i = 0; i < PK_COUNT(bad); i++) {
        struct pk_error err = { 0 };
        struct pk_fetcher *fetcher = NULL;
        const struct pk_fetch_options options = { .clock = pk_clock_system(),
                                                  .host = &bad[i],
                                                  .host_count = 1 };
        if (pk_fetcher_new(&fetcher, &options, &err)) {
            fail_msg("'%s' was taken", bad[i]);
        }
        assert_int_equal(err.code, PK_INVALID);
    }
}

TEST(addresses_are_public_or_what_they_are_is_said)
{
    static const struct {
        const char *address;
        const char *kind;
    } row[] = {
        { "1.1.1.1", NULL },
        { "9.255.255.255", NULL },
        { "10.0.0.0", "private" },
        { "10.255.255.255", "private" },
        { "11.0.0.0", NULL },
        { "0.0.0.0", "unspecified" },
        { "0.1.2.3", "unspecified" },
        { "100.63.255.255", NULL },
        { "100.64.0.0", "carrier's private" },
        { "100.127.255.255", "carrier's private" },
        { "100.128.0.0", NULL },
        { "127.0.0.1", "loopback" },
        { "127.255.255.254", "loopback" },
        { "169.254.169.254", "link-local" },
        { "172.15.255.255", NULL },
        { "172.16.0.1", "private" },
        { "172.31.255.255", "private" },
        { "172.32.0.0", NULL },
        { "192.0.0.8", "reserved" },
        { "192.0.2.1", "documentation" },
        { "192.88.99.1", "6to4 relay" },
        { "192.167.255.255", NULL },
        { "192.168.1.1", "private" },
        { "192.169.0.0", NULL },
        { "198.18.0.1", "benchmark" },
        { "198.19.255.255", "benchmark" },
        { "198.51.100.9", "documentation" },
        { "203.0.113.9", "documentation" },
        { "223.255.255.255", NULL },
        { "224.0.0.1", "multicast" },
        { "239.255.255.255", "multicast" },
        { "240.0.0.1", "reserved" },
        { "255.255.255.255", "reserved" },
        { "::", "unspecified" },
        { "::1", "loopback" },
        { "::2", "reserved" },
        { "::127.0.0.1", "reserved" },
        { "::ffff:127.0.0.1", "loopback" },
        { "::ffff:10.1.2.3", "private" },
        { "::ffff:1.1.1.1", NULL },
        { "::ffff:0:127.0.0.1", "reserved" },
        { "64:ff9b::127.0.0.1", "loopback" },
        { "64:ff9b::a9fe:a9fe", "link-local" },
        { "64:ff9b::1.1.1.1", NULL },
        { "64:ff9b:1::1.1.1.1", "reserved" },
        { "100::1", "reserved" },
        { "2001::1", "special" },
        { "2001:10::1", "special" },
        { "2001:db8::1", "documentation" },
        { "2001:4860:4860::8888", NULL },
        { "2002:7f00:1::", "loopback" },
        { "2002:c0a8:101::1", "private" },
        { "2002:101:101::1", NULL },
        { "2606:4700:4700::1111", NULL },
        { "2606:4700::5efe:10.0.0.1", "private" },
        { "2606:4700::200:5efe:127.0.0.1", "loopback" },
        { "2606:4700::5efe:1.1.1.1", NULL },
        { "3fff::1", "documentation" },
        { "4000::1", "reserved" },
        { "fc00::1", "private" },
        { "fdff::1", "private" },
        { "fe80::1", "link-local" },
        { "febf::1", "link-local" },
        { "fec0::1", "private" },
        { "ff02::1", "multicast" },
    };
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        struct sockaddr_storage storage = { 0 };
        struct sockaddr_in *v4 = (struct sockaddr_in *)&storage;
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&storage;
        const bool is_v6 = strchr(row[i].address, ':') != NULL;
        storage.ss_family = is_v6 ? AF_INET6 : AF_INET;
        assert_int_equal(inet_pton(storage.ss_family, row[i].address,
                                   is_v6 ? (void *)&v6->sin6_addr : (void *)&v4->sin_addr),
                         1);
        const char *kind = pk_fetch_address_kind((const struct sockaddr *)&storage);
        const bool is_right =
            kind && row[i].kind ? strcmp(kind, row[i].kind) == 0 : !kind && !row[i].kind;
        if (!is_right) {
            fail_msg("%s is %s", row[i].address, kind ? kind : "public");
        }
    }
    const struct sockaddr unix_one = { .sa_family = AF_UNIX };
    assert_non_null(pk_fetch_address_kind(&unix_one));
}
