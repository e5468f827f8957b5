/* copy.h - copying between places, and the line that shows how far a long command is. */
#ifndef STRATA_CLI_COPY_H
#define STRATA_CLI_COPY_H

#include "cli.h"

/* Returns the command's exit code. from, to: see place.h. */
int copy_run (const struct cli_args *args, const char *from, const char *to, bool recursive);

/* Ctrl-C and SIGTERM end the work at the next good place: copy_keep_going is false then. */
void copy_catch_interrupts (void);
bool copy_keep_going (void);

/* On a terminal one line, redrawn; else a line every 10 s. To standard error. */
struct progress {
    double began, told;
    bool shown, quiet;
};
void progress_show (struct progress *self, const char *what, uint64_t done, uint64_t total, bool last);

#endif
