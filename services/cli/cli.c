/* cli.c - see cli.h: how things are said. */
#include "cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int cli_fail (const struct cli_args *args, int code, const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    va_start (ap, fmt);
    vsnprintf (text, sizeof (text), fmt, ap);
    va_end (ap);
    if (args && args->json)
        cli_print_json (json_pack ("{s:s}", "error", text));
    else {
        fflush (stdout);
        fprintf (stderr, "strata: %s\n", text);
    }
    return code;
}

void cli_print_json (json_t *json)
{
    if (!json) {
        fprintf (stderr, "strata: out of memory, or a text that is not UTF-8\n");
        return;
    }
    json_dumpf (json, stdout, JSON_INDENT (2) | JSON_REAL_PRECISION (15));
    printf ("\n");
    json_decref (json);
}

struct campaign *cli_load_campaign (const char *path)
{
    struct campaign_mistakes mistakes = { 0 };
    struct campaign *campaign = campaign_load (path, &mistakes);
    for (size_t i = 0; !campaign && i < mistakes.count; i++)
        fprintf (stderr, "%s\n", mistakes.lines[i]);
    campaign_mistakes_fini (&mistakes);
    return campaign;
}

const char *cli_clean (const char *text, char *out, size_t size)
{
    size_t n = 0;
    for (; text && *text && n + 1 < size; text++)
        out[n++] = (unsigned char)*text < ' ' || *text == 127 || (*text & 0x80) ? (*text == '\n' ? ' ' : '?') : *text;
    out[n] = '\0';
    return out;
}

const char *cli_duration (double seconds, char *out, size_t size)
{
    if (seconds < 0)
        seconds = 0;
    if (seconds < 10)
        snprintf (out, size, "%.1f s", seconds);
    else if (seconds < 120)
        snprintf (out, size, "%.0f s", seconds);
    else if (seconds < 7200)
        snprintf (out, size, "%d min %02d s", (int)seconds / 60, (int)seconds % 60);
    else
        snprintf (out, size, "%d h %02d min", (int)(seconds / 3600), (int)(seconds / 60) % 60);
    return out;
}

const char *cli_bytes (double bytes, char *out, size_t size)
{
    static const char *const units[] = { "B", "kB", "MB", "GB", "TB" };
    size_t unit = 0;
    while (bytes >= 1000 && unit + 1 < sizeof (units) / sizeof (units[0])) {
        bytes /= 1000;
        unit++;
    }
    snprintf (out, size, unit && bytes < 100 ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
    return out;
}

const char *cli_clock (int64_t time_us, char *out, size_t size)
{
    time_t seconds = (time_t)(time_us / 1000000);
    struct tm tm;
    if (!localtime_r (&seconds, &tm) || strftime (out, size, "%H:%M:%S", &tm) == 0)
        snprintf (out, size, "--:--:--");
    return out;
}

double cli_now_s (void)
{
    struct timespec ts;
    clock_gettime (CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}
