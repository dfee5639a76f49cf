/* trait.c - Policies, decay, and the formulas that every verb is made of.
 *
 * Confidence lies in [0, 1]. It is stored as it was at 'updatedAt', rounded to
 * six decimals, and decays when it is read:
 *
 *     c(t) = c * 2^(-(t - updatedAt) / half-life)
 *
 * The half-life is the volatility's, times the factor of the type of source;
 * both are the tables' here unless a setting says otherwise.
 * What a person said or pinned does not decay: people outrank time.
 *
 * If you change a number or a formula here: the table in README.md and the one
 * in tests/unit/persona/test_trait.c go with it. */
/* SPDX-License-Identifier: MIT */
#include "persona/trait.h"

#include "base/alloc.h"
#include "base/crypto.h"
#include "base/error.h"
#include "base/id.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DAY_MS INT64_C(86400000)

/* ---- Policies ---- */

struct rule {
    char *path; /* Without its "*"; "": all. */
    size_t length;
    bool is_prefix; /* What lies below 'path'; else 'path' itself. */
    enum pk_conflict conflict;
};
enum { VOLATILITIES = 3 };
struct factor {
    char *source_type;
    double factor; /* Of the half-life; 0: it does not decay. */
};
struct pk_policies {
    struct rule *rule; /* In the order of their declaration. */
    size_t count;
    int64_t half_life_ms[VOLATILITIES]; /* 0: the table's. */
    struct factor *factor;              /* Before the table's. */
    size_t factor_count;
    char decay_key[PK_HASH_BYTES + 1]; /* "": nothing differs. */
};

static const char *const conflict_name[] = {
    [PK_CONFLICT_LATEST] = "latest",
    [PK_CONFLICT_STRONGEST] = "strongest",
    [PK_CONFLICT_KEEP_ALL] = "keep_all",
    [PK_CONFLICT_REVIEW] = "review",
};

static bool read_conflict(const char *name, enum pk_conflict *out)
{
    for (size_t i = 0; i < PK_COUNT(conflict_name); i++) {
        if (strcmp(conflict_name[i], name) == 0) {
            *out = (enum pk_conflict)i;
            return true;
        }
    }
    return false;
}

static bool read_pattern(struct rule *rule, const char *text, size_t length)
{
    if (length == 1 && text[0] == '*') {
        *rule = (struct rule){ .path = pk_strdup(""), .is_prefix = true };
        return true;
    }
    const bool is_prefix = length > 2 && text[length - 2] == '.' && text[length - 1] == '*';
    const size_t size = is_prefix ? length - 2 : length;
    if (!pk_trait_path_is_valid(text, size)) {
        return false;
    }
    *rule = (struct rule){
        .path = pk_strndup(text, size),
        .length = size,
        .is_prefix = is_prefix,
    };
    return true;
}

static bool read_rule(struct pk_policies *policies, const char *text, struct pk_error *err)
{
    static const char hint[] =
        "as in 'work.*=review': a path, a path with '.*', or '*'; then latest, strongest, keep_all "
        "or review";
    const char *equals = strchr(text, '=');
    struct rule *rule = &policies->rule[policies->count];
    enum pk_conflict conflict = PK_CONFLICT_STRONGEST;

    if (!equals || !read_conflict(equals + 1, &conflict) ||
        !read_pattern(rule, text, (size_t)(equals - text))) {
        return pk_fail(err, PK_INVALID, hint, "'%s' is no policy on conflicts", text);
    }
    rule->conflict = conflict;
    policies->count++;
    return true;
}

struct pk_policies *pk_policies_new(const char *const *conflict, struct pk_error *err)
{
    struct pk_policies *policies = pk_calloc(1, sizeof(*policies));
    size_t count = 0;
    while (conflict && conflict[count]) {
        count++;
    }
    policies->rule = pk_calloc(count + 1, sizeof(*policies->rule));
    for (size_t i = 0; i < count; i++) {
        if (!read_rule(policies, conflict[i], err)) {
            pk_policies_free(policies);
            return NULL;
        }
    }
    return policies;
}

void pk_policies_free(struct pk_policies *policies)
{
    if (!policies) {
        return;
    }
    for (size_t i = 0; i < policies->count; i++) {
        pk_free(policies->rule[i].path);
    }
    for (size_t i = 0; i < policies->factor_count; i++) {
        pk_free(policies->factor[i].source_type);
    }
    pk_free(policies->factor);
    pk_free(policies->rule);
    pk_free(policies);
}

static bool is_fit(const struct rule *rule, const char *path)
{
    if (!rule->is_prefix) {
        return strcmp(rule->path, path) == 0;
    }
    return rule->length == 0 ||
           (strncmp(rule->path, path, rule->length) == 0 && path[rule->length] == '.');
}

enum pk_conflict pk_policies_of(const struct pk_policies *policies, const char *path)
{
    for (size_t i = 0; policies && i < policies->count; i++) {
        if (is_fit(&policies->rule[i], path)) {
            return policies->rule[i].conflict;
        }
    }
    return PK_CONFLICT_STRONGEST;
}

/* ---- Decay ---- */

static const struct {
    const char *volatility;
    int64_t half_life_ms;
} half_life_table[VOLATILITIES] = {
    { "low", 365 * DAY_MS },
    { "medium", 90 * DAY_MS },
    { "high", 14 * DAY_MS },
};

/* How much longer than others the word of a source stands. */
static const struct {
    const char *source_type;
    double factor; /* Of the half-life; 0: it does not decay. */
} source_table[] = {
    { "curation", 0.0 },   /* A person decided so. */
    { "assessment", 2.0 }, /* Made to be valid for long. */
    { "interview", 1.5 },  /* People know themselves ... */
    { "user_input", 1.5 }, /* ... whoever writes it down. */
    { "chat_log", 0.5 },   /* A passing impression. */
};

/* "7d" or "12h". */
static bool read_time(const char *text, int64_t *out_ms)
{
    char *end = NULL;
    const long count = strtol(text, &end, 10);
    const bool is_day = strcmp(end, "d") == 0;
    *out_ms = count * (is_day ? DAY_MS : DAY_MS / 24);
    return end != text && count > 0 && count <= 36500 && (is_day || strcmp(end, "h") == 0);
}

static bool read_half_life(struct pk_policies *policies, const char *text)
{
    const char *equals = strchr(text, '=');
    const size_t length = equals ? (size_t)(equals - text) : 0;
    char *end = NULL;
    if (length == 0) {
        return false;
    }
    for (size_t i = 0; i < VOLATILITIES; i++) {
        const char *volatility = half_life_table[i].volatility;
        if (strncmp(volatility, text, length) == 0 && volatility[length] == '\0') {
            return read_time(equals + 1, &policies->half_life_ms[i]);
        }
    }
    const double factor = strtod(equals + 1, &end);
    if (end == equals + 1 || *end || !(factor >= 0 && factor <= 1000)) {
        return false;
    }
    policies->factor =
        pk_realloc(policies->factor, (policies->factor_count + 1) * sizeof(*policies->factor));
    policies->factor[policies->factor_count++] =
        (struct factor){ .source_type = pk_strndup(text, length), .factor = factor };
    return true;
}

bool pk_policies_decay(struct pk_policies *policies, const char *const *half_life,
                       struct pk_error *err)
{
    struct pk_hasher hasher;
    uint8_t hash[PK_HASH_BYTES];
    char hex[2 * PK_HASH_BYTES + 1];
    pk_hasher_init(&hasher);
    for (size_t i = 0; half_life && half_life[i]; i++) {
        if (!read_half_life(policies, half_life[i])) {
            return pk_fail(err, PK_INVALID,
                           "as in 'high=7d' for a volatility, 'chat_log=0.5' for a type of source",
                           "'%.100s' is no half-life", half_life[i]);
        }
        pk_hasher_add(&hasher, half_life[i], strlen(half_life[i]) + 1); /* The NUL separates. */
    }
    pk_hasher_end(&hasher, hash);
    pk_hex(hex, hash, sizeof(hash));
    if (half_life && half_life[0]) {
        memcpy(policies->decay_key, hex, sizeof(policies->decay_key) - 1);
    }
    return true;
}

const char *pk_policies_decay_key(const struct pk_policies *policies)
{
    return policies && *policies->decay_key ? policies->decay_key : NULL;
}

static int64_t half_life_of(const struct pk_policies *policies, const char *volatility)
{
    size_t at = 1; /* What nobody has judged is medium. */
    for (size_t i = 0; volatility && i < VOLATILITIES; i++) {
        at = strcmp(half_life_table[i].volatility, volatility) == 0 ? i : at;
    }
    return policies && policies->half_life_ms[at] ? policies->half_life_ms[at]
                                                  : half_life_table[at].half_life_ms;
}

static double factor_of(const struct pk_policies *policies, const char *source_type)
{
    for (size_t i = policies ? policies->factor_count : 0; i-- > 0;) { /* The last word counts. */
        if (strcmp(policies->factor[i].source_type, source_type) == 0) {
            return policies->factor[i].factor;
        }
    }
    for (size_t i = 0; i < PK_COUNT(source_table); i++) {
        if (strcmp(source_table[i].source_type, source_type) == 0) {
            return source_table[i].factor;
        }
    }
    return 1;
}

int64_t pk_decay_half_life(const struct pk_policies *policies, const char *volatility,
                           const char *source_type)
{
    const double half_life_ms = (double)half_life_of(policies, volatility);
    return (int64_t)(half_life_ms * (source_type ? factor_of(policies, source_type) : 1));
}

double pk_decay(double confidence, int64_t half_life_ms, int64_t elapsed_ms)
{
    if (half_life_ms <= 0 || elapsed_ms <= 0) {
        return confidence;
    }
    return confidence * exp2(-(double)elapsed_ms / (double)half_life_ms);
}

static const char *text_of(const bson_t *doc, const char *name)
{
    bson_iter_t iter;
    return bson_iter_init_find(&iter, doc, name) && BSON_ITER_HOLDS_UTF8(&iter)
               ? bson_iter_utf8(&iter, NULL)
               : NULL;
}

int64_t pk_trait_half_life(const struct pk_policies *policies, const bson_t *trait)
{
    bson_iter_t iter;
    if (bson_iter_init_find(&iter, trait, "pinned") && bson_iter_as_bool(&iter)) {
        return 0;
    }
    return pk_decay_half_life(policies, text_of(trait, "volatility"), text_of(trait, "sourceType"));
}

double pk_trait_confidence(const struct pk_policies *policies, const bson_t *trait, int64_t now_ms)
{
    bson_iter_t iter;
    const double stored =
        bson_iter_init_find(&iter, trait, "confidence") ? bson_iter_as_double(&iter) : 0.0;
    if (!bson_iter_init_find(&iter, trait, "updatedAt") || !BSON_ITER_HOLDS_DATE_TIME(&iter)) {
        return stored;
    }
    const int64_t since_ms = bson_iter_date_time(&iter);
    return now_ms <= since_ms
               ? stored
               : pk_decay(stored, pk_trait_half_life(policies, trait), now_ms - since_ms);
}

/* ---- Formulas ---- */

static double unit(double x)
{
    return x < 0 ? 0 : x > 1 ? 1 : x;
}

/* So that what is stored reads well, and the last bit of a library's exp2 decides nothing. */
static double rounded(double x)
{
    return round(unit(x) * 1e6) / 1e6;
}

double pk_agree(double confidence, double weight, double ceiling)
{
    const double sure = 1 - (1 - unit(confidence)) * (1 - unit(weight));
    const double capped = sure < ceiling ? sure : ceiling;
    return rounded(capped > confidence ? capped : confidence);
}

double pk_object(double confidence, double weight)
{
    return rounded(unit(confidence) * (1 - unit(weight) / 2));
}

double pk_weaken(double confidence, double weight)
{
    return rounded(unit(confidence) * (1 - unit(weight)));
}

double pk_move_share(double weight, double held_weights)
{
    enum { HELD_MAX = 3 }; /* However much evidence there is, a number goes on following. */
    const double held = held_weights > HELD_MAX ? HELD_MAX : held_weights < 0 ? 0 : held_weights;
    const double said = unit(weight);
    return said > 0 ? said / (said + held) : 0;
}

double pk_nearness(double a, double b)
{
    const double size = fmax(fabs(a), fabs(b));
    return a == b ? 1 : unit(1 - fabs(a / size - b / size));
}
