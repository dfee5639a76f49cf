/* table.c - See table.h. */
/* SPDX-License-Identifier: MIT */
#include "cli/table.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/text.h"
#include "base/utf8.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { GAP = 2 }; /* Blanks between columns. */

/* Characters, as far as a terminal's columns are that. */
static size_t width_of(const char *text)
{
    const size_t size = strlen(text);
    size_t width = 0;
    for (size_t at = 0; at < size; width++) {
        const size_t step = pk_utf8_step((const uint8_t *)text + at, size - at);
        at += step ? step : 1;
    }
    return width;
}

void pk_table_init(struct pk_table *table, const char *const *heading, size_t columns)
{
    assert(columns > 0 && columns <= PK_TABLE_COLUMNS);
    *table = (struct pk_table){ .columns = columns };
    for (size_t i = 0; i < columns; i++) {
        pk_table_add(table, heading[i]);
    }
}

void pk_table_done(struct pk_table *table)
{
    for (size_t i = 0; i < table->cell_count; i++) {
        pk_free(table->cell[i]);
    }
    pk_free(table->cell);
    *table = (struct pk_table){ 0 };
}

void pk_table_add(struct pk_table *table, const char *text)
{
    struct pk_buf shown = { 0 };
    if (table->cell_count == table->cell_room) {
        table->cell_room = table->cell_room ? table->cell_room * 2 : 64;
        table->cell = pk_realloc(table->cell, table->cell_room * sizeof(*table->cell));
    }
    if (!text || !text[0]) {
        text = "-";
    }
    pk_text_escape(&shown, text, strlen(text), false);
    const size_t column = table->cell_count % table->columns;
    const size_t width = width_of(shown.data);
    table->width[column] = width > table->width[column] ? width : table->width[column];
    table->cell[table->cell_count++] = pk_buf_take(&shown);
}

void pk_table_print(const struct pk_table *table)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf out = { 0 };
    for (size_t i = 0; i < table->cell_count; i++) {
        const size_t column = i % table->columns;
        pk_buf_add_text(&out, table->cell[i]);
        if (column + 1 == table->columns) {
            pk_buf_add_char(&out, '\n');
            continue;
        }
        for (size_t at = width_of(table->cell[i]); at < table->width[column] + GAP; at++) {
            pk_buf_add_char(&out, ' ');
        }
    }
    (void)fputs(pk_buf_text(&out), stdout);
}

const char *pk_table_time(const char *text, char out[PK_TABLE_TIME])
{
    int64_t ms = 0;
    char whole[PK_TIME_TEXT];
    if (!text || !pk_time_parse(text, strlen(text), &ms, NULL)) {
        return text;
    }
    pk_time_format(ms, whole); /* In UTC, whatever zone it came in. */
    whole[10] = ' ';
    memcpy(out, whole, PK_TABLE_TIME - 1);
    out[PK_TABLE_TIME - 1] = '\0';
    return out;
}
