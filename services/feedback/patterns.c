/* patterns.c - see patterns.h */
#include "patterns.h"

#include <ctype.h>
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/log.h"
#include "feedback_impl.h"
#include "store/stream.h"

#define SHAPE "patterns/shape"
#define TOTALS "patterns/totals"
#define REPORT "patterns/report"
#define WAITING "patterns/waiting/"
#define COIL 'C'

enum patterns_total { SEEN_TAKEN, SEEN_FRAMES, SEEN_WAITING, SEEN_REPEATS, SEEN_ASIDE, SEEN_FAILURES, SEEN_REPORTS, SEEN_COUNT };

struct protein {
    uint64_t frames, thought; /* counted; when it was last thought of a report */
};

struct region {
    uint64_t frames, broken, most_frames;
    char most[CAMPAIGN_REGION_MAX + 1], force[CAMPAIGN_REGION_MAX + 1];
};

struct patterns {
    struct shard *shard;
    const struct campaign_patterns *config;
    struct protein *proteins; /* [proteins] */
    struct region *regions;   /* [proteins][regions] */
    uint64_t totals[SEEN_COUNT];
};

static void *must (void *memory)
{
    if (!memory) {
        log_error ("out of memory");
        abort ();
    }
    return memory;
}

/* ---- the store ---- */

static void totals_put (struct patterns *self)
{
    struct shard_key key;
    shard_key (&key, TOTALS);
    feedback_numbers_put (self->shard, &key, self->totals, SEEN_COUNT);
}

static void protein_key (struct shard_key *key, size_t protein)
{
    shard_key (key, "patterns/protein/");
    shard_key_u64 (key, protein);
}

static void protein_put (struct patterns *self, size_t protein)
{
    struct shard_key key;
    protein_key (&key, protein);
    feedback_numbers_put (self->shard, &key, (uint64_t[]){ self->proteins[protein].frames, self->proteins[protein].thought }, 2);
}

static void region_key (struct shard_key *key, size_t protein, size_t region)
{
    shard_key (key, "patterns/region/");
    shard_key_u64 (key, protein);
    shard_key_u64 (key, region);
}

static struct region *region_at (const struct patterns *self, size_t protein, size_t region)
{
    return &self->regions[protein * self->config->regions_count + region];
}

static void region_put (struct patterns *self, size_t protein, size_t region)
{
    const struct region *r = region_at (self, protein, region);
    uint8_t value[4 * 8 + 2 * CAMPAIGN_REGION_MAX];
    uint64_t numbers[4] = { htobe64 (r->frames), htobe64 (r->broken), htobe64 (r->most_frames), htobe64 (strlen (r->most)) };
    size_t most = strlen (r->most), force = strlen (r->force);
    struct shard_key key;
    memcpy (value, numbers, sizeof (numbers));
    memcpy (value + sizeof (numbers), r->most, most);
    memcpy (value + sizeof (numbers) + most, r->force, force);
    region_key (&key, protein, region);
    shard_put (self->shard, key.data, key.size, value, sizeof (numbers) + most + force);
}

static void region_get (struct patterns *self, size_t protein, size_t region)
{
    struct region *r = region_at (self, protein, region);
    struct shard_key key;
    void *value;
    size_t size;
    region_key (&key, protein, region);
    if (!shard_get (self->shard, key.data, key.size, &value, &size))
        return;
    const uint8_t *bytes = value;
    uint64_t most = size >= 32 ? shard_u64 (bytes + 24) : UINT64_MAX;
    if (most > CAMPAIGN_REGION_MAX || size - 32 < most || size - 32 - most > CAMPAIGN_REGION_MAX)
        shard_damaged (self->shard, "the value under patterns/region/ of %zu bytes has a wrong length", size);
    r->frames = shard_u64 (bytes);
    r->broken = shard_u64 (bytes + 8);
    r->most_frames = shard_u64 (bytes + 16);
    memcpy (r->most, bytes + 32, most);
    memcpy (r->force, bytes + 32 + most, size - 32 - most);
    free (value);
}

static void mark_key (struct shard_key *key, const char *simulation, uint64_t frame)
{
    shard_key (key, "patterns/done/%s/", simulation);
    shard_key_u64 (key, frame);
}

static void mark_put (struct patterns *self, const Strata__Structure *structure, enum patterns_mark mark)
{
    struct shard_key key;
    mark_key (&key, structure->simulation, structure->frame);
    feedback_numbers_put (self->shard, &key, (uint64_t[]){ mark, mark == PATTERNS_COUNTED ? self->totals[SEEN_REPORTS] + 1 : 0 }, 2);
}

static void waiting_key (struct shard_key *key, uint64_t number)
{
    shard_key (key, WAITING);
    shard_key_u64 (key, number);
}

static void waiting_put (struct patterns *self, uint64_t number, uint64_t tries, const void *record, size_t size)
{
    struct shard_key key;
    uint8_t *value = must (malloc (8 + size));
    uint64_t stored = htobe64 (tries);
    memcpy (value, &stored, 8);
    if (size)
        memcpy (value + 8, record, size);
    waiting_key (&key, number);
    shard_put (self->shard, key.data, key.size, value, 8 + size);
    free (value);
}

/* ---- opening ---- */

static int shape_check (struct patterns *self, struct strata_error *error)
{
    const struct campaign_patterns *config = self->config;
    char *text = NULL;
    void *stored;
    size_t size = 0, stored_size;
    FILE *out = open_memstream (&text, &size);
    if (!out)
        return strata_fail (error, "out of memory");
    for (unsigned i = 0; i < config->proteins_count; i++)
        fprintf (out, "protein %s\n", config->proteins[i]);
    for (unsigned i = 0; i < config->regions_count; i++) {
        const struct campaign_region *r = &config->regions[i];
        fprintf (out, "region %s %s %u %u coil %s\n", r->name, r->chain, r->first, r->last, r->coil);
    }
    int rc = fclose (out) == 0 ? 0 : strata_fail (error, "out of memory");
    if (rc == 0 && !shard_get (self->shard, SHAPE, strlen (SHAPE), &stored, &stored_size))
        shard_put (self->shard, SHAPE, strlen (SHAPE), text, size);
    else if (rc == 0) {
        if (stored_size != size || memcmp (stored, text, size) != 0)
            rc = strata_fail (error,
                              "store %s holds patterns of other proteins or regions than the campaign file's feedback.patterns; put "
                              "them back, or start a campaign in a new workspace",
                              shard_dir (self->shard));
        free (stored);
    }
    free (text);
    return rc;
}

struct patterns *patterns_new (struct shard *shard, const struct campaign_patterns *config, struct strata_error *error)
{
    struct patterns *self = calloc (1, sizeof (*self));
    struct shard_key key;
    if (self) {
        self->shard = shard;
        self->config = config;
        self->proteins = calloc (config->proteins_count + 1, sizeof (*self->proteins));
        self->regions = calloc ((size_t)config->proteins_count * config->regions_count + 1, sizeof (*self->regions));
    }
    if (!self || !self->proteins || !self->regions) {
        strata_fail (error, "out of memory");
        patterns_free (&self);
        return NULL;
    }
    if (shape_check (self, error) < 0) {
        patterns_free (&self);
        return NULL;
    }
    shard_key (&key, TOTALS);
    feedback_numbers_get (shard, &key, self->totals, SEEN_COUNT);
    for (size_t p = 0; p < config->proteins_count; p++) {
        uint64_t numbers[2] = { 0, 0 };
        protein_key (&key, p);
        feedback_numbers_get (shard, &key, numbers, 2);
        self->proteins[p] = (struct protein){ numbers[0], numbers[1] };
        for (size_t r = 0; r < config->regions_count; r++)
            region_get (self, p, r);
    }
    return self;
}

void patterns_free (struct patterns **self_p)
{
    struct patterns *self = *self_p;
    if (!self)
        return;
    free (self->proteins);
    free (self->regions);
    free (self);
    *self_p = NULL;
}

/* ---- frames come in ---- */

static int protein_of (const struct patterns *self, const char *name)
{
    for (unsigned i = 0; i < self->config->proteins_count; i++)
        if (strcmp (self->config->proteins[i], name) == 0)
            return (int)i;
    return -1;
}

static enum feedback_outcome aside (struct patterns *self)
{
    self->totals[SEEN_ASIDE]++;
    totals_put (self);
    return FEEDBACK_ASIDE;
}

enum feedback_outcome patterns_take_broken (struct patterns *self, const char *producer, struct strata_error *why)
{
    strata_fail (why, "a record of %.64s is no structure", producer);
    return aside (self);
}

enum feedback_outcome patterns_take (struct patterns *self, const Strata__Structure *structure, const void *record, size_t size,
                                     struct strata_error *why)
{
    struct shard_key mark;
    if (!producer_name_valid (structure->simulation)) {
        strata_fail (why, "a structure names a simulation that can't be one");
        return aside (self);
    }
    mark_key (&mark, structure->simulation, structure->frame);
    if (shard_has (self->shard, mark.data, mark.size)) {
        self->totals[SEEN_REPEATS]++;
        totals_put (self);
        return FEEDBACK_REPEAT;
    }
    if (protein_of (self, structure->protein) < 0) {
        strata_fail (why, "frame %" PRIu64 " of %s is of a protein that feedback.patterns.proteins does not list", structure->frame,
                     structure->simulation);
        mark_put (self, structure, PATTERNS_ASIDE);
        return aside (self);
    }
    if (self->totals[SEEN_WAITING] >= (uint64_t)self->config->workers * PATTERNS_WAITING)
        return FEEDBACK_LATER;
    self->totals[SEEN_TAKEN]++;
    self->totals[SEEN_WAITING]++;
    waiting_put (self, self->totals[SEEN_TAKEN], 0, record, size);
    mark_put (self, structure, PATTERNS_WAITS);
    totals_put (self);
    return FEEDBACK_ADDED;
}

uint64_t patterns_waiting (struct patterns *self, uint64_t after, void **record, size_t *size)
{
    struct shard_iter it;
    struct shard_key start;
    uint64_t number = 0;
    waiting_key (&start, after + 1);
    if (shard_iter_begin (self->shard, &it, WAITING, strlen (WAITING), start.data, start.size)
        && it.key_size == strlen (WAITING) + 8 && it.value_size >= 8) {
        number = shard_u64 (it.key + strlen (WAITING));
        *size = it.value_size - 8;
        *record = must (malloc (*size + 1));
        memcpy (*record, it.value + 8, *size);
    }
    shard_iter_end (&it);
    return number;
}

/* The waiting frame of that number; NULL when none waits under it. */
static Strata__Structure *waiting_get (struct patterns *self, uint64_t number, uint64_t *tries, void **value, size_t *size)
{
    struct shard_key key;
    waiting_key (&key, number);
    if (!shard_get (self->shard, key.data, key.size, value, size))
        return NULL;
    Strata__Structure *structure = *size >= 8 ? strata__structure__unpack (NULL, *size - 8, (uint8_t *)*value + 8) : NULL;
    if (!structure)
        shard_damaged (self->shard, "the value under " WAITING " %" PRIu64 " is no structure", number);
    *tries = shard_u64 (*value);
    return structure;
}

/* The frame waits no more. */
static void waiting_end (struct patterns *self, uint64_t number, const Strata__Structure *structure, enum patterns_mark mark)
{
    struct shard_key key;
    waiting_key (&key, number);
    shard_delete (self->shard, key.data, key.size);
    mark_put (self, structure, mark);
    self->totals[SEEN_WAITING]--;
    self->totals[mark == PATTERNS_COUNTED ? SEEN_FRAMES : SEEN_ASIDE]++;
    totals_put (self);
}

/* ---- answers ---- */

/* Letters of one chain, checked: NULL when the answer has no such chain, or none that can be read. */
static const char *chain_letters (json_t *answer, const char *chain, json_int_t *first)
{
    json_t *found = json_object_get (json_object_get (answer, "chains"), chain);
    const char *letters = json_string_value (json_object_get (found, "letters"));
    json_t *number = json_object_get (found, "first");
    *first = json_integer_value (number);
    if (!letters || !json_is_integer (number) || *first < -1000000 || *first > 1000000)
        return NULL;
    for (const char *p = letters; *p; p++)
        if (!isalnum ((unsigned char)*p) && *p != '-' && *p != '?')
            return NULL;
    return letters;
}

/* The region's pattern in the answer; false when the chain is not there, or a residue of the region is not. */
static bool pattern_of (const struct campaign_region *region, json_t *answer, char pattern[CAMPAIGN_REGION_MAX + 1])
{
    json_int_t first;
    const char *letters = chain_letters (answer, region->chain, &first);
    unsigned count = region->last - region->first + 1;
    json_int_t from = (json_int_t)region->first - first;
    if (!letters || from < 0 || from + count > (json_int_t)strlen (letters) || count > CAMPAIGN_REGION_MAX)
        return false;
    for (unsigned i = 0; i < count; i++) {
        char letter = letters[from + i];
        if (letter == '?')
            return false;
        pattern[i] = letter == '-' || strchr (region->coil, letter) ? COIL : letter;
    }
    pattern[count] = '\0';
    return true;
}

static void count_pattern (struct patterns *self, size_t protein, size_t region, const char *pattern, const Strata__Structure *structure)
{
    struct region *r = region_at (self, protein, region);
    struct shard_key key;
    void *value = NULL;
    size_t size = 0;
    uint64_t frames = 0;
    shard_key (&key, "patterns/count/%s/%s/%s", self->config->proteins[protein], self->config->regions[region].name, pattern);
    if (!shard_get (self->shard, key.data, key.size, &value, &size)) {
        size = 16 + strlen (structure->simulation);
        value = must (malloc (size));
        uint64_t frame = htobe64 (structure->frame);
        memcpy ((uint8_t *)value + 8, &frame, 8);
        memcpy ((uint8_t *)value + 16, structure->simulation, size - 16);
    } else if (size < 16)
        shard_damaged (self->shard, "the value under patterns/count/ of %zu bytes is too short", size);
    else
        frames = shard_u64 (value);
    uint64_t stored = htobe64 (++frames);
    memcpy (value, &stored, 8);
    shard_put (self->shard, key.data, key.size, value, size);
    free (value);
    r->frames++;
    if (frames > r->most_frames || (frames == r->most_frames && strcmp (pattern, r->most) < 0)) {
        r->most_frames = frames;
        snprintf (r->most, sizeof (r->most), "%s", pattern);
    }
}

static void count_answer (struct patterns *self, const Strata__Structure *structure, json_t *answer)
{
    size_t protein = (size_t)protein_of (self, structure->protein);
    char pattern[CAMPAIGN_REGION_MAX + 1];
    for (size_t i = 0; i < self->config->regions_count; i++) {
        if (pattern_of (&self->config->regions[i], answer, pattern))
            count_pattern (self, protein, i, pattern, structure);
        else
            region_at (self, protein, i)->broken++;
        region_put (self, protein, i);
    }
    self->proteins[protein].frames++;
    protein_put (self, protein);
}

enum feedback_outcome patterns_answered (struct patterns *self, uint64_t number, const char *text, char *simulation,
                                         struct strata_error *why)
{
    uint64_t tries;
    void *value;
    size_t size;
    Strata__Structure *structure = waiting_get (self, number, &tries, &value, &size);
    if (!structure)
        return FEEDBACK_REPEAT;
    json_error_t where;
    json_t *answer = json_loads (text, 0, &where);
    const char *refusal = json_string_value (json_object_get (answer, "error"));
    enum feedback_outcome outcome = FEEDBACK_ADDED;
    snprintf (simulation, PRODUCER_NAME_MAX + 1, "%s", structure->simulation);
    if (refusal || !json_is_object (json_object_get (answer, "chains"))) {
        strata_fail (why, "frame %" PRIu64 ": %s%.300s", structure->frame, refusal ? "" : "the worker's answer has no chains: ",
                     refusal ? refusal : text);
        waiting_end (self, number, structure, PATTERNS_ASIDE);
        outcome = FEEDBACK_ASIDE;
    } else {
        count_answer (self, structure, answer);
        waiting_end (self, number, structure, PATTERNS_COUNTED);
    }
    json_decref (answer);
    free (value);
    strata__structure__free_unpacked (structure, NULL);
    return outcome;
}

enum feedback_outcome patterns_failed (struct patterns *self, uint64_t number, const char *reason, char *simulation,
                                       struct strata_error *why)
{
    uint64_t tries;
    void *value;
    size_t size;
    Strata__Structure *structure = waiting_get (self, number, &tries, &value, &size);
    if (!structure)
        return FEEDBACK_REPEAT;
    enum feedback_outcome outcome = FEEDBACK_LATER;
    self->totals[SEEN_FAILURES]++;
    snprintf (simulation, PRODUCER_NAME_MAX + 1, "%s", structure->simulation);
    strata_fail (why, "frame %" PRIu64 ": worker %" PRIu64 " of %u: %.300s", structure->frame, tries + 1, self->config->tries, reason);
    if (tries + 1 >= self->config->tries) {
        waiting_end (self, number, structure, PATTERNS_ASIDE);
        outcome = FEEDBACK_ASIDE;
    } else {
        waiting_put (self, number, tries + 1, (uint8_t *)value + 8, size - 8);
        totals_put (self);
    }
    free (value);
    strata__structure__free_unpacked (structure, NULL);
    return outcome;
}

/* ---- reports ---- */

bool patterns_due (const struct patterns *self)
{
    for (size_t p = 0; p < self->config->proteins_count; p++)
        if (self->proteins[p].frames - self->proteins[p].thought < self->config->frames)
            return false;
    return true;
}

/* The frame that was the first with that pattern. */
static void first_frame (struct patterns *self, size_t protein, size_t region, const char *pattern, json_t *out)
{
    struct shard_key key;
    void *value;
    size_t size;
    shard_key (&key, "patterns/count/%s/%s/%s", self->config->proteins[protein], self->config->regions[region].name, pattern);
    if (!shard_get (self->shard, key.data, key.size, &value, &size))
        return;
    if (size >= 16) {
        json_object_set_new (out, "frame", json_integer ((json_int_t)shard_u64 ((uint8_t *)value + 8)));
        json_object_set_new (out, "simulation", json_stringn ((char *)value + 16, size - 16));
    }
    free (value);
}

static json_t *region_report (struct patterns *self, size_t protein, size_t region, bool changed)
{
    const struct campaign_region *config = &self->config->regions[region];
    const struct region *r = region_at (self, protein, region);
    json_t *out = must (json_object ());
    json_object_set_new (out, "chain", json_string (config->chain));
    json_object_set_new (out, "first", json_integer (config->first));
    json_object_set_new (out, "last", json_integer (config->last));
    json_object_set_new (out, "frames", json_integer ((json_int_t)r->frames));
    json_object_set_new (out, "not_whole", json_integer ((json_int_t)r->broken));
    json_object_set_new (out, "most_common", json_string (r->most));
    json_object_set_new (out, "share", json_real (r->frames ? (double)r->most_frames / (double)r->frames : 0));
    json_object_set_new (out, "in_force", *r->force ? json_string (r->force) : json_null ());
    json_object_set_new (out, "changed", json_boolean (changed));
    if (*r->force)
        first_frame (self, protein, region, r->force, out);
    return out;
}

static void report_put (struct patterns *self, const bool *changed, int64_t now_us)
{
    json_t *root = must (json_object ()), *proteins = must (json_object ());
    char created[40] = "";
    time_t seconds = (time_t)(now_us / 1000000);
    struct tm tm;
    if (gmtime_r (&seconds, &tm))
        strftime (created, sizeof (created), "%Y-%m-%dT%H:%M:%SZ", &tm);
    for (size_t p = 0; p < self->config->proteins_count; p++) {
        json_t *protein = must (json_object ()), *regions = must (json_object ());
        for (size_t r = 0; r < self->config->regions_count; r++)
            json_object_set_new (regions, self->config->regions[r].name,
                                 region_report (self, p, r, changed[p * self->config->regions_count + r]));
        json_object_set_new (protein, "frames", json_integer ((json_int_t)self->proteins[p].frames));
        json_object_set_new (protein, "regions", regions);
        json_object_set_new (proteins, self->config->proteins[p], protein);
    }
    json_object_set_new (root, "round", json_integer ((json_int_t)self->totals[SEEN_REPORTS]));
    json_object_set_new (root, "frames", json_integer ((json_int_t)self->totals[SEEN_FRAMES]));
    json_object_set_new (root, "created", json_string (created));
    json_object_set_new (root, "proteins", proteins);
    char *text = must (json_dumps (root, JSON_INDENT (2) | JSON_REAL_PRECISION (12)));
    shard_put (self->shard, REPORT, strlen (REPORT), text, strlen (text));
    free (text);
    json_decref (root);
}

bool patterns_decide (struct patterns *self, int64_t now_us)
{
    size_t regions = self->config->regions_count, count = self->config->proteins_count * regions;
    bool *changed = must (calloc (count + 1, sizeof (*changed))), any = false;
    for (size_t i = 0; i < count; i++) {
        struct region *r = &self->regions[i];
        if (!r->frames || strcmp (r->most, r->force) == 0
            || (double)r->most_frames <= self->config->regions[i % regions].share * (double)r->frames)
            continue;
        snprintf (r->force, sizeof (r->force), "%s", r->most);
        region_put (self, i / regions, i % regions);
        any = changed[i] = true;
    }
    for (size_t p = 0; p < self->config->proteins_count; p++) {
        self->proteins[p].thought = self->proteins[p].frames;
        protein_put (self, p);
    }
    if (any) {
        self->totals[SEEN_REPORTS]++;
        report_put (self, changed, now_us);
        totals_put (self);
    }
    free (changed);
    return any;
}

uint64_t patterns_report (struct patterns *self, char **text, size_t *size)
{
    void *value;
    if (!self->totals[SEEN_REPORTS] || !shard_get (self->shard, REPORT, strlen (REPORT), &value, size))
        return 0;
    *text = value;
    return self->totals[SEEN_REPORTS];
}

void patterns_go_on (struct patterns *self, uint64_t round)
{
    self->totals[SEEN_REPORTS] = round;
    totals_put (self);
}

void patterns_figures (const struct patterns *self, struct patterns_figures *figures)
{
    *figures = (struct patterns_figures){
        .frames = self->totals[SEEN_FRAMES],
        .waiting = self->totals[SEEN_WAITING],
        .repeats = self->totals[SEEN_REPEATS],
        .aside = self->totals[SEEN_ASIDE],
        .failures = self->totals[SEEN_FAILURES],
        .reports = self->totals[SEEN_REPORTS],
    };
}
