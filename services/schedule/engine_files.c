/* engine_files.c - see engine.h: the scripts that an engine runs, and the lists that say which attempt is which task.
 *
 * A script's words are quoted for the shell, so that any byte may stand in them. What the order sets in the environment is
 * set by the script, so a person can run one by hand. Cores and GPUs are the engine's to give: what names them is left out.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/files.h"
#include "engine.h"
#include "executor_attempt.h"

/* ---- attempts ---- */

static void put_quoted (FILE *file, const char *text)
{
    putc ('\'', file);
    for (; *text; text++)
        if (*text == '\'')
            fputs ("'\\''", file);
        else
            putc (*text, file);
    putc ('\'', file);
}

static void put_environment (FILE *file, const char *const *settings)
{
    for (size_t i = 0; settings && settings[i]; i++) {
        static const char *const engines[] = { "CUDA_VISIBLE_DEVICES=", "ROCR_VISIBLE_DEVICES=", "STRATA_CORES_" };
        size_t n = strcspn (settings[i], "="), known = 0;
        for (size_t j = 0; j < sizeof (engines) / sizeof (engines[0]); j++)
            known += strncmp (settings[i], engines[j], strlen (engines[j])) == 0;
        if (known)
            continue;
        fprintf (file, "export %.*s=", (int)n, settings[i]);
        put_quoted (file, settings[i][n] ? settings[i] + n + 1 : "");
        putc ('\n', file);
    }
}

int engine_write_script (const struct engine *self, const struct executor_order *order, const char *folder,
                         struct strata_error *error)
{
    char path[PATH_MAX], made[PATH_MAX];
    struct shepherd_command command = { .argv = NULL };
    snprintf (path, sizeof (path), "%s/run.sh", folder);
    snprintf (made, sizeof (made), "%s/run.sh.new", folder);
    if (shepherd_command_init (&command, self->shepherd, order, -1, false) != 0) {
        shepherd_command_fini (&command);
        return strata_fail (error, "out of memory");
    }
    FILE *file = fopen (made, "we");
    if (file) {
        fprintf (file, "#!/bin/sh\n# Attempt %u of job %s, as the engine runs it.\n", order->ref.attempt, order->ref.id);
        put_environment (file, order->environment);
        fputs ("exec", file);
        for (size_t i = 0; command.argv[i]; i++) {
            putc (' ', file);
            put_quoted (file, command.argv[i]);
        }
        fputs (" < /dev/null >> ", file);
        char log[PATH_MAX];
        snprintf (log, sizeof (log), "%s/shepherd.log", folder);
        put_quoted (file, log);
        fputs (" 2>&1\n", file);
    }
    shepherd_command_fini (&command);
    bool bad = !file || ferror (file);
    if (file && fclose (file) != 0)
        bad = true;
    if (bad || rename (made, path) != 0)
        return strata_fail (error, "%s can't be written: %s", path, strerror (errno));
    return 0;
}

/* ---- batches ---- */

static void batch_folder (const struct engine *self, const char *name, char folder[PATH_MAX])
{
    snprintf (folder, PATH_MAX, "%s/%s", self->folder, name);
}

static char *print_tasks (const struct engine_batch *batch, size_t *size)
{
    char *text = NULL;
    FILE *file = open_memstream (&text, size);
    for (size_t i = 0; file && i < batch->count; i++)
        fprintf (file, "%s %u %s\n", batch->tasks[i]->id, batch->tasks[i]->attempt, batch->tasks[i]->folder);
    if (!file || fclose (file) != 0) {
        free (text);
        return NULL;
    }
    return text;
}

/* What every task runs: the script in line <task> + 1 of `tasks`. */
static char *print_script (const struct engine *self, const char *folder, size_t *size)
{
    char *text = NULL;
    FILE *file = open_memstream (&text, size);
    if (!file)
        return NULL;
    fputs ("#!/bin/sh\n# Runs the attempt that is this task of the batch.\ncd ", file);
    put_quoted (file, folder);
    fprintf (file, " || exit 1\nline=$(sed -n \"$((%s + 1))p\" tasks)\n", self->table->task_variable);
    fputs ("exec /bin/sh \"${line#* * }/run.sh\"\n", file);
    if (fclose (file) != 0) {
        free (text);
        return NULL;
    }
    return text;
}

int engine_write_batch (const struct engine *self, const struct engine_batch *batch, struct strata_error *error)
{
    char folder[PATH_MAX];
    size_t tasks_size = 0, script_size = 0;
    batch_folder (self, batch->name, folder);
    if (files_make_dirs (folder, error) != 0)
        return -1;
    char *tasks = print_tasks (batch, &tasks_size), *script = print_script (self, folder, &script_size);
    int dir = open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = -1;
    if (!tasks || !script)
        strata_fail (error, "out of memory");
    else if (dir < 0)
        strata_fail (error, "%s can't be opened: %s", folder, strerror (errno));
    else if (files_write_synced (dir, folder, "tasks", tasks, tasks_size, error) == 0
             && files_write_synced (dir, folder, "batch.sh", script, script_size, error) == 0)
        rc = fsync (dir) == 0 ? 0 : strata_fail (error, "%s can't be synced: %s", folder, strerror (errno));
    if (dir >= 0)
        close (dir);
    free (tasks);
    free (script);
    return rc;
}

int engine_read_batch (const struct engine *self, const char *name,
                       void (*each) (void *arg, size_t task, const char *id, uint32_t attempt, const char *folder), void *arg)
{
    char folder[PATH_MAX], path[PATH_MAX + 8], *line = NULL;
    size_t room = 0, task = 0;
    batch_folder (self, name, folder);
    snprintf (path, sizeof (path), "%s/tasks", folder);
    FILE *file = fopen (path, "re");
    if (!file)
        return -1;
    while (getline (&line, &room, file) > 0) {
        char id[256];
        unsigned attempt;
        int at = 0;
        line[strcspn (line, "\n")] = '\0';
        if (sscanf (line, "%255s %u %n", id, &attempt, &at) == 2 && at > 0)
            each (arg, task, id, attempt, line + at);
        task++;
    }
    free (line);
    fclose (file);
    return 0;
}

void engine_remove_batch (const struct engine *self, const char *name)
{
    char folder[PATH_MAX];
    batch_folder (self, name, folder);
    DIR *dir = opendir (folder);
    for (struct dirent *entry; dir && (entry = readdir (dir));)
        if (entry->d_name[0] != '.')
            unlinkat (dirfd (dir), entry->d_name, 0);
    if (dir)
        closedir (dir);
    rmdir (folder);
}

void engine_clean_batches (const struct engine *self, bool (*keep) (const struct engine *self, const char *name))
{
    DIR *dir = opendir (self->folder);
    for (struct dirent *entry; dir && (entry = readdir (dir));)
        if (strncmp (entry->d_name, "strata-", 7) == 0 && !keep (self, entry->d_name))
            engine_remove_batch (self, entry->d_name);
    if (dir)
        closedir (dir);
}

/* ---- whose jobs they are ---- */

int engine_read_tag (struct engine *self, struct strata_error *error)
{
    char path[PATH_MAX];
    snprintf (path, sizeof (path), "%s/tag", self->folder);
    FILE *file = fopen (path, "re");
    if (file) {
        int n = fscanf (file, "%16[0-9a-f]", self->tag);
        fclose (file);
        if (n == 1 && strlen (self->tag) == 16)
            return 0;
        if (n != EOF) /* empty: we died while it was made */
            return strata_fail (error, "%s must hold 16 hexadecimal digits; restore it, or remove it when no job of this "
                                "campaign is in %s", path, self->table->name);
    }
    else if (errno != ENOENT)
        return strata_fail (error, "%s can't be read: %s", path, strerror (errno));
    uint64_t number;
    if (getrandom (&number, sizeof (number), 0) != (ssize_t)sizeof (number))
        return strata_fail (error, "the kernel gives no random number for %s: %s", path, strerror (errno));
    snprintf (self->tag, sizeof (self->tag), "%016llx", (unsigned long long)number);
    int dir = open (self->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return strata_fail (error, "%s can't be opened: %s", self->folder, strerror (errno));
    int rc = files_write_synced (dir, self->folder, "tag", self->tag, strlen (self->tag), error);
    if (rc == 0 && fsync (dir) != 0)
        rc = strata_fail (error, "%s can't be synced: %s", self->folder, strerror (errno));
    close (dir);
    return rc;
}
