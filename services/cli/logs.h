/* logs.h - the services' logs: <workspace>/log/<name>.log, bounded.
 *
 * A service writes to a descriptor that it was started with, by appending. So a log that reaches its bound is copied to
 * <name>.log.1, in place of what stood there, and cut to nothing: the service goes on at its beginning.
 */
#ifndef STRATA_CLI_LOGS_H
#define STRATA_CLI_LOGS_H

#include <stddef.h>
#include <stdio.h>

#define LOGS_BOUND_BYTES (64u << 20)

void logs_path (const char *workspace, const char *name, char *path, size_t size);
/* For appending; NULL when it can't be opened. */
FILE *logs_open (const char *workspace, const char *name);
/* Makes it this process's standard output and error; its input is /dev/null. */
int logs_redirect (const char *workspace, const char *name);
/* 0, also when there is nothing to do. -1 with errno: it was cut, and what stood in it could not be kept. */
int logs_bound (const char *workspace, const char *name);

#endif
