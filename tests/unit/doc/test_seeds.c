/* test_seeds.c - Every line of the specification is covered, and says truly by what.
 *
 * tests/data/seeds.txt lists what the five documents ask for, with what covers
 * it; here each cover is looked up in the tables. The other way round, when
 * the documents lie beside the checkout, their fields, values, tables and
 * indexes are read out of them and each must have its line. The reading is
 * simple on purpose: a line at a time, one name or a few literals each. */
/* SPDX-License-Identifier: MIT */
#include "test.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/file.h"
#include "doc/inventory.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINES_MAX = 4000, FILE_MAX_BYTES = 1 << 20 };

/* One line of seeds.txt; texts point into the file's buffer. */
struct seed_line {
    const char *seed, *kind, *name, *cover;
    const char *why; /* "optional: ...", where the seed requires and we do not; or "". */
};
struct seeds {
    struct pk_buf text;
    struct seed_line line[LINES_MAX];
    size_t count;
    struct pk_buf wrong; /* Everything that is not as it should be. */
};

/* The path of a file, named from the top of the checkout. */
static char *from_top(const char *path)
{
    static const char here[] = "tests/unit/doc/test_seeds.c";
    size_t top = strlen(__FILE__) - strlen(here);
    assert_string_equal(&__FILE__[top], here);
    return pk_strdupf("%.*s%s", (int)top, __FILE__, path);
}

/* Cuts '*rest' at the next 'end', and returns what stood before it, without spaces around. */
static char *cut(char **rest, const char *end)
{
    char *start = *rest + strspn(*rest, " ");
    char *stop = end ? strstr(start, end) : NULL;
    *rest = stop ? stop + strlen(end) : start + strlen(start);
    if (stop) {
        *stop = '\0';
    }
    for (size_t length = strlen(start); length > 0 && start[length - 1] == ' ';) {
        start[--length] = '\0';
    }
    return start;
}

static void read_seeds(struct seeds *seeds)
{
    struct pk_error err;
    PK_CLEANUP(pk_freep) char *path = from_top("tests/data/seeds.txt");
    assert_ok(pk_file_read(&seeds->text, path, FILE_MAX_BYTES, &err), &err);
    pk_buf_add_char(&seeds->text, '\0');
    char *save = NULL;
    for (char *line = strtok_r(seeds->text.data, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        if (*line == '#') {
            continue;
        }
        assert_true(seeds->count < LINES_MAX);
        struct seed_line *out = &seeds->line[seeds->count++];
        char *rest = line;
        out->seed = cut(&rest, " | ");
        out->kind = cut(&rest, " | ");
        out->name = cut(&rest, " | ");
        out->cover = cut(&rest, " | ");
        out->why = cut(&rest, NULL);
    }
}

static struct seeds *open_seeds(void)
{
    struct seeds *seeds = pk_calloc(1, sizeof(*seeds));
    read_seeds(seeds);
    return seeds;
}

/* Fails with everything that was found wrong. */
static void close_seeds(struct seeds *seeds)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf wrong = seeds->wrong;
    pk_buf_done(&seeds->text);
    pk_free(seeds);
    if (wrong.size > 0) {
        fail_msg("%s", pk_buf_text(&wrong));
    }
}

/* ---- From a line to the tables ---- */

static const struct pk_inventory *inventory(void)
{
    return pk_inventory_builtin();
}

/* The collection that 'path' starts with; '*rest' is what follows its dot, or "". */
static const struct pk_collection *find_collection(const char *path, const char **rest)
{
    size_t length = strcspn(path, ".");
    PK_CLEANUP(pk_freep) char *name = pk_strndup(path, length);
    *rest = path[length] ? path + length + 1 : "";
    return pk_inventory_find(inventory(), name);
}

/* The row of that very name; what an open schema would also take is none. */
static const struct pk_field *find_row(const struct pk_schema *schema, const char *path)
{
    const struct pk_field *field = pk_schema_field(schema, path);
    const char *dot = strrchr(path, '.');
    const char *last = dot ? dot + 1 : path;
    size_t length = strlen(path);
    if (field && length > 2 && strcmp(path + length - 2, "[]") == 0) {
        return field;
    }
    return field && field->name && strcmp(field->name, last) == 0 ? field : NULL;
}

static const struct pk_field *find_stored(const char *path)
{
    const char *rest;
    const struct pk_collection *collection = find_collection(path, &rest);
    return collection ? find_row(collection->schema, rest) : NULL;
}

static bool is_listed(const struct pk_field *field, const char *value)
{
    for (size_t i = 0; field->allowed && field->allowed[i]; i++) {
        if (strcmp(field->allowed[i], value) == 0) {
            return true;
        }
    }
    return false;
}

/* "path" or "path=value"; 'schema' NULL: the path starts with a collection. */
static bool is_row(const struct pk_schema *schema, const char *cover)
{
    PK_CLEANUP(pk_freep) char *path = pk_strdup(cover);
    char *value = strchr(path, '=');
    if (value) {
        *value++ = '\0';
    }
    const struct pk_field *field = schema ? find_row(schema, path) : find_stored(path);
    return field && (!value || is_listed(field, value));
}

static bool is_stored_row(const struct seed_line *line, const char *cover)
{
    (void)line;
    return is_row(NULL, cover);
}

static bool is_collection(const struct seed_line *line, const char *cover)
{
    (void)line;
    return pk_inventory_find(inventory(), cover) != NULL;
}

/* True when ", "-separated 'names' has 'name'. */
static bool has_name(const char *names, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = names; at && (at = strstr(at, name)) != NULL; at++) {
        bool starts = at == names || (at - names >= 2 && strncmp(at - 2, ", ", 2) == 0);
        bool ends = at[length] == '\0' || strncmp(at + length, ", ", 2) == 0;
        if (starts && ends) {
            return true;
        }
    }
    return false;
}

static bool is_index(const struct seed_line *line, const char *cover)
{
    const char *name;
    const struct pk_collection *collection = find_collection(cover, &name);
    if (!collection || strcmp(name, "_id") == 0) {
        return collection != NULL;
    }
    const struct pk_index *index = pk_collection_index(collection, name);
    return index && (strcmp(line->kind, "index") != 0 || has_name(index->seed, line->name));
}

/* The schema that is no collection and that 'cover' starts with. */
static const struct pk_schema *find_api(const char *cover)
{
    size_t count, length = strcspn(cover, ".");
    const struct pk_schema *const *schema = pk_schemas(&count);
    for (size_t i = 0; i < count; i++) {
        if (strlen(schema[i]->name) == length && strncmp(schema[i]->name, cover, length) == 0) {
            return schema[i];
        }
    }
    return NULL;
}

static bool is_api(const struct seed_line *line, const char *cover)
{
    (void)line;
    const struct pk_schema *schema = find_api(cover);
    const char *path = strchr(cover, '.');
    return schema && (!path || is_row(schema, path + 1));
}

static bool is_range(const struct seed_line *line, const char *cover)
{
    (void)line;
    PK_CLEANUP(pk_freep) char *path = pk_strdup(cover);
    char *range = strchr(path, '=');
    int min, max;
    if (!range || sscanf(range, "=%d..%d", &min, &max) != 2) {
        return false;
    }
    *range = '\0';
    const struct pk_field *field = find_stored(path);
    return field && field->min == min && field->max == max;
}

/* "path=word": the row, and the word in '*out_word'. */
static const struct pk_field *split_word(const char *cover, char **path, const char **out_word)
{
    *path = pk_strdup(cover);
    char *word = strchr(*path, '=');
    if (!word) {
        return NULL;
    }
    *word = '\0';
    *out_word = word + 1;
    return find_stored(*path);
}

static bool is_format(const struct seed_line *line, const char *cover)
{
    static const char *const word_table[] = {
        [PK_FORMAT_UUID] = "uuid",
        [PK_FORMAT_SCRIPT_ID] = "script_id",
        [PK_FORMAT_SEMVER] = "semver",
        [PK_FORMAT_TRAIT_PATH] = "trait_path",
        [PK_FORMAT_MODEL_VERSION] = "model_version",
    };
    PK_CLEANUP(pk_freep) char *path = NULL;
    const char *word;
    (void)line;
    const struct pk_field *field = split_word(cover, &path, &word);
    return field && field->format < PK_COUNT(word_table) && word_table[field->format] &&
           strcmp(word_table[field->format], word) == 0;
}

static bool is_date(const struct seed_line *line, const char *cover)
{
    PK_CLEANUP(pk_freep) char *path = NULL;
    const char *word;
    (void)line;
    const struct pk_field *field = split_word(cover, &path, &word);
    return field && strcmp(word, "date") == 0 && field->type == PK_TYPE_DATE;
}

static bool is_length(const struct seed_line *line, const char *cover)
{
    PK_CLEANUP(pk_freep) char *path = NULL;
    const char *word;
    (void)line;
    const struct pk_field *field = split_word(cover, &path, &word);
    return field && field->length_from && strcmp(field->length_from, word) == 0;
}

static bool is_required(const struct seed_line *line, const char *cover)
{
    (void)line;
    const struct pk_field *field = find_stored(cover);
    return field && (field->flags & PK_FIELD_REQUIRED);
}

static bool is_any_case(const struct seed_line *line, const char *cover)
{
    (void)line;
    const struct pk_field *field = find_stored(cover);
    return field && (field->flags & PK_FIELD_ANY_CASE);
}

static bool is_rule(const struct seed_line *line, const char *cover)
{
    const char *rest;
    (void)line;
    const struct pk_collection *collection = find_collection(cover, &rest);
    if (!collection || !*rest) {
        return collection && collection->schema->rule;
    }
    const struct pk_field *field = find_row(collection->schema, rest);
    return field && field->of && field->of->rule;
}

static bool is_ttl(const struct seed_line *line, const char *cover)
{
    const char *rest;
    (void)line;
    const struct pk_collection *collection = find_collection(cover, &rest);
    return collection && collection->ttl_path && strcmp(collection->ttl_path, rest) == 0;
}

/* "ROOM: how": a room of the house, and a sentence. */
static bool is_later(const struct seed_line *line, const char *cover)
{
    static const char *const room[] = { "script",  "access", "feed", "memory", "model",
                                        "persona", "kit",    "ops",  "api",    "cli" };
    (void)line;
    for (size_t i = 0; i < PK_COUNT(room); i++) {
        size_t length = strlen(room[i]);
        if (strncmp(cover, room[i], length) == 0 && strncmp(cover + length, ": ", 2) == 0) {
            return strlen(cover + length) > 10;
        }
    }
    return false;
}

static const struct {
    const char *prefix;
    bool (*is_true)(const struct seed_line *line, const char *cover);
} cover_table[] = {
    { "collection:", is_collection },
    { "index:", is_index },
    { "schema:", is_api },
    { "range:", is_range },
    { "format:", is_format },
    { "type:", is_date },
    { "length:", is_length },
    { "rule:", is_rule },
    { "required:", is_required },
    { "any_case:", is_any_case },
    { "ttl:", is_ttl },
    { "later:", is_later },
    { "", is_stored_row },
};

static bool is_covered(const struct seed_line *line)
{
    for (size_t i = 0; i < PK_COUNT(cover_table); i++) {
        size_t length = strlen(cover_table[i].prefix);
        if (strncmp(line->cover, cover_table[i].prefix, length) == 0) {
            return cover_table[i].is_true(line, line->cover + length);
        }
    }
    return false;
}

/* True when what covers the line must be there, or the line says why it need not. */
static bool is_asked_for(const struct seed_line *line)
{
    const struct pk_field *field = NULL;
    if (strncmp(line->cover, "schema:", 7) == 0) {
        const char *path = strchr(line->cover, '.');
        const struct pk_schema *schema = find_api(line->cover + 7);
        field = schema && path ? find_row(schema, path + 1) : NULL;
    } else {
        field = strchr(line->cover, ':') ? NULL : find_stored(line->cover);
    }
    bool is_optional = field && !(field->flags & PK_FIELD_REQUIRED);
    return is_optional == (strncmp(line->why, "optional: ", 10) == 0);
}

/* ---- The lines ---- */

static bool is_known(const char *text, const char *const *known, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(text, known[i]) == 0) {
            return true;
        }
    }
    return false;
}

TEST(every_line_of_the_specification_is_covered)
{
    static const char *const seed[] = { "000", "001", "002", "003", "004" };
    static const char *const kind[] = { "entity", "field", "value", "enum",
                                        "index",  "rule",  "event", "api" };
    struct seeds *seeds = open_seeds();
    for (size_t i = 0; i < seeds->count; i++) {
        const struct seed_line *line = &seeds->line[i];
        if (!is_known(line->seed, seed, PK_COUNT(seed)) ||
            !is_known(line->kind, kind, PK_COUNT(kind)) || !*line->name || !is_covered(line)) {
            pk_buf_printf(&seeds->wrong, "\n%s | %s | %s: not covered by '%s'", line->seed,
                          line->kind, line->name, line->cover);
        }
    }
    assert_true(seeds->count > 900);
    close_seeds(seeds);
}

TEST(a_wrong_cover_is_noticed)
{
    static const struct seed_line wrong[] = {
        { "001", "field", "x", "observations.nothing", "" },
        { "001", "field", "x", "observations.sourceMetadata.nothing", "" },
        { "001", "field", "x", "observations", "" },
        { "001", "field", "x", "nothing._id", "" },
        { "001", "value", "x", "observations.sourceType=nothing", "" },
        { "001", "value", "x", "observations._id=nothing", "" },
        { "001", "entity", "x", "collection:nothing", "" },
        { "001", "index", "idx_other", "index:observations.by_created", "" },
        { "001", "index", "idx_observations", "index:observations.by_created", "" },
        { "001", "index", "x", "index:observations.by_nothing", "" },
        { "001", "api", "x", "schema:Nothing", "" },
        { "001", "api", "x", "schema:SyncRequest.nothing", "" },
        { "001", "rule", "x", "range:feedback.ratings.overall=1..6", "" },
        { "001", "rule", "x", "range:feedback.ratings.overall", "" },
        { "001", "rule", "x", "format:observations._id=semver", "" },
        { "001", "rule", "x", "type:observations._id=date", "" },
        { "001", "rule", "x", "length:vectors.embedding=version", "" },
        { "001", "rule", "x", "required:observations.seq", "" },
        { "001", "rule", "x", "any_case:observations._id", "" },
        { "001", "rule", "x", "rule:audit", "" },
        { "001", "rule", "x", "ttl:personas.generatedAt", "" },
        { "001", "rule", "x", "later:nowhere: somebody will see to it", "" },
        { "001", "rule", "x", "later:memory:", "" },
        { "001", "rule", "x", "", "" },
    };
    for (size_t i = 0; i < PK_COUNT(wrong); i++) {
        if (is_covered(&wrong[i])) {
            fail_msg("'%s' passes", wrong[i].cover);
        }
    }
}

/* ---- The other way round ---- */

/* The first line at or behind 'from' of that seed with this name: 'owner' + ... + 'end'. */
static const struct seed_line *find_line(const struct seeds *seeds, size_t from, const char *seed,
                                         const char *owner, const char *end)
{
    size_t owner_length = strlen(owner), end_length = strlen(end);
    for (size_t i = from; i < seeds->count; i++) {
        const char *name = seeds->line[i].name;
        size_t length = strlen(name);
        if (strcmp(seeds->line[i].seed, seed) == 0 && length >= owner_length + end_length &&
            strncmp(name, owner, owner_length) == 0 &&
            strcmp(name + length - end_length, end) == 0) {
            return &seeds->line[i];
        }
    }
    return NULL;
}

static bool has_index_line(const struct seeds *seeds, const char *name)
{
    for (size_t i = 0; i < seeds->count; i++) {
        if (strcmp(seeds->line[i].kind, "index") == 0 && strcmp(seeds->line[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

TEST(every_index_that_names_its_seed_is_in_the_list)
{
    struct seeds *seeds = open_seeds();
    for (size_t c = 0; c < inventory()->count; c++) {
        const struct pk_collection *collection = &inventory()->collection[c];
        for (size_t i = 0; i < collection->index_count; i++) {
            const char *names = collection->index[i].seed;
            PK_CLEANUP(pk_freep) char *copy = pk_strdup(names ? names : "");
            for (char *rest = copy; *rest;) {
                const char *name = cut(&rest, ", ");
                if (!has_index_line(seeds, name)) {
                    pk_buf_printf(&seeds->wrong, "\n%s", name);
                }
            }
        }
    }
    close_seeds(seeds);
}

/* Where the reader of a document is. */
struct reading {
    struct seeds *seeds;
    char seed[4];
    char owner[64]; /* Interface, enumeration or table; "" outside. */
    bool is_enum, is_table;
    size_t found;
};

static void demand(struct reading *reading, const char *owner, const char *end)
{
    reading->found++;
    if (!find_line(reading->seeds, 0, reading->seed, owner, end)) {
        pk_buf_printf(&reading->seeds->wrong, "\n%s: no line for '%s...%s'", reading->seed, owner,
                      end);
    }
}

/* A member without '?': one of its lines is of a required row, or says why not. */
static void demand_required(struct reading *reading, const char *end)
{
    const struct seed_line *line = find_line(reading->seeds, 0, reading->seed, reading->owner, end);
    bool is_asked = !line; /* A missing line has been said. */
    while (line && !is_asked) {
        is_asked = is_asked_for(line);
        size_t next = (size_t)(line - reading->seeds->line) + 1;
        line = find_line(reading->seeds, next, reading->seed, reading->owner, end);
    }
    if (!is_asked) {
        pk_buf_printf(&reading->seeds->wrong, "\n%s: '%s...%s' is required, here it is not",
                      reading->seed, reading->owner, end);
    }
}

/* The identifier at 'text', copied; its length. */
static size_t copy_name(const char *text, char *out, size_t size)
{
    size_t length = 0;
    while (isalnum((unsigned char)text[length]) || text[length] == '_') {
        length++;
    }
    (void)snprintf(out, size, "%.*s", (int)length, text);
    return length;
}

/* Each 'literal' of the line is a value. */
static void read_literals(struct reading *reading, const char *line)
{
    PK_CLEANUP(pk_freep) char *copy = pk_strdup(line);
    char *save = NULL;
    char *part = strchr(copy, '\'');
    bool is_inside = part != NULL;
    for (part = is_inside ? strtok_r(part, "'", &save) : NULL; part;
         part = strtok_r(NULL, "'", &save), is_inside = !is_inside) {
        char *end = pk_strdupf("=%s", part);
        if (is_inside && isalpha((unsigned char)*part)) {
            demand(reading, reading->owner, end);
        }
        pk_free(end);
    }
}

/* A field of an interface ("name?: type;"), a value of an enumeration, or a column. */
static void read_member(struct reading *reading, const char *line)
{
    const char *text = line + strspn(line, " ");
    char name[64];
    size_t length = copy_name(text, name, sizeof(name));
    const char *behind = text + length;
    bool is_field = reading->is_table ? *behind == ' ' && islower((unsigned char)*text)
                                      : *behind == ':' || strncmp(behind, "?:", 2) == 0;
    if (text == line || length == 0) {
        return;
    }
    if (is_field && !reading->is_enum) {
        PK_CLEANUP(pk_freep) char *owner = pk_strdupf("%s.", reading->owner);
        PK_CLEANUP(pk_freep) char *end = pk_strdupf("%s%s", reading->is_table ? "" : ".", name);
        /* "Observation." and ".raw" meet in "Observation.content.raw" and "Observation.raw". */
        demand(reading, reading->is_table ? owner : reading->owner, end);
        if (*behind == ':') {
            demand_required(reading, end);
        }
    }
    if ((is_field || reading->is_enum) && !strstr(line, "Omit<")) {
        read_literals(reading, behind);
    }
}

static void read_line(struct reading *reading, char *line)
{
    static const struct {
        const char *start;
        bool is_enum, is_table;
    } opening[] = {
        { "interface ", false, false },
        { "enum ", true, false },
        { "CREATE TABLE ", false, true },
    };
    static const char *const comment[] = { "//", "--" };
    for (size_t i = 0; i < PK_COUNT(comment); i++) {
        char *start = strstr(line, comment[i]);
        if (start && !strstr(line, "://")) {
            *start = '\0';
        }
    }
    char name[64];
    const char *index = strstr(line, "INDEX ");
    if (strncmp(line, "CREATE ", 7) == 0 && index) {
        (void)copy_name(index + 6, name, sizeof(name));
        demand(reading, name, "");
    }
    for (size_t i = 0; i < PK_COUNT(opening); i++) {
        size_t length = strlen(opening[i].start);
        if (strncmp(line, opening[i].start, length) == 0) {
            (void)copy_name(line + length, reading->owner, sizeof(reading->owner));
            reading->is_enum = opening[i].is_enum;
            reading->is_table = opening[i].is_table;
            demand(reading, "", reading->owner);
            return;
        }
    }
    if (*line == '}' || *line == ')' || *line == '`') {
        reading->owner[0] = '\0';
    } else if (*reading->owner) {
        read_member(reading, line);
    }
}

/* 004 has lists: "*   `name`: (Type)", and indexes "*   `{ "a": 1 }`". */
static void read_bullet(struct reading *reading, const char *line)
{
    const char *text = line + strspn(line, " ");
    char name[128];
    if (strncmp(text, "*   `", 5) != 0) {
        return;
    }
    text += 5;
    if (*text == '{') {
        size_t length = 0;
        for (; *text && *text != '`' && length + 1 < sizeof(name); text++) {
            if (*text != ' ' && *text != '"') {
                name[length++] = *text;
            }
        }
        name[length] = '\0';
        demand(reading, name, "");
        return;
    }
    size_t length = copy_name(text, name, sizeof(name));
    if (text[length] == '`' && strchr("( :", text[length + 1])) {
        demand(reading, "", name);
    }
}

static void read_document(struct seeds *seeds, const char *folder, const char *file, size_t *found)
{
    struct pk_error err;
    struct reading reading = { .seeds = seeds };
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/%s", folder, file);
    (void)snprintf(reading.seed, sizeof(reading.seed), "%.3s", file);
    assert_ok(pk_file_read(&text, path, FILE_MAX_BYTES, &err), &err);
    pk_buf_add_char(&text, '\0');
    char *save = NULL;
    for (char *line = strtok_r(text.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        if (strcmp(reading.seed, "004") == 0) {
            read_bullet(&reading, line);
        } else {
            read_line(&reading, line);
        }
    }
    *found += reading.found;
}

TEST(every_name_in_the_documents_has_its_line)
{
    static const char *const file[] = {
        "000_9874e0f71b7d94a5.txt", "001_df6af2b8eea2d7ab.txt", "002_65e471a7360a5187.txt",
        "003_e3ca549dc2733eec.txt", "004_7c51c47ad9d387e6.txt",
    };
    PK_CLEANUP(pk_freep) char *folder = from_top("../shared/seeds");
    if (access(folder, R_OK) != 0) {
        SKIP("the documents of the specification do not lie beside this checkout");
    }
    struct seeds *seeds = open_seeds();
    size_t found = 0;
    for (size_t i = 0; i < PK_COUNT(file); i++) {
        read_document(seeds, folder, file[i], &found);
    }
    print_message("# %zu names in the documents, %zu lines\n", found, seeds->count);
    assert_true(found > 600);
    close_seeds(seeds);
}
