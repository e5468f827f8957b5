/* log.h - one line a fact on stderr: time, level, who, what.
 *
 * Services' stderr goes to <workspace>/log/<service>-<replica>.log; nothing else writes there. Set the name once in main.
 */
#ifndef STRATA_LOG_H
#define STRATA_LOG_H

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

void log_init (const char *name);               /* name is copied; level from STRATA_LOG=debug|info|warn|error */
/* Lines go to the end of this file from now on, which is made for the first of them. The path must outlive the process. */
void log_to (const char *path);
void log_line (enum log_level level, const char *fmt, ...) __attribute__ ((format (printf, 2, 3)));

#define log_debug(...) log_line (LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_info(...) log_line (LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warn(...) log_line (LOG_LEVEL_WARN, __VA_ARGS__)
#define log_error(...) log_line (LOG_LEVEL_ERROR, __VA_ARGS__)

#endif
