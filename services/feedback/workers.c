/* workers.c - see workers.h
 *
 * Each place of the pool has a process, or waits to start one. All of that happens in the callbacks of the pool's own loop, in its
 * thread; what others see is behind the lock.
 */
#include "workers.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "core/log.h"
#include "core/procs.h"

#define WORKER_SETTING "STRATA_WORKER=patterns"
#define PAUSE_MAX_S 30

struct frame {
    struct frame *next;
    uint64_t number;
    size_t size;
    uint8_t *bytes; /* header, line end, what is looked at */
};

struct finished {
    struct finished *next;
    struct workers_result result;
};

enum stage { RESTS, STARTS, READY, WORKS, DIES }; /* RESTS: no process; a timer starts one */

struct worker {
    struct workers *pool;
    enum stage stage;
    uv_process_t process;
    uv_pipe_t input, output;
    uv_timer_t timer; /* of what it is waited for in this stage */
    unsigned open;    /* handles of the process that are not closed yet */
    bool exited;
    unsigned pause_s; /* before the next start; 0: at once */
    struct frame *frame;
    char why[200]; /* it is killed */
    char line[WORKERS_ANSWER_MAX + 1];
    size_t length;
};

struct workers {
    char **argv, **environment;
    unsigned count, frame_ms;
    struct worker *workers; /* [count]; the thread's */
    uv_loop_t loop;
    uv_async_t wake;
    pthread_t thread;
    bool ending; /* the thread's: it has seen ends */

    pthread_mutex_t lock; /* of what follows */
    bool ends;
    struct frame *first, **last;
    struct finished *results, **results_last;
    unsigned ready;
    char trouble[400];
};

extern char **environ;

static void start (struct worker *self);

static void *must (void *memory)
{
    if (!memory) {
        log_error ("out of memory");
        abort ();
    }
    return memory;
}

static void frame_free (struct frame **frame)
{
    if (*frame)
        free ((*frame)->bytes);
    free (*frame);
    *frame = NULL;
}

/* The worker's frame has come to its end. */
static void finish (struct worker *self, bool answered, const char *text)
{
    struct workers *pool = self->pool;
    struct finished *done = must (calloc (1, sizeof (*done)));
    done->result = (struct workers_result){ self->frame->number, answered, must (strdup (text)) };
    frame_free (&self->frame);
    pthread_mutex_lock (&pool->lock);
    *pool->results_last = done;
    pool->results_last = &done->next;
    pthread_mutex_unlock (&pool->lock);
}

static void set_stage (struct worker *self, enum stage stage)
{
    struct workers *pool = self->pool;
    pthread_mutex_lock (&pool->lock);
    pool->ready += (stage == READY || stage == WORKS) - (self->stage == READY || self->stage == WORKS);
    pthread_mutex_unlock (&pool->lock);
    self->stage = stage;
}

/* ---- its end ---- */

static void on_rested (uv_timer_t *timer)
{
    start (timer->data);
}

static void on_closed (uv_handle_t *handle)
{
    struct worker *self = handle->data;
    if (--self->open)
        return;
    set_stage (self, RESTS);
    if (self->pool->ending)
        uv_close ((uv_handle_t *)&self->timer, NULL);
    else if (self->pause_s)
        uv_timer_start (&self->timer, on_rested, self->pause_s * 1000ull, 0);
    else
        start (self);
}

static void close_all (struct worker *self)
{
    uv_timer_stop (&self->timer);
    uv_handle_t *handles[] = { (uv_handle_t *)&self->process, (uv_handle_t *)&self->input, (uv_handle_t *)&self->output };
    for (size_t i = 0; i < 3; i++)
        if (!uv_is_closing (handles[i]))
            uv_close (handles[i], on_closed);
}

static void set_trouble (struct worker *self, const char *why)
{
    struct workers *pool = self->pool;
    pthread_mutex_lock (&pool->lock);
    if (why)
        snprintf (pool->trouble, sizeof (pool->trouble), "worker %.150s: %.200s", pool->argv[0], why);
    else
        pool->trouble[0] = '\0';
    pthread_mutex_unlock (&pool->lock);
    if (!why) {
        self->pause_s = 0;
        return;
    }
    self->pause_s = self->pause_s ? self->pause_s * 2 : 1;
    if (self->pause_s > PAUSE_MAX_S)
        self->pause_s = PAUSE_MAX_S;
    log_warn ("worker %s: %s; it is started again in %u s", pool->argv[0], why, self->pause_s);
}

static void kill_group (struct worker *self)
{
    if (!self->exited)
        kill (-self->process.pid, SIGKILL);
}

/* Its frame, or its start, has failed: the sentence says why. What remains of it is killed, and another one starts. */
static void fail (struct worker *self, const char *fmt, ...) __attribute__ ((format (printf, 2, 3)));
static void fail (struct worker *self, const char *fmt, ...)
{
    va_list list;
    if (self->stage == DIES)
        return;
    bool came = self->stage != STARTS;
    set_stage (self, DIES);
    va_start (list, fmt);
    vsnprintf (self->why, sizeof (self->why), fmt, list);
    va_end (list);
    uv_timer_stop (&self->timer);
    if (self->frame)
        finish (self, false, self->why);
    if (!came)
        set_trouble (self, self->why);
    kill_group (self);
    if (self->exited)
        close_all (self);
}

static void on_exit_ (uv_process_t *process, int64_t status, int signal)
{
    struct worker *self = process->data;
    kill (-process->pid, SIGKILL); /* what it left behind in its group, before the number can be another's */
    self->exited = true;
    if (self->stage == DIES)
        close_all (self);
    else if (signal)
        fail (self, "it was killed by signal %d", signal);
    else
        fail (self, "it ended with exit code %d", (int)status);
}

static void on_late (uv_timer_t *timer)
{
    struct worker *self = timer->data;
    if (self->stage == STARTS)
        fail (self, "it was not ready after %d s", WORKERS_READY_S);
    else
        fail (self, "it took longer than %g s", self->pool->frame_ms / 1000.0);
}

/* ---- work ---- */

static void on_written (uv_write_t *write, int status)
{
    free (write->data); /* the frame's bytes; a reader that is gone shows by its exit */
    free (write);
}

static void give (struct worker *self, struct frame *frame)
{
    uv_write_t *write = must (calloc (1, sizeof (*write)));
    uv_buf_t buffer = uv_buf_init ((char *)frame->bytes, (unsigned)frame->size);
    write->data = frame->bytes;
    frame->bytes = NULL;
    self->frame = frame;
    set_stage (self, WORKS);
    uv_timer_start (&self->timer, on_late, self->pool->frame_ms, 0);
    int rc = uv_write (write, (uv_stream_t *)&self->input, &buffer, 1, on_written);
    if (rc < 0) {
        free (write->data);
        free (write);
        fail (self, "nothing can be written to it: %s", uv_strerror (rc));
    }
}

static void next (struct worker *self)
{
    struct workers *pool = self->pool;
    set_stage (self, READY);
    pthread_mutex_lock (&pool->lock);
    struct frame *frame = pool->first;
    if (frame && !(pool->first = frame->next))
        pool->last = &pool->first;
    pthread_mutex_unlock (&pool->lock);
    if (!frame)
        return;
    frame->next = NULL;
    give (self, frame);
}

/* A whole line has come. */
static void take_line (struct worker *self)
{
    uv_timer_stop (&self->timer);
    if (self->stage == STARTS) {
        if (!strstr (self->line, "\"ready\"")) {
            fail (self, "its first line is not {\"ready\": true} but '%.80s'", self->line);
            return;
        }
        set_trouble (self, NULL);
    } else if (self->stage == WORKS)
        finish (self, true, self->line);
    else {
        fail (self, "it wrote '%.80s' without being asked", self->line);
        return;
    }
    next (self);
}

static void on_room (uv_handle_t *handle, size_t wanted, uv_buf_t *buffer)
{
    struct worker *self = handle->data;
    *buffer = uv_buf_init (self->line + self->length, (unsigned)(WORKERS_ANSWER_MAX - self->length));
}

static void on_output (uv_stream_t *stream, ssize_t got, const uv_buf_t *buffer)
{
    struct worker *self = stream->data;
    if (got == UV_ENOBUFS || (got > 0 && self->length + (size_t)got == WORKERS_ANSWER_MAX && !memchr (self->line, '\n', WORKERS_ANSWER_MAX)))
        fail (self, "its answer has more than %d bytes", WORKERS_ANSWER_MAX - 1);
    if (got < 0 || self->stage == DIES) {
        uv_read_stop (stream); /* an end of output without an exit shows by its time */
        return;
    }
    self->length += (size_t)got;
    for (char *end; self->stage != DIES && (end = memchr (self->line, '\n', self->length));) {
        *end = '\0';
        take_line (self);
        self->length -= (size_t)(end + 1 - self->line);
        memmove (self->line, end + 1, self->length);
    }
}

static void start (struct worker *self)
{
    struct workers *pool = self->pool;
    uv_stdio_container_t stdio[3] = {
        { .flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)&self->input },
        { .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&self->output },
        { .flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO },
    };
    uv_process_options_t options = {
        .file = pool->argv[0],
        .args = pool->argv,
        .env = pool->environment,
        .flags = UV_PROCESS_DETACHED,
        .stdio = stdio,
        .stdio_count = 3,
        .exit_cb = on_exit_,
    };
    self->length = 0;
    self->exited = false;
    set_stage (self, STARTS);
    self->open = 3;
    uv_pipe_init (&pool->loop, &self->input, 0);
    uv_pipe_init (&pool->loop, &self->output, 0);
    self->process.data = self->input.data = self->output.data = self;
    int rc = uv_spawn (&pool->loop, &self->process, &options);
    if (rc < 0) {
        self->exited = true;
        fail (self, "it can't be started: %s", uv_strerror (rc));
        return;
    }
    uv_timer_start (&self->timer, on_late, WORKERS_READY_S * 1000, 0);
    uv_read_start ((uv_stream_t *)&self->output, on_room, on_output);
}

/* ---- the pool ---- */

static char **copy_list (char *const *list, size_t more)
{
    size_t count = 0;
    while (list[count])
        count++;
    char **out = must (calloc (count + more + 1, sizeof (*out)));
    for (size_t i = 0; i < count; i++)
        out[i] = must (strdup (list[i]));
    return out;
}

static void free_list (char **list)
{
    for (char **p = list; p && *p; p++)
        free (*p);
    free (list);
}

/* Frames have come, or it ends. */
static void on_wake (uv_async_t *wake)
{
    struct workers *self = wake->data;
    pthread_mutex_lock (&self->lock);
    self->ending = self->ends;
    pthread_mutex_unlock (&self->lock);
    for (unsigned i = 0; i < self->count; i++) {
        struct worker *w = &self->workers[i];
        if (!self->ending && w->stage == READY)
            next (w);
        else if (self->ending && w->stage == RESTS)
            uv_close ((uv_handle_t *)&w->timer, NULL);
        else if (self->ending)
            fail (w, "the service ends");
    }
    if (self->ending)
        uv_close ((uv_handle_t *)&self->wake, NULL);
}

static void *run (void *arg)
{
    struct workers *self = arg;
    for (unsigned i = 0; i < self->count; i++)
        start (&self->workers[i]);
    uv_run (&self->loop, UV_RUN_DEFAULT);
    return NULL;
}

static void pool_free (struct workers *self)
{
    struct workers_result result;
    uv_loop_close (&self->loop);
    for (struct frame *f = self->first, *after; f; f = after) {
        after = f->next;
        frame_free (&f);
    }
    while (workers_take (self, &result))
        free (result.text);
    pthread_mutex_destroy (&self->lock);
    free_list (self->argv);
    free_list (self->environment);
    free (self->workers);
    free (self);
}

struct workers *workers_new (char *const *argv, const char *workspace, unsigned count, unsigned frame_ms, struct strata_error *error)
{
    char setting[4200];
    if ((size_t)snprintf (setting, sizeof (setting), "STRATA_WORKSPACE=%s", workspace) >= sizeof (setting)) {
        strata_fail (error, "workspace %.200s...: the path is too long", workspace);
        return NULL;
    }
    size_t left = procs_kill_by_environment (WORKER_SETTING, setting, SIGKILL);
    if (left)
        log_warn ("%zu workers that an earlier process left behind were killed", left);
    struct workers *self = must (calloc (1, sizeof (*self)));
    size_t n = 0;
    self->argv = copy_list (argv, 0);
    self->environment = copy_list (environ, 2);
    while (self->environment[n])
        n++;
    self->environment[n++] = must (strdup (WORKER_SETTING));
    self->environment[n] = must (strdup (setting));
    self->count = count;
    self->frame_ms = frame_ms;
    self->last = &self->first;
    self->results_last = &self->results;
    self->workers = must (calloc (count, sizeof (*self->workers)));
    pthread_mutex_init (&self->lock, NULL);
    int rc = uv_loop_init (&self->loop);
    if (rc == 0)
        rc = uv_async_init (&self->loop, &self->wake, on_wake);
    if (rc < 0) {
        strata_fail (error, "no loop for workers: %s", uv_strerror (rc));
        pool_free (self);
        return NULL;
    }
    self->wake.data = self;
    for (unsigned i = 0; i < count; i++) {
        self->workers[i].pool = self;
        uv_timer_init (&self->loop, &self->workers[i].timer);
        self->workers[i].timer.data = &self->workers[i];
    }
    if ((rc = pthread_create (&self->thread, NULL, run, self)) != 0) {
        strata_fail (error, "no thread for workers: %s", strerror (rc));
        self->ends = true;
        on_wake (&self->wake);
        uv_run (&self->loop, UV_RUN_DEFAULT);
        pool_free (self);
        return NULL;
    }
    return self;
}

void workers_free (struct workers **self_p)
{
    struct workers *self = *self_p;
    if (!self)
        return;
    pthread_mutex_lock (&self->lock);
    self->ends = true;
    pthread_mutex_unlock (&self->lock);
    uv_async_send (&self->wake);
    pthread_join (self->thread, NULL);
    pool_free (self);
    *self_p = NULL;
}

void workers_give (struct workers *self, uint64_t number, const char *header, const void *bytes, size_t size)
{
    struct frame *frame = must (calloc (1, sizeof (*frame)));
    size_t line = strlen (header);
    frame->number = number;
    frame->size = line + 1 + size;
    frame->bytes = must (malloc (frame->size));
    memcpy (frame->bytes, header, line + 1);
    frame->bytes[line] = '\n';
    if (size)
        memcpy (frame->bytes + line + 1, bytes, size);
    pthread_mutex_lock (&self->lock);
    *self->last = frame;
    self->last = &frame->next;
    pthread_mutex_unlock (&self->lock);
    uv_async_send (&self->wake);
}

bool workers_take (struct workers *self, struct workers_result *result)
{
    pthread_mutex_lock (&self->lock);
    struct finished *done = self->results;
    if (done && !(self->results = done->next))
        self->results_last = &self->results;
    pthread_mutex_unlock (&self->lock);
    if (!done)
        return false;
    *result = done->result;
    free (done);
    return true;
}

unsigned workers_ready (struct workers *self, char *trouble)
{
    pthread_mutex_lock (&self->lock);
    unsigned ready = self->ready;
    memcpy (trouble, self->trouble, sizeof (self->trouble));
    pthread_mutex_unlock (&self->lock);
    return ready;
}
