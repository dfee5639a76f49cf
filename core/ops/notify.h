/* notify.h - What systemd wants to know of a service, said as it wants to hear it.
 *
 *     pk_notify_open(&notify, getenv("NOTIFY_SOCKET"), getenv("WATCHDOG_USEC"),
 *                    getenv("WATCHDOG_PID"), &err);
 *     pk_notify_watch(notify, is_alive, context, &err);   before it is ready
 *     pk_notify_ready(notify, "serving http://127.0.0.1:8077");
 *     pk_notify_reloading(notify); ... pk_notify_ready(notify, ...);
 *     pk_notify_stopping(notify);
 *
 * Where there is no NOTIFY_SOCKET all of it does nothing: the same program runs
 * by hand. The protocol is one datagram of lines to a Unix socket (sd_notify(3));
 * no library is needed for that. Any thread. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_OPS_NOTIFY_H
#define PK_OPS_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

struct pk_error;
struct pk_notify; /* Opaque. */

/* 'socket': a path, or '@' and an abstract name; NULL or "": nobody listens. 'watchdog_us' and
 * 'watchdog_pid' as systemd gives them; NULL: no watchdog. PK_INVALID: they make no sense. */
bool pk_notify_open(struct pk_notify **out, const char *socket, const char *watchdog_us,
                    const char *watchdog_pid, struct pk_error *err);
void pk_notify_close(struct pk_notify *notify); /* NULL is fine. */

/* READY=1: the start, or a reload, is over. 'status' is one line for 'systemctl status'. */
void pk_notify_ready(struct pk_notify *notify, const char *status);
/* RELOADING=1, with the time that Type=notify-reload wants. */
void pk_notify_reloading(struct pk_notify *notify);
void pk_notify_stopping(struct pk_notify *notify, const char *status); /* STOPPING=1 */
void pk_notify_status(struct pk_notify *notify, const char *status);   /* STATUS= alone. */

/* Twice in each watchdog period a thread asks 'is_alive' and, when it says yes, tells systemd, who
 * restarts what has not been heard of for a period. Does nothing when no watchdog is wanted. Until
 * pk_notify_close 'is_alive' is called, and must not wait. Once. */
typedef bool pk_notify_alive_fn(void *context);
bool pk_notify_watch(struct pk_notify *notify, pk_notify_alive_fn *is_alive, void *context,
                     struct pk_error *err);
/* The period; 0: no watchdog. */
int64_t pk_notify_watchdog_ms(const struct pk_notify *notify);

#endif
