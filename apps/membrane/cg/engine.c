/* engine.c - see engine.h */
#include "engine.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOG_TAIL 65536              /* bytes at a log's end that are searched */
#define CHECKPOINT_MINUTES "100000" /* none by the clock: see run.c */

int cg_engine_init (struct cg_engine *self, const char *in, const char *out, int threads, struct strata_error *error)
{
    *self = (struct cg_engine){ .in = in, .out = out, .threads = threads };
    const char *path = getenv ("PATH");
    char candidate[4096];
    while (path && *path) {
        size_t n = strcspn (path, ":");
        if (n > 0 && (size_t)snprintf (candidate, sizeof (candidate), "%.*s/gmx", (int)n, path) < sizeof (candidate)
            && access (candidate, X_OK) == 0) {
            self->gmx = realpath (candidate, NULL);
            return self->gmx ? 0 : strata_fail (error, "%s: cannot be resolved: %s", candidate, strerror (errno));
        }
        path += n + (path[n] == ':');
    }
    errno = ENOENT;
    return strata_fail (error, "GROMACS is missing: there is no 'gmx' on the PATH; install it (Debian: apt-get install "
                               "gromacs) or run 'make deps'");
}

void cg_engine_fini (struct cg_engine *self)
{
    if (self->pid > 0) {
        kill (self->pid, SIGKILL);
        while (waitpid (self->pid, &self->status, 0) < 0 && errno == EINTR)
            ;
    }
    free (self->gmx);
    *self = (struct cg_engine){ 0 };
}

/* After fork: only calls that are safe there. */
static void become (const struct cg_engine *self, char *const argv[], int log, pid_t parent)
{
    setpgid (0, 0);
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    int null = open ("/dev/null", O_RDONLY);
    if (getppid () != parent || null < 0 || dup2 (null, 0) < 0 || dup2 (log, 1) < 0 || dup2 (log, 2) < 0
        || chdir (self->out) < 0)
        _exit (126);
    execv (self->gmx, argv);
    _exit (127);
}

static int start (struct cg_engine *self, char *const argv[], const char *log_name, struct strata_error *error)
{
    char path[4096];
    snprintf (path, sizeof (path), "%s/%s", self->out, log_name);
    int log = open (path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (log < 0)
        return strata_fail (error, "%s: cannot write the output of gmx: %s", path, strerror (errno));
    /* No backups of files written anew, and as many threads as the arguments say. */
    setenv ("GMX_MAXBACKUP", "-1", 1);
    unsetenv ("OMP_NUM_THREADS");
    fflush (NULL);
    pid_t parent = getpid ();
    pid_t pid = fork ();
    if (pid == 0)
        become (self, argv, log, parent);
    close (log);
    if (pid < 0)
        return strata_fail (error, "cannot start %s: %s", self->gmx, strerror (errno));
    self->pid = pid;
    self->status = 0;
    return 0;
}

int cg_engine_grompp (struct cg_engine *self, struct strata_error *error)
{
    char gro[4096], top[4096], ndx[4096];
    snprintf (gro, sizeof (gro), "%s/system.gro", self->in);
    snprintf (top, sizeof (top), "%s/system.top", self->in);
    snprintf (ndx, sizeof (ndx), "%s/index.ndx", self->in);
    char *const argv[] = {
        self->gmx, "-quiet", "-nocopyright", "grompp", "-f", "run.mdp",      "-c",  gro,           "-r", gro,
        "-p",      top,      "-n",           ndx,      "-o", "prepared.tpr", "-po", "run-all.mdp", NULL
    };
    return start (self, argv, "grompp.out", error);
}

int cg_engine_segment (struct cg_engine *self, int64_t steps, struct strata_error *error)
{
    char number[32];
    snprintf (number, sizeof (number), "%lld", (long long)steps);
    char *const argv[] = { self->gmx, "-quiet", "-nocopyright", "convert-tpr", "-s", "topol.tpr",
                           "-nsteps", number,   "-o",           "segment.tpr", NULL };
    return start (self, argv, "convert.out", error);
}

int cg_engine_mdrun (struct cg_engine *self, const char *tpr, const char *checkpoint, struct strata_error *error)
{
    char threads[16];
    snprintf (threads, sizeof (threads), "%d", self->threads);
    /* -pin off: the scheduler binds this job's cores. -reprod: steps done again after a restart give the same frames.
     */
    char *argv[32] = { self->gmx, "-quiet", "-nocopyright", "mdrun", "-s",      (char *)tpr, "-ntmpi",          "1",
                       "-ntomp",  threads,  "-pin",         "off",   "-reprod", "-cpt",      CHECKPOINT_MINUTES };
    size_t n = 15;
    if (checkpoint) {
        argv[n++] = "-cpi";
        argv[n++] = (char *)checkpoint;
        argv[n++] = "-append";
    }
    argv[n] = NULL;
    return start (self, argv, "mdrun.out", error);
}

bool cg_engine_running (struct cg_engine *self)
{
    if (self->pid <= 0)
        return false;
    pid_t done = waitpid (self->pid, &self->status, WNOHANG);
    if (done == 0 || (done < 0 && errno == EINTR))
        return true;
    self->pid = 0;
    return false;
}

void cg_engine_signal (struct cg_engine *self, int signal)
{
    if (self->pid > 0)
        kill (self->pid, signal);
}

/* ---- what the logs say ---- */

static char *read_tail (const struct cg_engine *self, const char *name)
{
    char path[4096];
    snprintf (path, sizeof (path), "%s/%s", self->out, name);
    FILE *f = fopen (path, "r");
    char *text = malloc (LOG_TAIL + 1);
    size_t n = 0;
    if (f && text) {
        if (fseek (f, -LOG_TAIL, SEEK_END) < 0)
            rewind (f);
        n = fread (text, 1, LOG_TAIL, f);
    }
    if (f)
        fclose (f);
    if (!text)
        return NULL;
    for (size_t i = 0; i < n; i++)
        if (text[i] == '\0')
            text[i] = ' ';
    text[n] = '\0';
    return text;
}

static const char *last_of (const char *log, const char *what)
{
    const char *last = NULL;
    for (const char *p = strstr (log, what); p; p = strstr (p + 1, what))
        last = p;
    return last;
}

/* Copies [from, to) with white space and line ends made single blanks. */
static void squeeze (const char *from, const char *to, char *text, size_t size)
{
    size_t n = 0;
    for (; from < to && *from && n + 1 < size; from++) {
        if (!isspace ((unsigned char)*from))
            text[n++] = *from;
        else if (n > 0 && text[n - 1] != ' ')
            text[n++] = ' ';
    }
    while (n > 0 && text[n - 1] == ' ')
        n--;
    text[n] = '\0';
}

bool cg_engine_find_error (const char *log, char *text, size_t size)
{
    /* GROMACS' error block: dashes, "Program:", "Source file:", a blank line, the kind and the text, "For more
     * information". */
    static const char *const heads[] = { "Fatal error:", "Error in user input:", "Inconsistency in user input:" };
    const char *program = last_of (log, "\nProgram: ");
    const char *from = program ? strstr (program, "\n\n") : NULL;
    for (size_t i = 0; i < sizeof (heads) / sizeof (heads[0]) && !program; i++) {
        const char *p = last_of (log, heads[i]);
        if (p && (!from || p > from))
            from = p;
    }
    /* grompp numbers its own: "ERROR 1 [file system.top, line 3]:" and sums them up in a fatal error. */
    const char *numbered = strstr (log, "\nERROR 1 ");
    if (!numbered && from && strstr (from, "Too many warnings"))
        numbered = strstr (log, "\nWARNING 1 ");
    if (numbered)
        from = numbered;
    if (!from)
        return false;
    const char *end = from + strlen (from);
    const char *ends[] = { strstr (from, "For more information"), strstr (from, "\n-----"),
                           numbered ? strstr (from + 1, "\n\n") : NULL };
    for (size_t i = 0; i < 3; i++)
        if (ends[i] && ends[i] < end)
            end = ends[i];
    squeeze (from, end, text, size);
    return text[0] != '\0';
}

static void last_lines (const char *log, char *text, size_t size)
{
    const char *p = log + strlen (log);
    for (int lines = 0; p > log && lines < 4; p--)
        if (p[-1] == '\n')
            lines++;
    squeeze (p, log + strlen (log), text, size);
}

bool cg_engine_began (const struct cg_engine *self)
{
    char *log = read_tail (self, "mdrun.out");
    bool began = log && strstr (log, "starting mdrun");
    free (log);
    return began;
}

void cg_engine_reason (const struct cg_engine *self, const char *file, char *text, size_t size)
{
    char *log = read_tail (self, file);
    char found[400] = "";
    if (log && !cg_engine_find_error (log, found, sizeof (found)))
        last_lines (log, found, sizeof (found));
    const char *blown = "";
    if (strcmp (file, "mdrun.out") == 0 && log
        && (strstr (found, "LINCS") || strstr (found, "not finite") || strstr (found, "nan") || strstr (found, "NaN")
            || strstr (found, "settled") || strstr (found, "blowing up") || strstr (found, "extremely high")
            || strstr (found, "nstability")))
        blown = "the simulation blew up: ";
    if (WIFSIGNALED (self->status))
        snprintf (text, size, "ended by signal %d (%s)%s%s", WTERMSIG (self->status),
                  strsignal (WTERMSIG (self->status)), found[0] ? "; its last words: " : "", found);
    else
        snprintf (text, size, "%s%s", blown, found[0] ? found : "no reason given");
    free (log);
}

double cg_engine_ns_per_day (const struct cg_engine *self)
{
    char *log = read_tail (self, "md.log");
    const char *line = log ? last_of (log, "Performance:") : NULL;
    double v = line ? strtod (line + strlen ("Performance:"), NULL) : 0;
    free (log);
    return v > 0 && v < 1e12 ? v : 0;
}
