/* main.c - membrane-macro: arguments, signals, and off to run.c. */
#include "macro.h"

#include <signal.h>
#include <stdio.h>

static volatile sig_atomic_t stop;

static void on_signal (int number)
{
    stop = 1;
}

int main (int argc, char *argv[])
{
    struct macro_settings settings;
    struct strata_error error;
    if (macro_settings_parse (&settings, argc, argv, &error) < 0) {
        fprintf (stderr, "membrane-macro: %s\n", error.text);
        return 2;
    }
    if (settings.help) {
        fputs (macro_usage, stdout);
        return 0;
    }
    struct sigaction action = {.sa_handler = on_signal};
    sigaction (SIGTERM, &action, NULL);
    sigaction (SIGINT, &action, NULL);
    return macro_run (&settings, &stop);
}
