/* verify.c - see verify.h */
#include "verify.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/shard.h"
#include "store/stream.h"

static FILE *terminal;

static void tell (uint64_t keys, void *arg)
{
    fprintf (terminal, "\r\033[Kverifies %s: %" PRIu64 " keys\r", (const char *)arg, keys);
    fflush (terminal);
}

static int look_at (uint64_t sequence, int64_t time_us, const void *record, size_t size, void *arg)
{
    return 0;
}

static void read_stream (const char *name, void *arg)
{
    stream_read (arg, name, 0, SIZE_MAX, SIZE_MAX, look_at, NULL);
}

/* What it says on stderr last is the finding. */
static void verify_and_exit (const char *dir)
{
    struct strata_error error;
    uint64_t keys = 0;
    struct shard *shard = shard_open_readonly (dir, &error);
    if (!shard || shard_verify (shard, terminal ? tell : NULL, (void *)dir, &keys, &error) < 0) {
        fprintf (stderr, "%s\n", error.text);
        _exit (1);
    }
    stream_list (shard, read_stream, shard);
    shard_close (&shard);
    fprintf (stderr, "%" PRIu64 "\n", keys);
    _exit (0);
}

int verify_store (const char *dir, uint64_t *keys, struct strata_error *error)
{
    char said[2048];
    int ends[2], status = -1;
    size_t used = 0;
    if (pipe2 (ends, O_CLOEXEC) < 0)
        return strata_fail (error, "a pipe can't be made: %s", strerror (errno));
    fflush (NULL);
    pid_t pid = fork ();
    if (pid == 0) {
        int fd = isatty (2) ? dup (2) : -1;
        terminal = fd >= 0 ? fdopen (fd, "w") : NULL;
        dup2 (ends[1], 2);
        verify_and_exit (dir);
    }
    close (ends[1]);
    for (ssize_t n; (n = read (ends[0], said + used, sizeof (said) - 1 - used)) > 0;)
        used += (size_t)n;
    close (ends[0]);
    while (pid > 0 && waitpid (pid, &status, 0) < 0 && errno == EINTR)
        ;
    while (used && said[used - 1] == '\n')
        used--;
    said[used] = '\0';
    const char *line = strrchr (said, '\n') ? strrchr (said, '\n') + 1 : said;
    if (pid < 0 || !WIFEXITED (status) || WEXITSTATUS (status) != 0) {
        const char *store = strstr (line, "store "); /* behind a log line's time and name */
        errno = EBADMSG;
        return strata_fail (error, "%s", store ? store : line[0] ? line : "its reading ended without a word");
    }
    *keys += strtoull (line, NULL, 10);
    return 0;
}
