/* replay.c - plays the record of a shard's inputs (journal.h) to the service's own code again, and compares.
 *
 * A checkpoint is copied to a scratch folder; the core starts from it, without sockets, and is told what stands in the
 * segments behind it, in their order, with the time as it was. After each turn the digest of its changes and the one of its
 * replies and calls must be the recorded ones; at each later checkpoint, and at the end, every key and value of the store must
 * be. A difference in a turn is looked up in the next of those stores, so that it can be told with its key and both values.
 *
 * Only reads what is in the workspace, whether the service runs or not.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/hash.h"
#include "core/log.h"
#include "mesh/mesh_internal.h"
#include "mesh/recording.h"
#include "mesh/service_internal.h"

#define SEGMENTS_MAX 4096
#define CHANGED_MAX 100000      /* keys of the first turn that differs */
#define SHOWN_BYTES 48

struct segment {
    struct journal_head head;
    FILE *file;                 /* opened at once: a running service throws old ones away */
    char path[4400];
    uint64_t until;             /* the turn that the next one goes on from */
    bool has_store;             /* a checkpoint stands at its begin */
};

struct key {
    void *data;
    size_t size;
};

struct replay {
    struct service *service;
    const struct replay_options *options;
    char dir[4300], scratch[4300];
    struct segment *segments;   /* that the store's last turn goes back to, oldest first */
    size_t count;
    struct journal_cursor cursor;
    uint64_t turn, turns, inputs[JOURNAL_KINDS], bytes;
    uint64_t again;             /* as often the last fact is still to be given */
    struct blob fact;           /* points into the record */
    uint64_t compared, differing_turns;
    uint64_t digest;            /* of the whole store when it was compared last */
    /* the first difference */
    bool differs, in_turn;
    uint64_t differs_turn;
    int64_t differs_us;
    char sentence[512], key[256], was[256], is[256], found_in[512];
    struct key *changed;        /* keys of the turn's batch */
    size_t changed_count;
    double began_s, told_s;
    struct strata_error failed; /* why the scratch store could not be opened */
};

static volatile sig_atomic_t interrupted;

static void on_interrupt (int signum)
{
    interrupted = 1;
}

static double now_s (void)
{
    struct timespec ts;
    clock_gettime (CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static const char *name_of (struct journal_id id, const char *suffix)
{
    static char name[JOURNAL_NAME_MAX];
    return journal_name (id, suffix, name);
}

/* ---- what there is ---- */

static int open_segment (struct replay *self, struct journal_id id, struct segment *segment, struct strata_error *error)
{
    char store[4400];
    struct stat st;
    snprintf (segment->path, sizeof (segment->path), "%s/%s", self->dir, name_of (id, ".inputs"));
    snprintf (store, sizeof (store), "%s/%s", self->dir, name_of (id, ".store"));
    segment->file = fopen (segment->path, "rbe");
    if (!segment->file)
        return strata_fail (error, "%s: %s", segment->path, strerror (errno));
    if (journal_head_read (segment->file, segment->path, &segment->head, error) < 0) {
        fclose (segment->file);
        return -1;
    }
    segment->has_store = stat (store, &st) == 0;
    return 0;
}

/* The segments back from the one that the store's position names. The oldest may be gone: that is no error. */
static int find_segments (struct replay *self, const struct journal_position *position, struct strata_error *error)
{
    struct journal_id id = position->segment;
    uint64_t until = position->turn;
    self->segments = calloc (SEGMENTS_MAX, sizeof (*self->segments));
    if (!self->segments)
        return strata_fail (error, "out of memory");
    while (id.epoch && self->count < SEGMENTS_MAX) {
        struct segment *segment = &self->segments[self->count];
        if (open_segment (self, id, segment, error) < 0) {
            if (self->count == 0)
                return -1;
            break;
        }
        segment->until = until;
        self->count++;
        until = id.turn;
        id = segment->head.previous;
    }
    for (size_t i = 0; i < self->count / 2; i++) {
        struct segment swap = self->segments[i];
        self->segments[i] = self->segments[self->count - 1 - i];
        self->segments[self->count - 1 - i] = swap;
    }
    return 0;
}

/* The index of the segment to begin with. */
static int find_begin (struct replay *self, size_t *begin, struct strata_error *error)
{
    char have[256] = "";
    size_t used = 0;
    for (size_t i = 0; i < self->count; i++) {
        if (!self->segments[i].has_store)
            continue;
        char turn[24];
        snprintf (turn, sizeof (turn), "%" PRIu64, self->segments[i].head.id.turn);
        if (!self->options->from || strcmp (self->options->from, turn) == 0) {
            *begin = i;
            return 0;
        }
        if (used < sizeof (have) - 30)
            used += (size_t)snprintf (have + used, sizeof (have) - used, " %s", turn);
    }
    if (self->options->from)
        return strata_fail (error, "there is no checkpoint at turn %s; there are:%s", self->options->from, used ? have : " none");
    return strata_fail (error, "%s has no checkpoint to begin from", self->dir);
}

/* ---- scratch ---- */

static int copy_file (const char *from, const char *to, struct strata_error *error)
{
    char buffer[1 << 16];
    int in = open (from, O_RDONLY | O_CLOEXEC), out = in < 0 ? -1 : open (to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    ssize_t n = -1;
    while (out >= 0 && (n = read (in, buffer, sizeof (buffer))) > 0 && write (out, buffer, (size_t)n) == n)
        ;
    int saved = errno;
    if (in >= 0)
        close (in);
    if (out >= 0)
        close (out);
    if (n == 0)
        return 0;
    return strata_fail (error, "%s can't be copied to %s: %s", from, to, strerror (saved));
}

static int copy_folder (const char *from, const char *to, struct strata_error *error)
{
    int rc = 0;
    DIR *dir = opendir (from);
    if (!dir || (mkdir (to, 0700) < 0 && errno != EEXIST)) {
        rc = strata_fail (error, "%s can't be copied to %s: %s", from, to, strerror (errno));
        if (dir)
            closedir (dir);
        return rc;
    }
    for (struct dirent *entry; rc == 0 && (entry = readdir (dir));) {
        char source[4700], target[4700];
        if (entry->d_name[0] == '.')
            continue;
        snprintf (source, sizeof (source), "%s/%s", from, entry->d_name);
        snprintf (target, sizeof (target), "%s/%s", to, entry->d_name);
        rc = copy_file (source, target, error);
    }
    closedir (dir);
    return rc;
}

static int make_scratch (struct replay *self, struct strata_error *error)
{
    const char *parent = self->options->scratch ? self->options->scratch : getenv ("TMPDIR");
    snprintf (self->scratch, sizeof (self->scratch), "%s/strata-replay-XXXXXX", parent && parent[0] ? parent : "/tmp");
    if (!mkdtemp (self->scratch)) {
        strata_fail (error, "a scratch folder %s can't be made: %s", self->scratch, strerror (errno));
        self->scratch[0] = '\0';
        return -1;
    }
    return 0;
}

/* ---- differences ---- */

void replay_differs (struct service *service, const char *fmt, ...)
{
    struct replay *self = service->replay;
    va_list ap;
    if (self->differs)
        return;
    va_start (ap, fmt);
    vsnprintf (self->sentence, sizeof (self->sentence), fmt, ap);
    va_end (ap);
    self->differs = true;
    self->differs_turn = self->turn;
    self->differs_us = service->now_us;
}

static void keep_changed (const void *key, size_t key_size, const void *value, size_t value_size, void *arg)
{
    struct replay *self = arg;
    if (self->changed_count == CHANGED_MAX || (key_size && *(const char *)key == '!'))
        return;
    struct key *grown = realloc (self->changed, (self->changed_count + 1) * sizeof (*grown));
    if (!grown)
        return;
    self->changed = grown;
    grown[self->changed_count] = (struct key){ malloc (key_size + 1), key_size };
    if (grown[self->changed_count].data)
        memcpy (grown[self->changed_count++].data, key, key_size);
}

static bool was_changed (const struct replay *self, const void *key, size_t size)
{
    for (size_t i = 0; i < self->changed_count; i++)
        if (self->changed[i].size == size && memcmp (self->changed[i].data, key, size) == 0)
            return true;
    return self->changed_count == 0;
}

/* Printable text of any bytes, shortened. */
static void show (const void *data, size_t size, char out[256])
{
    size_t used = 0;
    for (size_t i = 0; i < size && i < SHOWN_BYTES; i++) {
        unsigned char c = ((const unsigned char *)data)[i];
        used += (size_t)snprintf (out + used, 256 - used, c >= ' ' && c < 127 && c != '\\' ? "%c" : "\\x%02x", c);
    }
    if (size > SHOWN_BYTES)
        snprintf (out + used, 256 - used, "... (%zu bytes)", size);
    else if (size == 0)
        out[0] = '\0';
}

static void show_value (const struct shard_iter *it, char out[256])
{
    if (it)
        show (it->value, it->value_size, out);
    else
        snprintf (out, 256, "(not there)");
}

/* was, is: NULL when that store does not have the key. */
static void found (struct replay *self, const char *where, const struct shard_iter *key, const struct shard_iter *was,
                   const struct shard_iter *is)
{
    show (key->key, key->key_size, self->key);
    show_value (was, self->was);
    show_value (is, self->is);
    snprintf (self->found_in, sizeof (self->found_in), "%s", where);
}

/* The next key that is not the shell's bookkeeping. */
static bool skip (struct shard_iter *it, bool more)
{
    while (more && it->key_size && it->key[0] == '!')
        more = shard_iter_next (it);
    return more;
}

static int order (const struct shard_iter *a, bool a_more, const struct shard_iter *b, bool b_more)
{
    if (!a_more || !b_more)
        return a_more ? -1 : 1;
    size_t n = a->key_size < b->key_size ? a->key_size : b->key_size;
    int c = memcmp (a->key, b->key, n);
    return c ? c : (a->key_size > b->key_size) - (a->key_size < b->key_size);
}

/* Every key and value of two stores; the difference that belongs to the first turn that differed is told, if there is one. */
static void compare_stores (struct replay *self, struct shard *recorded, const char *where)
{
    struct shard_iter was = { NULL, 0, NULL, 0, NULL }, is = was;
    uint64_t differences = 0, digest = 0;
    bool exact = self->key[0] != '\0';
    bool was_more = skip (&was, shard_iter_begin (recorded, &was, "", 0, NULL, 0));
    bool is_more = skip (&is, shard_iter_begin (self->service->shard, &is, "", 0, NULL, 0));
    while (was_more || is_more) {
        int c = order (&was, was_more, &is, is_more);
        bool same = c == 0 && was.value_size == is.value_size && memcmp (was.value, is.value, is.value_size) == 0;
        const struct shard_iter *any = c <= 0 ? &was : &is;
        if (!same && !exact && (self->key[0] == '\0' || was_changed (self, any->key, any->key_size))) {
            exact = was_changed (self, any->key, any->key_size);
            found (self, where, any, c <= 0 ? &was : NULL, c >= 0 ? &is : NULL);
        }
        differences += !same;
        if (c >= 0)
            digest = hash64 (hash64 (digest, is.key, is.key_size), is.value, is.value_size);
        if (c <= 0)
            was_more = skip (&was, shard_iter_next (&was));
        if (c >= 0)
            is_more = skip (&is, shard_iter_next (&is));
    }
    shard_iter_end (&was);
    shard_iter_end (&is);
    self->compared++;
    self->digest = digest;
    if (differences)
        replay_differs (self->service, "%" PRIu64 " keys of %s differ", differences, where);
}

/* A checkpoint in the folder is copied first: the one it is in may be thrown away, and RocksDB may write to it. */
static int compare_checkpoint (struct replay *self, const struct segment *segment, struct strata_error *error)
{
    char from[4400], copy[4400], where[128];
    snprintf (from, sizeof (from), "%s/%s", self->dir, name_of (segment->head.id, ".store"));
    snprintf (copy, sizeof (copy), "%s/compared", self->scratch);
    snprintf (where, sizeof (where), "the checkpoint at turn %" PRIu64, segment->head.id.turn);
    if (copy_folder (from, copy, error) < 0) {
        journal_remove (copy);
        log_warn ("%s: not compared (a running service throws old ones away)", error->text);
        return 0;
    }
    struct shard *recorded = shard_open_readonly (copy, error);
    if (!recorded)
        return -1;
    compare_stores (self, recorded, where);
    shard_close (&recorded);
    journal_remove (copy);
    return 0;
}

/* ---- telling ---- */

void replay_fact (struct service *service, void *fact, size_t size)
{
    struct replay *self = service->replay;
    struct journal_item item;
    size_t at = self->cursor.at;
    int64_t last_us = self->cursor.last_us;
    if (self->again) {
        self->again--;
    } else if (journal_item_read (&self->cursor, &item) != 1
               || (item.kind != JOURNAL_FACT && (item.kind != JOURNAL_FACT_AGAIN || item.a == 0))) {
        self->cursor.at = at;
        self->cursor.last_us = last_us;
        self->fact.size = SIZE_MAX;
    } else {
        self->inputs[JOURNAL_FACT]++;
        if (item.kind == JOURNAL_FACT)
            self->fact = item.parts_count == 1 ? item.parts[0] : (struct blob){ NULL, SIZE_MAX };
        else
            self->again = item.a - 1;
    }
    if (self->fact.size == size) {
        if (size && self->fact.data)
            memcpy (fact, self->fact.data, size);
        return;
    }
    memset (fact, 0, size);
    replay_differs (service, "the code asks for a fact of %zu bytes, which the record does not have there", size);
}

static void start (struct replay *self, const struct journal_item *item)
{
    struct service *service = self->service;
    struct strata_error error;
    if (service->active)
        service_end_core (service);
    /* Nothing of the store is in memory then. */
    uint64_t digest = shard_digest (service->shard);
    shard_close (&service->shard);
    service->shard = shard_open_copy (service->shard_dir, &self->failed);
    if (!service->shard)
        return;
    shard_set_digest (service->shard, digest);
    recording_attach (service);
    if (item->parts_count == 1)
        snprintf (service->replica, sizeof (service->replica), "%.*s", (int)item->parts[0].size, (const char *)item->parts[0].data);
    service->active = service_start_core (service, false, &error) == 0;
    if (!service->active)
        replay_differs (service, "the core does not start: %s", error.text);
}

static void tell (struct replay *self, const struct journal_item *item)
{
    struct service *service = self->service;
    char texts[3][2048];
    service->now_us = item->now_us;
    if (item->kind != JOURNAL_START && !service->active)
        return;
    switch (item->kind) {
    case JOURNAL_START:
        start (self, item);
        break;
    case JOURNAL_TICK:
        if (item->a < service->timers_count)
            service->spec->timers[item->a].tick (service, item->now_us);
        else
            replay_differs (service, "a tick of timer %" PRIu64 " is recorded; there are %zu", item->a, service->timers_count);
        break;
    case JOURNAL_REQUEST:
        replay_request (service, item);
        break;
    case JOURNAL_REPLY:
        replay_reply (service, item);
        break;
    case JOURNAL_PAGE:
        replay_page (service, item);
        break;
    case JOURNAL_RECORD:
        replay_record (service, item);
        break;
    case JOURNAL_CURSOR:
        replay_cursor (service, item);
        break;
    case JOURNAL_EVENT:
        for (size_t i = 0; i < 3; i++)
            snprintf (texts[i], sizeof (texts[i]), "%.*s", i < item->parts_count ? (int)item->parts[i].size : 0,
                      i < item->parts_count ? (const char *)item->parts[i].data : "");
        service_event (service, texts[0], texts[1], "%s", texts[2]);
        break;
    case JOURNAL_SWEEP:
        service_sweep (service);
        break;
    case JOURNAL_DRAIN:
        service->hands_over = item->a;
        if (service->spec->drain)
            service->spec->drain (service, item->now_us);
        break;
    case JOURNAL_FACT:
    case JOURNAL_FACT_AGAIN:
        replay_differs (service, "a fact is recorded that the code did not ask for");
        break;
    case JOURNAL_KINDS:
        break;
    }
    if (self->again)
        replay_differs (service, "a fact is recorded %" PRIu64 " times more than the code asked for it", self->again);
    self->again = 0;
}

/* One committed turn. */
static int play_turn (struct replay *self, const struct journal_record *record, struct strata_error *error)
{
    struct service *service = self->service;
    struct journal_item item;
    int rc;
    self->cursor.record = record;
    self->cursor.at = 0;
    self->cursor.last_us = 0;
    self->turn = record->turn;
    self->fact.size = SIZE_MAX;
    while ((rc = journal_item_read (&self->cursor, &item)) == 1) {
        self->inputs[item.kind]++;
        tell (self, &item);
        if (!service->shard)
            return strata_fail (error, "%s", self->failed.text);
    }
    if (rc < 0)
        return strata_fail (error, "turn %" PRIu64 " of the record can't be read", record->turn);
    shard_settle (service->shard);
    bool state = shard_digest (service->shard) == record->state, outputs = service->outputs == record->outputs;
    if (!state || !outputs) {
        if (!state && self->differing_turns == 0)
            shard_batch_each (service->shard, keep_changed, self);
        replay_differs (service, state ? "its replies and calls are others" : "its changes of the store are others");
        self->differing_turns++;
    }
    announce_fini (service);
    /* What comes next is compared by itself. */
    shard_set_digest (service->shard, record->state);
    service->outputs = record->outputs;
    const struct journal_position mark = { .turn = record->turn };
    journal_position_put (service->shard, &mark);
    self->turns++;
    self->bytes += record->size;
    return shard_commit (service->shard, error);
}

static void progress (struct replay *self, uint64_t last)
{
    double now = now_s ();
    if (now - self->told_s < 1)
        return;
    self->told_s = now;
    fprintf (stderr, "replay of %s: turn %" PRIu64 " of %" PRIu64 ", %.0f MB of inputs\n", self->options->shard, self->turn, last,
             (double)self->bytes / 1e6);
}

static int play_segment (struct replay *self, struct segment *segment, uint64_t last, struct strata_error *error)
{
    int rc = 1;
    while (self->turn < segment->until && !interrupted) {
        struct journal_record record;
        rc = journal_record_read (segment->file, segment->path, &record, error);
        if (rc == 0)
            rc = strata_fail (error, "%s ends at turn %" PRIu64 ", but the store goes on to %" PRIu64, segment->path, self->turn,
                              segment->until);
        if (rc < 0)
            return -1;
        if (record.turn != self->turn + 1)
            rc = strata_fail (error, "%s: turn %" PRIu64 " follows turn %" PRIu64, segment->path, record.turn, self->turn);
        else
            rc = play_turn (self, &record, error);
        free (record.payload);
        if (rc < 0)
            return -1;
        progress (self, last);
    }
    return 0;
}

/* ---- the report ---- */

static json_t *report (const struct replay *self, uint64_t from, uint64_t to)
{
    json_t *inputs = json_object (), *difference = NULL;
    for (int kind = 1; kind < JOURNAL_KINDS; kind++)
        if (self->inputs[kind] && kind != JOURNAL_FACT_AGAIN)
            json_object_set_new (inputs, journal_kind_name ((enum journal_kind)kind), json_integer ((json_int_t)self->inputs[kind]));
    if (self->differs)
        difference = json_pack ("{s:I s:I s:s s:s s:s s:s s:s s:I}", "turn", (json_int_t)self->differs_turn, "time_us",
                                (json_int_t)self->differs_us, "what", self->sentence, "key", self->key, "recorded", self->was,
                                "replayed", self->is, "found_in", self->found_in, "turns", (json_int_t)self->differing_turns);
    char digest[20];
    snprintf (digest, sizeof (digest), "%016" PRIx64, self->digest);
    return json_pack ("{s:s s:b s:I s:I s:I s:I s:o s:I s:s s:f s:o}", "shard", self->options->shard, "identical", !self->differs,
                      "from_turn", (json_int_t)from, "to_turn", (json_int_t)to, "turns", (json_int_t)self->turns, "stores_compared",
                      (json_int_t)self->compared, "inputs", inputs, "input_bytes", (json_int_t)self->bytes, "digest", digest,
                      "seconds", now_s () - self->began_s, "difference", difference ? difference : json_null ());
}

static void print_text (const struct replay *self, uint64_t from, uint64_t to)
{
    printf ("%s: %s\n", self->options->shard, self->differs ? "DIFFERENT" : "identical");
    printf ("  turns %" PRIu64 " to %" PRIu64 ", each digest compared; %" PRIu64 " stores compared key by key; %.1f s\n", from, to,
            self->compared, now_s () - self->began_s);
    printf ("  inputs:");
    for (int kind = 1; kind < JOURNAL_KINDS; kind++)
        if (self->inputs[kind] && kind != JOURNAL_FACT_AGAIN)
            printf (" %" PRIu64 " %s", self->inputs[kind], journal_kind_name ((enum journal_kind)kind));
    printf (", %.1f MB\n  digest of the store: %016" PRIx64 "\n", (double)self->bytes / 1e6, self->digest);
    if (!self->differs)
        return;
    time_t seconds = self->differs_us / 1000000;
    struct tm tm;
    char when[64] = "";
    strftime (when, sizeof (when), "%Y-%m-%d %H:%M:%S UTC", gmtime_r (&seconds, &tm));
    printf ("  first difference: turn %" PRIu64 " (%s): %s; %" PRIu64 " turns differ\n", self->differs_turn, when, self->sentence,
            self->differing_turns);
    if (self->key[0])
        printf ("    key       %s\n    recorded  %s\n    replayed  %s\n    as seen in %s\n", self->key, self->was, self->is,
                self->found_in);
    else
        printf ("    no key differs in the stores compared since: what was different was overwritten\n");
}

/* ---- all of it ---- */

/* Copies the checkpoint to begin with. A running service may throw it away meanwhile: then the next one is. */
static int copy_begin (struct replay *self, size_t *begin, struct strata_error *error)
{
    char from[4400];
    char *to = self->service->shard_dir;
    struct strata_error failed = { "" }, none;
    snprintf (to, sizeof (self->service->shard_dir), "%.4000s/%.100s", self->scratch, self->options->shard);
    while (find_begin (self, begin, failed.text[0] ? &none : error) == 0) {
        struct segment *segment = &self->segments[*begin];
        snprintf (from, sizeof (from), "%s/%s", self->dir, name_of (segment->head.id, ".store"));
        if (copy_folder (from, to, &failed) == 0)
            return 0;
        *error = failed;
        journal_remove (to);
        segment->has_store = false;
    }
    return -1;
}

static int set_up (struct replay *self, const struct segment *segment, struct strata_error *error)
{
    struct service *service = self->service;
    if (!(service->shard = shard_open_copy (service->shard_dir, error)))
        return -1;
    shard_set_digest (service->shard, segment->head.state);
    service->outputs = segment->head.outputs;
    self->turn = segment->head.id.turn;
    service->mesh.name[0] = '\0';
    uv_loop_init (&service->loop);
    const char *dash = strrchr (self->options->shard, '-');
    service->mesh.card.shard = dash ? (uint32_t)strtoul (dash + 1, NULL, 10) : 0;
    for (const struct service_timer *t = service->spec->timers; t && t->every_ms; t++)
        service->timers_count++;
    service->replay = self;
    return 0;
}

static void tear_down (struct replay *self)
{
    struct service *service = self->service;
    if (service->active)
        service_end_core (service);
    shard_close (&service->shard);
    for (size_t i = 0; i < self->count; i++)
        fclose (self->segments[i].file);
    for (size_t i = 0; i < self->changed_count; i++)
        free (self->changed[i].data);
    free (self->changed);
    free (self->segments);
    if (self->scratch[0])
        journal_remove (self->scratch);
    campaign_free (&service->campaign);
    service->replay = NULL;
}

/* 0 played to the end, whatever was found; -1 it can't be. live: the store as it is now. */
static int play (struct replay *self, struct shard *live, const struct journal_position *position, size_t *begin,
                 struct strata_error *error)
{
    char where[256];
    if (find_segments (self, position, error) < 0 || make_scratch (self, error) < 0 || copy_begin (self, begin, error) < 0
        || set_up (self, &self->segments[*begin], error) < 0)
        return -1;
    for (size_t i = *begin; i < self->count && !interrupted; i++) {
        if (i > *begin && self->segments[i].has_store && compare_checkpoint (self, &self->segments[i], error) < 0)
            return -1;
        if (play_segment (self, &self->segments[i], position->turn, error) < 0)
            return -1;
    }
    snprintf (where, sizeof (where), "the store as it was at turn %" PRIu64, position->turn);
    if (!interrupted)
        compare_stores (self, live, where);
    return 0;
}

int replay_main (struct service *service, const struct replay_options *options)
{
    static struct replay replay; /* large; one a process */
    struct replay *self = &replay;
    struct strata_error error = { "" };
    struct journal_position position = { { 0, 0 }, 0, 0, 0, 0, 0 };
    char live_dir[4300];
    size_t begin = 0;
    *self = (struct replay){ .service = service, .options = options, .began_s = now_s (), .told_s = now_s () };
    log_init (options->shard);
    signal (SIGINT, on_interrupt);
    signal (SIGTERM, on_interrupt);
    snprintf (self->dir, sizeof (self->dir), "%s/replay/%s", service->workspace, options->shard);
    snprintf (live_dir, sizeof (live_dir), "%s/shards/%s", service->workspace, options->shard);
    struct shard *live = shard_open_readonly (live_dir, &error);
    int rc = live ? 0 : -1;
    if (rc == 0 && !journal_position_get (live, &position))
        rc = strata_fail (&error, "%s has no record of inputs: the campaign file says replay: {%s: false}, nothing has come in yet, or it comes too fast to be recorded now",
                          options->shard, service->spec->name);
    if (rc == 0)
        rc = play (self, live, &position, &begin, &error);
    if (rc == 0 && !interrupted) {
        uint64_t from = self->segments[begin].head.id.turn;
        if (options->json) {
            json_t *json = report (self, from, self->turn);
            json_dumpf (json, stdout, JSON_INDENT (2));
            printf ("\n");
            json_decref (json);
        } else
            print_text (self, from, self->turn);
        rc = self->differs ? 1 : 0;
    } else {
        if (options->json && rc < 0)
            printf ("{\"error\": \"%s\"}\n", error.text);
        fprintf (stderr, "strata-%s: replay of %s: %s\n", service->spec->name, options->shard, interrupted ? "interrupted" : error.text);
        rc = interrupted ? 130 : 1;
    }
    shard_close (&live);
    tear_down (self);
    return rc;
}
