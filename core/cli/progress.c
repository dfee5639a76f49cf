/* progress.c - Drawn at most ten times a second on a terminal, every five seconds elsewhere. */
/* SPDX-License-Identifier: MIT */
#include "cli/progress.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { DRAW_MS = 100, LINE_MS = 5000, BAR = 24 };

void pk_progress_init(struct pk_progress *progress, const struct pk_clock *clock, bool is_silent)
{
    *progress = (struct pk_progress){
        .clock = clock,
        .is_terminal = isatty(STDERR_FILENO) != 0,
        .is_silent = is_silent,
    };
}

/* ", 12345/s, 1:05 left": what is known of it. */
static void describe_speed(const struct pk_progress *progress, int64_t now_ns, int64_t done,
                           int64_t all, char out[64])
{
    double seconds = (double)(now_ns - progress->begun_ns) / 1e9;
    double rate = seconds > 0 ? (double)(done - progress->begun_done) / seconds : 0;
    out[0] = '\0';
    if (rate < 1 || seconds < 0.5) {
        return;
    }
    int size = snprintf(out, 64, ", %.0f/s", rate);
    if (all > done && size > 0) {
        int64_t left = (int64_t)((double)(all - done) / rate);
        (void)snprintf(out + size, 64 - (size_t)size, ", %lld:%02lld left", (long long)left / 60,
                       (long long)left % 60);
    }
}

static void draw(struct pk_progress *progress, const char *what, int64_t done, int64_t all,
                 const char *speed)
{
    char bar[BAR + 1];
    int64_t filled = all > 0 ? (done < all ? done : all) * BAR / all : 0;
    memset(bar, ' ', BAR);
    memset(bar, '=', (size_t)filled);
    bar[BAR] = '\0';
    (void)fprintf(stderr, "\r\033[K%s [%s] %lld", progress->step, bar, (long long)done);
    if (all > 0) {
        (void)fprintf(stderr, " of %lld", (long long)all);
    }
    (void)fprintf(stderr, "%s  %s", speed, what);
    (void)fflush(stderr);
    progress->is_line_open = true;
}

void pk_progress_show(struct pk_progress *progress, const char *step, const char *what,
                      int64_t done, int64_t all)
{
    char speed[64];
    const char *unit = progress->unit ? progress->unit : "documents";
    int64_t now_ns = pk_clock_mono_ns(progress->clock);
    int64_t every_ns = (progress->is_terminal ? DRAW_MS : LINE_MS) * INT64_C(1000000);

    if (progress->step != step) {
        progress->step = step;
        progress->begun_ns = now_ns;
        progress->begun_done = done;
        progress->shown_ns = progress->is_terminal ? 0 : now_ns;
    }
    if (progress->is_silent || now_ns - progress->shown_ns < every_ns) {
        return;
    }
    progress->shown_ns = now_ns;
    describe_speed(progress, now_ns, done, all, speed);
    if (progress->is_terminal) {
        draw(progress, what, done, all, speed);
    } else if (all > 0) {
        (void)fprintf(stderr, "%s: %lld of %lld %s%s\n", step, (long long)done, (long long)all,
                      unit, speed);
    } else {
        (void)fprintf(stderr, "%s: %lld %s%s\n", step, (long long)done, unit, speed);
    }
}

void pk_progress_done(struct pk_progress *progress)
{
    if (progress->is_line_open) {
        (void)fputs("\r\033[K", stderr);
        progress->is_line_open = false;
    }
}
