/* screen.h - the campaign's figures as text: once for `strata status`, redrawn in place for `strata run`. */
#ifndef STRATA_CLI_SCREEN_H
#define STRATA_CLI_SCREEN_H

#include "cli.h"

#define SCREEN_EVENTS 20

struct screen {
    const struct campaign *campaign;
    const Strata__StatusReply *status; /* NULL: no answer yet */
    const Strata__JobsReply *jobs;     /* running ones; NULL: not known */
    double answer_age_s;               /* of the status answer: added to every age in it */
    double elapsed_s;                  /* < 0: not shown */
    const Strata__Event *events[SCREEN_EVENTS];
    size_t events_count;
    const char *note;                       /* a sentence; NULL: none */
};

/* The figures. Every line ends in a newline; none is longer than the figures make it. */
void screen_text (FILE *out, const struct screen *screen);
/* One line for a log. */
void screen_line (FILE *out, const struct screen *screen);
/* "12:34:56 schedule-0 job-started cg-3: sentence" */
void screen_event (FILE *out, const Strata__Event *event);

/* Redraws the terminal in place: the figures, long lines wrapped, then as many of the newest events as there is room for. */
void screen_draw (const struct screen *screen);
/* The alternate screen without cursor, and back. Back is safe to call always, also from a signal handler. */
void screen_enter (void);
void screen_leave (void);

#endif
