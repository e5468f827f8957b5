/* crash_point.h - named places at which a test can kill the process exactly there.
 *
 *     crash_point ("commit.written");
 *
 * Built with `make CRASH_POINTS=1` (a build folder of its own) each passing is counted, and the process kills itself with
 * SIGKILL at those that the environment names; in ordinary builds nothing is there, not even the arguments.
 *
 *   STRATA_CRASH_DIR=FOLDER            a file PROGRAM!NAME for each place passed: how often, by all processes of that program
 *   STRATA_CRASH_AT=PROGRAM!NAME:N[,N...]   e.g. select!commit.written:3,9; PROGRAM is the program's name without "strata-"
 *
 * The count goes on in the process that replaces the killed one, so each N kills once. tests/crash/points.py uses it.
 */
#ifndef STRATA_CORE_CRASH_POINT_H
#define STRATA_CORE_CRASH_POINT_H

#ifdef STRATA_CRASH_POINTS
/* The name is printf's; of letters, digits, '.', '_' and '-'. May be called from any thread. */
void crash_point_passed (const char *name, ...) __attribute__ ((format (printf, 1, 2)));
#define crash_point(...) crash_point_passed (__VA_ARGS__)
#else
#define crash_point(...) ((void)0)
#endif

#endif
