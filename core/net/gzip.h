/* gzip.h - For who has an answer that is made once and sent often: compress it once, too. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_NET_GZIP_H
#define PK_NET_GZIP_H

#include <stdbool.h>

struct pk_buf;
struct pk_request;

/* Appends 'from' in gzip's format. False: out of memory, and 'out' is as it was. */
bool pk_gzip_bytes(struct pk_buf *out, const struct pk_buf *from);
/* True when the client takes gzip. Whoever answers it says Content-Encoding, Vary and an ETag of
 * its own. */
bool pk_gzip_is_taken(const struct pk_request *request);

#endif
