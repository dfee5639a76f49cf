/* config_lines.c - On which line of the file a setting is named.
 *
 * Lua does not say: a table has no memory of its constructor. So the text is
 * read once more, as tokens, and the keys of the constructor behind the first
 * top-level 'return' are followed by their braces:
 *
 *     return {                     path ""
 *       store = {                  path "store"       line of 'store'
 *         url = "mongodb://...",   path "store.url"   line of 'url'
 *
 * What is built in another way (t.url = ...) is looked for among all that is
 * assigned to: the place that ends like the name, by the most parts. When there
 * is none or several, nobody knows: line 0, and the fault names the file alone.
 * Only messages depend on this, never values. */
/* SPDX-License-Identifier: MIT */
#include "base/config_internal.h"

#include <stddef.h>
#include <string.h>

enum { DEPTH_MAX = 8, PATH_MAX_BYTES = 200 };

enum token { TOKEN_END, TOKEN_NAME, TOKEN_STRING, TOKEN_MARK };

struct scanner {
    const char *at;
    const char *end;
    int line;         /* Of 'at'. */
    const char *text; /* The token: NAME, STRING (without quotes), MARK (one byte). */
    size_t size;
    int token_line;
};

static bool is_name_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static void step(struct scanner *scanner)
{
    if (*scanner->at == '\n') {
        scanner->line++;
    }
    scanner->at++;
}

/* The level of "[[", "[=[", ... at 'at', or -1. */
static int long_bracket(const struct scanner *scanner)
{
    const char *at = scanner->at;
    int level = 0;

    if (at >= scanner->end || *at != '[') {
        return -1;
    }
    for (at++; at < scanner->end && *at == '='; at++) {
        level++;
    }
    return at < scanner->end && *at == '[' ? level : -1;
}

/* From "[[" to behind "]]". */
static void skip_long(struct scanner *scanner, int level)
{
    scanner->at += level + 2;
    scanner->text = scanner->at;
    for (; scanner->at < scanner->end; step(scanner)) {
        const char *close = scanner->at;
        if (*close != ']' || scanner->end - close < level + 2 || close[level + 1] != ']') {
            continue;
        }
        int n = 0;
        while (n < level && close[1 + n] == '=') {
            n++;
        }
        if (n == level) {
            scanner->size = (size_t)(close - scanner->text);
            scanner->at += level + 2;
            return;
        }
    }
    scanner->size = (size_t)(scanner->end - scanner->text);
}

static void skip_comment(struct scanner *scanner)
{
    scanner->at += 2;
    int level = long_bracket(scanner);
    if (level >= 0) {
        skip_long(scanner, level);
        return;
    }
    while (scanner->at < scanner->end && *scanner->at != '\n') {
        scanner->at++;
    }
}

static void read_quoted(struct scanner *scanner)
{
    char quote = *scanner->at++;

    scanner->text = scanner->at;
    while (scanner->at < scanner->end && *scanner->at != quote && *scanner->at != '\n') {
        if (*scanner->at == '\\' && scanner->at + 1 < scanner->end) {
            step(scanner);
        }
        step(scanner);
    }
    scanner->size = (size_t)(scanner->at - scanner->text);
    if (scanner->at < scanner->end) {
        step(scanner);
    }
}

static bool is_comment(const struct scanner *scanner)
{
    return scanner->end - scanner->at >= 2 && scanner->at[0] == '-' && scanner->at[1] == '-';
}

static enum token next_token(struct scanner *scanner)
{
    for (;;) {
        while (scanner->at < scanner->end && (unsigned char)*scanner->at <= ' ') {
            step(scanner);
        }
        if (!is_comment(scanner)) {
            break;
        }
        skip_comment(scanner);
    }
    scanner->token_line = scanner->line;
    scanner->text = scanner->at;
    if (scanner->at >= scanner->end) {
        return TOKEN_END;
    }
    if (is_name_letter(*scanner->at)) {
        while (scanner->at < scanner->end && is_name_letter(*scanner->at)) {
            scanner->at++;
        }
        scanner->size = (size_t)(scanner->at - scanner->text);
        return TOKEN_NAME;
    }
    if (*scanner->at == '"' || *scanner->at == '\'') {
        read_quoted(scanner);
        return TOKEN_STRING;
    }
    int level = long_bracket(scanner);
    if (level >= 0) {
        skip_long(scanner, level);
        return TOKEN_STRING;
    }
    scanner->size = 1;
    scanner->at++;
    return TOKEN_MARK;
}

static bool is_mark(const struct scanner *scanner, enum token token, char c)
{
    return token == TOKEN_MARK && *scanner->text == c;
}

static bool is_word(const struct scanner *scanner, enum token token, const char *word)
{
    return token == TOKEN_NAME && scanner->size == strlen(word) &&
           memcmp(scanner->text, word, scanner->size) == 0;
}

/* Where we are in the constructor. */
struct walk {
    char path[PATH_MAX_BYTES]; /* The key just read, with its parents. */
    size_t base[DEPTH_MAX];    /* Bytes of 'path' that the open braces stand for. */
    int depth;                 /* Open braces. */
};

/* Puts the key behind the path of the open braces. */
static void set_key(struct walk *walk, const char *key, size_t size)
{
    size_t base = walk->base[walk->depth - 1];
    size_t dot = base > 0 ? 1 : 0;

    walk->path[base] = '\0';
    if (base + dot + size >= sizeof(walk->path)) {
        return;
    }
    if (dot) {
        walk->path[base] = '.';
    }
    memcpy(walk->path + base + dot, key, size);
    walk->path[base + dot + size] = '\0';
}

/* Reads tokens up to the brace behind the first 'return'. */
static bool find_return(struct scanner *scanner)
{
    enum token token = next_token(scanner);
    while (token != TOKEN_END && !is_word(scanner, token, "return")) {
        if (is_word(scanner, token, "function")) {
            return false; /* Its 'return' is not the file's. */
        }
        token = next_token(scanner);
    }
    token = next_token(scanner);
    return is_mark(scanner, token, '{');
}

/* At an entry's first token: the key when "name =" or "[string] =" stands here. */
static bool read_key(struct scanner *scanner, enum token token, const char **out_key,
                     size_t *out_size)
{
    struct scanner ahead = *scanner;
    bool is_bracket = is_mark(&ahead, token, '[');

    if (is_bracket) {
        token = next_token(&ahead);
    }
    if (token != (is_bracket ? TOKEN_STRING : TOKEN_NAME)) {
        return false;
    }
    *out_key = ahead.text;
    *out_size = ahead.size;
    if (is_bracket && !is_mark(&ahead, next_token(&ahead), ']')) {
        return false;
    }
    if (!is_mark(&ahead, next_token(&ahead), '=') || (ahead.at < ahead.end && *ahead.at == '=')) {
        return false;
    }
    *scanner = ahead;
    return true;
}

/* On which line the constructor behind 'return' has 'name', and on which one again. */
static int line_in_constructor(const char *source, size_t size, const char *name, int *out_again)
{
    struct scanner scanner = { .at = source, .end = source + size, .line = 1 };
    struct walk walk = { .depth = 1 };
    bool is_entry = true; /* An entry begins with this token. */
    int line = 0;

    if (!find_return(&scanner)) {
        return 0;
    }
    while (walk.depth > 0) {
        const char *key = NULL;
        size_t key_size = 0;
        enum token token = next_token(&scanner);
        int token_line = scanner.token_line;
        if (token == TOKEN_END || is_word(&scanner, token, "function")) {
            return line;
        }
        if (is_entry && read_key(&scanner, token, &key, &key_size)) {
            set_key(&walk, key, key_size);
            if (strcmp(walk.path, name) == 0) {
                *out_again = line && !*out_again ? token_line : *out_again;
                line = line ? line : token_line;
            }
            is_entry = false;
        } else if (is_mark(&scanner, token, '{')) {
            if (walk.depth == DEPTH_MAX) {
                return line;
            }
            if (is_entry) { /* An element without a key: no setting lies in it. */
                set_key(&walk, "#", 1);
            }
            walk.base[walk.depth++] = strlen(walk.path);
            is_entry = true;
        } else if (is_mark(&scanner, token, '}')) {
            walk.depth--;
            is_entry = false;
        } else {
            is_entry = is_mark(&scanner, token, ',') || is_mark(&scanner, token, ';');
        }
    }
    return line;
}

/* What is assigned to: 't.store.url' or 't["store"].url', part by part. */
struct chain {
    struct {
        const char *text;
        size_t size;
    } part[DEPTH_MAX + 1];
    size_t count;
    int line; /* Of the last part. */
};

static void add_part(struct chain *chain, const struct scanner *scanner)
{
    if (chain->count == DEPTH_MAX + 1) {
        chain->count = 0; /* Deeper than any setting. */
    }
    chain->part[chain->count].text = scanner->text;
    chain->part[chain->count++].size = scanner->size;
    chain->line = scanner->token_line;
}

/* How many parts of 'name' the chain ends like. */
static size_t count_equal(const struct chain *chain, const char *name)
{
    const char *end = name + strlen(name);
    size_t count = 0;

    while (count < chain->count && end > name) {
        const char *text = chain->part[chain->count - 1 - count].text;
        size_t size = chain->part[chain->count - 1 - count].size;
        if ((size_t)(end - name) < size || memcmp(end - size, text, size) != 0 ||
            (end - size > name && end[-(ptrdiff_t)size - 1] != '.')) {
            break;
        }
        count++;
        end -= size + (end - size > name ? 1 : 0);
    }
    return count;
}

/* Takes the token, or '["key"]' from there on, into the chain; false, with nothing taken, when it
 * is no part of one. */
static bool extend(struct chain *chain, struct scanner *scanner, enum token token, bool *is_dotted)
{
    if (is_mark(scanner, token, '.')) {
        *is_dotted = true;
        return chain->count > 0;
    }
    if (token == TOKEN_NAME) {
        chain->count = *is_dotted ? chain->count : 0;
        add_part(chain, scanner);
    } else if (is_mark(scanner, token, '[')) {
        struct scanner key = *scanner;
        bool is_key = next_token(&key) == TOKEN_STRING;
        struct scanner behind = key;
        if (!is_key || !is_mark(&behind, next_token(&behind), ']')) {
            return false;
        }
        add_part(chain, &key);
        *scanner = behind;
    } else {
        return false;
    }
    *is_dotted = false;
    return true;
}

/* The one line with an assignment to what ends like 'name'. */
static int line_of_assignment(const char *source, size_t size, const char *name)
{
    struct scanner scanner = { .at = source, .end = source + size, .line = 1 };
    struct chain chain = { .count = 0 };
    bool is_dotted = false;
    size_t best = 0;
    int line = 0;

    for (enum token token = next_token(&scanner); token != TOKEN_END;
         token = next_token(&scanner)) {
        if (extend(&chain, &scanner, token, &is_dotted)) {
            continue;
        }
        bool is_equality =
            is_mark(&scanner, token, '=') && scanner.at < scanner.end && *scanner.at == '=';
        if (is_equality) {
            (void)next_token(&scanner);
        } else if (is_mark(&scanner, token, '=')) {
            size_t count = count_equal(&chain, name);
            if (count > 0 && count >= best) {
                line = count > best ? chain.line : 0;
                best = count;
            }
        }
        chain.count = 0;
        is_dotted = false;
    }
    return line;
}

int config_line_of(const char *source, size_t size, const char *name, int *out_again)
{
    *out_again = 0;
    int line = line_in_constructor(source, size, name, out_again);
    return line ? line : line_of_assignment(source, size, name);
}
