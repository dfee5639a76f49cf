/* table.h - Rows under a heading, each column as wide as its widest cell.
 *
 * '{ 0 }' is an empty table. Cells are made fit for a terminal as they are
 * added. One thread at a time. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_CLI_TABLE_H
#define PK_CLI_TABLE_H

#include <stddef.h>

enum { PK_TABLE_COLUMNS = 8 };

struct pk_table {
    size_t columns;                 /* Of each row. */
    size_t width[PK_TABLE_COLUMNS]; /* Characters. */
    char **cell;                    /* Row after row. */
    size_t cell_count, cell_room;
};
/* The heading: 'columns' texts. */
void pk_table_init(struct pk_table *table, const char *const *heading, size_t columns);
void pk_table_done(struct pk_table *table);
/* The next cell of the present row; NULL and "" are shown as "-". */
void pk_table_add(struct pk_table *table, const char *text);
/* To standard output. */
void pk_table_print(const struct pk_table *table);

/* "2026-11-21 07:32" of "2026-11-21T07:32:00.123Z", into 'out'; NULL stays NULL. What is no such
 * date stays as it is. */
enum { PK_TABLE_TIME = 17 };
const char *pk_table_time(const char *text, char out[PK_TABLE_TIME]);

#endif
