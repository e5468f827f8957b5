/* patch_cut.c - see patch_cut.h */
#include "patch_cut.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_RAS 6            /* more in a patch: invalid */
#define MAX_RAS_RAF 4        /* more of both together: invalid */
#define LIPID_ONLY_TRIES 100 /* then the farthest centre found */

const char *const patch_configuration_names[PATCH_CONFIGURATIONS] = { "lipid-only", "ras", "ras-raf", "other", "invalid" };

/* What all patches of a snapshot share. */
struct patch_plan {
    const struct gridsim *s;
    const struct patch_params *params;
    double dx, dy;           /* nm */
    double half;             /* edge_nm / 2 */
    const struct gridsim_protein **ras; /* centres, by rising id */
    size_t nras;
    size_t (*lipid_only)[2]; /* grid points (x, y) of the lipid-only centres */
    size_t count;            /* patches */
};

bool patch_is_raf (const char *state)
{
    return strstr (state, "RAF") != NULL;
}

bool patch_is_ras (const char *state)
{
    return strstr (state, "RAS") != NULL;
}

double patch_periodic (double a, double b, double edge)
{
    double d = a - b;
    if (!(fabs (d) < edge))
        d = fmod (d, edge);
    if (d > edge / 2)
        d -= edge;
    else if (d < -edge / 2)
        d += edge;
    return d;
}

size_t patch_nearest_point (double position, double spacing, size_t n)
{
    double point = nearbyint (position / spacing);
    return point > 0 && point < (double)n ? (size_t)point : 0;
}

void patch_block_mean (const float *native, size_t c, float *coarse)
{
    size_t points = 2 * c - 1, mid = (c - 1) / 2;
    for (size_t y = 0; y < c; y++) {
        size_t y0 = y <= mid ? 2 * y : 2 * y - 1, ny = y == mid ? 1 : 2;
        for (size_t x = 0; x < c; x++) {
            size_t x0 = x <= mid ? 2 * x : 2 * x - 1, nx = x == mid ? 1 : 2;
            for (size_t l = 0; l < GRIDSIM_LIPIDS; l++) {
                double sum = 0;
                for (size_t j = 0; j < ny; j++)
                    for (size_t i = 0; i < nx; i++)
                        sum += (double)native[((y0 + j) * points + x0 + i) * GRIDSIM_LIPIDS + l];
                coarse[(y * c + x) * GRIDSIM_LIPIDS + l] = (float)(sum / (double)(nx * ny));
            }
        }
    }
}

/* ---- where patches are ---- */

static int by_id (const void *a, const void *b)
{
    uint64_t x = (*(const struct gridsim_protein *const *)a)->id, y = (*(const struct gridsim_protein *const *)b)->id;
    return (x > y) - (x < y);
}

static int find_ras (struct patch_plan *c, struct strata_error *error)
{
    c->ras = malloc ((c->s->nproteins + 1) * sizeof (const struct gridsim_protein *));
    if (!c->ras)
        return strata_fail (error, "out of memory for %zu proteins", c->s->nproteins);
    for (size_t i = 0; i < c->s->nproteins; i++)
        if (patch_is_ras (c->s->proteins[i].type))
            c->ras[c->nras++] = &c->s->proteins[i];
    qsort (c->ras, c->nras, sizeof (const struct gridsim_protein *), by_id);
    return 0;
}

/* splitmix64 (Steele, Lea, Flood 2014): the state is a counter, so that any seed is a good one. */
static uint64_t next_random (uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static size_t random_point (uint64_t *state, size_t n)
{
    return (size_t)((double)(next_random (state) >> 11) * 0x1p-53 * (double)n);
}

/* The lesser of the two; its root is only taken where it may be. */
static double lesser (double least, double x, double y)
{
    return x * x + y * y > least * least * (1 + 1e-9) ? least : fmin (least, hypot (x, y));
}

/* Distance of grid point p from the nearest protein or earlier lipid-only centre; infinite when there is neither. */
static double clearance (const struct patch_plan *c, const size_t p[2], size_t earlier)
{
    double least = INFINITY, x = (double)p[0] * c->dx, y = (double)p[1] * c->dy;
    for (size_t i = 0; i < c->s->nproteins; i++)
        least = lesser (least, patch_periodic (c->s->proteins[i].x, x, c->s->lx), patch_periodic (c->s->proteins[i].y, y, c->s->ly));
    for (size_t i = 0; i < earlier; i++)
        least = lesser (least, patch_periodic ((double)c->lipid_only[i][0] * c->dx, x, c->s->lx),
                        patch_periodic ((double)c->lipid_only[i][1] * c->dy, y, c->s->ly));
    return least;
}

/* Grid points drawn at random, each the first of its 100 tries that is far enough, else the farthest of them. */
static int place_lipid_only (struct patch_plan *c, struct strata_error *error)
{
    size_t n = c->params->lipid_only;
    c->lipid_only = calloc (n + 1, sizeof (*c->lipid_only));
    if (!c->lipid_only)
        return strata_fail (error, "out of memory for %zu lipid-only patches", n);
    uint64_t state = c->params->seed;
    state = next_random (&state) ^ c->s->loop;
    for (size_t i = 0; i < n; i++) {
        double farthest = -1;
        for (int try = 0; try < LIPID_ONLY_TRIES && !(farthest > c->params->lipid_only_distance_nm); try++) {
            size_t p[2] = { random_point (&state, c->s->nx), random_point (&state, c->s->ny) };
            double distance = clearance (c, p, i);
            if (distance > farthest) {
                farthest = distance;
                memcpy (c->lipid_only[i], p, sizeof (p));
            }
        }
    }
    return 0;
}

/* ---- one patch ---- */

/* The grid points of a row of the patch lie next to each other in memory up to the edge of the grid; and so do those that are
 * wanted, which are numbered in that order. */
static void cut_native (const struct patch_plan *c, const size_t center[2], float *native)
{
    size_t points = c->params->points, reach = (points - 1) / 2, nx = c->s->nx;
    for (size_t j = 0; j < points; j++) {
        size_t y = (center[1] + c->s->ny + j - reach) % c->s->ny;
        size_t x = (center[0] + nx - reach) % nx;
        for (size_t i = 0; i < points;) {
            size_t n = points - i < nx - x ? points - i : nx - x;
            size_t from = gridsim_place (c->s, y * nx + x);
            memcpy (native + (j * points + i) * GRIDSIM_LIPIDS, c->s->density + from * GRIDSIM_LIPIDS, n * GRIDSIM_LIPIDS * sizeof (float));
            i += n;
            x = 0;
        }
    }
}

static int by_distance (const void *a, const void *b)
{
    const struct patch_protein *p = a, *q = b;
    double dp = hypot (p->position[0], p->position[1]), dq = hypot (q->position[0], q->position[1]);
    if (dp != dq)
        return dp < dq ? -1 : 1;
    return (p->id > q->id) - (p->id < q->id);
}

/* Proteins in the square, the centre's own (NULL: none) first. */
static int find_neighbours (const struct patch_plan *c, const struct gridsim_protein *own, struct patch *p)
{
    size_t room = 0;
    double near = c->half * (1 + 1e-9), far = c->s->lx - near; /* the margin is for rounding */
    for (size_t i = 0; i < c->s->nproteins; i++) {
        const struct gridsim_protein *q = &c->s->proteins[i];
        double apart = fabs (q->x - p->center[0]);
        if (apart > near && apart < far)
            continue; /* nearly all: outside by x alone, also across the boundary */
        double x = patch_periodic (q->x, p->center[0], c->s->lx), y;
        if (!(fabs (x) < c->half) || !(fabs (y = patch_periodic (q->y, p->center[1], c->s->ly)) < c->half))
            continue;
        if (p->nproteins == room) {
            room = room ? 2 * room : 8;
            struct patch_protein *grown = realloc (p->proteins, room * sizeof (*grown));
            if (!grown)
                return -1;
            p->proteins = grown;
        }
        struct patch_protein *to = &p->proteins[p->nproteins++];
        *to = (struct patch_protein){ .id = q->id, .position = { x, y, q->z } };
        memcpy (to->state, q->type, sizeof (to->state));
    }
    if (p->nproteins)
        qsort (p->proteins, p->nproteins, sizeof (*p->proteins), by_distance);
    /* Another protein may stand nearer to the grid point than the RAS whose patch it is. */
    for (size_t i = 0; own && i < p->nproteins; i++)
        if (p->proteins[i].id == own->id) {
            struct patch_protein first = p->proteins[i];
            memmove (p->proteins + 1, p->proteins, i * sizeof (first));
            p->proteins[0] = first;
            break;
        }
    return 0;
}

static bool has_protein (const struct patch *p, uint64_t id)
{
    for (size_t i = 0; i < p->nproteins; i++)
        if (p->proteins[i].id == id)
            return true;
    return false;
}

/* Bonds with both ends in the patch; *half is one with a single end in it, NULL when there is none. */
static int find_complexes (const struct patch_plan *c, struct patch *p, const struct gridsim_bond **half)
{
    *half = NULL;
    for (size_t i = 0; p->nproteins && i < c->s->nbonds; i++) {
        const struct gridsim_bond *b = &c->s->bonds[i];
        bool a_in = has_protein (p, b->a), b_in = has_protein (p, b->b);
        if (a_in != b_in && !*half)
            *half = b;
        if (!a_in || !b_in)
            continue;
        uint64_t (*grown)[2] = realloc (p->complexes, (p->ncomplexes + 1) * sizeof (*grown));
        if (!grown)
            return -1;
        p->complexes = grown;
        p->complexes[p->ncomplexes][0] = b->a;
        p->complexes[p->ncomplexes++][1] = b->b;
    }
    return 0;
}

static void configure (struct patch *p, const struct gridsim_protein *own, const struct gridsim_bond *half)
{
    size_t ras = 0, raf = 0;
    for (size_t i = 0; i < p->nproteins; i++) {
        ras += patch_is_ras (p->proteins[i].state);
        raf += patch_is_raf (p->proteins[i].state);
    }
    p->configuration = PATCH_INVALID;
    if (half)
        snprintf (p->reason,
                  sizeof (p->reason),
                  "the complex of %" PRIu64 " and %" PRIu64 " is only half inside",
                  half->a,
                  half->b);
    else if (ras > MAX_RAS)
        snprintf (p->reason, sizeof (p->reason), "%zu RAS, more than %d", ras, MAX_RAS);
    else if (ras + raf > MAX_RAS_RAF)
        snprintf (p->reason, sizeof (p->reason), "%zu RAS and %zu RAF, together more than %d", ras, raf, MAX_RAS_RAF);
    else if (!own && p->nproteins)
        snprintf (p->reason,
                  sizeof (p->reason),
                  "no room for a lipid-only patch: protein %" PRIu64 " is %.1f nm from its centre",
                  p->proteins[0].id,
                  hypot (p->proteins[0].position[0], p->proteins[0].position[1]));
    else if (!own)
        p->configuration = PATCH_LIPID_ONLY;
    else if (p->nproteins == 1)
        p->configuration = PATCH_RAS;
    else if (p->nproteins == 2 && p->ncomplexes == 1)
        p->configuration = PATCH_RAS_RAF;
    else
        p->configuration = PATCH_OTHER;
}

/* The grid point in the middle of patch number i. */
static void center_of (const struct patch_plan *c, size_t i, size_t center[2])
{
    if (i >= c->nras) {
        memcpy (center, c->lipid_only[i - c->nras], 2 * sizeof (*center));
        return;
    }
    center[0] = patch_nearest_point (c->ras[i]->x, c->dx, c->s->nx);
    center[1] = patch_nearest_point (c->ras[i]->y, c->dy, c->s->ny);
}

/* Patch number i: that of RAS i, or lipid-only i - nras. scratch: one native patch, used when none is kept. */
static int cut_one (const struct patch_plan *c, size_t i, float *scratch, struct patch *p)
{
    const struct gridsim_protein *own = i < c->nras ? c->ras[i] : NULL;
    size_t center[2];
    center_of (c, i, center);
    if (own)
        snprintf (p->id, sizeof (p->id), "%s-%08" PRIu64 "-p%05" PRIu64, c->params->simulation, c->s->loop, own->id);
    else
        snprintf (p->id, sizeof (p->id), "%s-%08" PRIu64 "-l%02zu", c->params->simulation, c->s->loop, i - c->nras);
    snprintf (p->simulation, sizeof (p->simulation), "%s", c->params->simulation);
    p->snapshot = c->s->loop;
    p->time_fs = c->s->time_fs;
    p->center[0] = (double)center[0] * c->dx;
    p->center[1] = (double)center[1] * c->dy;
    p->edge_nm = 2 * c->half;
    p->coarse = c->params->coarse;
    p->points = c->params->points;
    p->concentrations = malloc (p->coarse * p->coarse * GRIDSIM_LIPIDS * sizeof (float));
    if (c->params->keep_native)
        p->native = scratch = malloc (p->points * p->points * GRIDSIM_LIPIDS * sizeof (float));
    if (!p->concentrations || !scratch)
        return -1;
    cut_native (c, center, scratch);
    patch_block_mean (scratch, p->coarse, p->concentrations);
    const struct gridsim_bond *half;
    if (find_neighbours (c, own, p) != 0 || find_complexes (c, p, &half) != 0)
        return -1;
    configure (p, own, half);
    return 0;
}

/* ---- the set ---- */

static int check_params (const struct patch_params *params, struct strata_error *error)
{
    size_t length = strlen (params->simulation);
    if (length == 0 || length > PATCH_SIMULATION_MAX
        || strspn (params->simulation, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+=@-") != length)
        return strata_fail (error,
                            "simulation name '%.60s' is not 1 to %d characters of A-Z a-z 0-9 . _ + = @ -",
                            params->simulation,
                            PATCH_SIMULATION_MAX);
    if (params->coarse % 2 == 0 || params->coarse > params->points || params->points != 2 * params->coarse - 1 || params->points > PATCH_POINTS_MAX)
        return strata_fail (error,
                            "a patch of %u grid points can't be brought to %u: coarse has to be odd and points 2 * coarse - 1, "
                            "at most %d",
                            params->points,
                            params->coarse,
                            PATCH_POINTS_MAX);
    if (!isfinite (params->lipid_only_distance_nm) || params->lipid_only_distance_nm < 0)
        return strata_fail (error, "lipid_only_distance_nm is %g, it has to be 0 or above", params->lipid_only_distance_nm);
    return 0;
}

static int check_grid (const struct patch_plan *c, struct strata_error *error)
{
    const struct gridsim *s = c->s;
    unsigned points = c->params->points;
    if (s->nx < points || s->ny < points)
        return strata_fail (error,
                            "snapshot %" PRIu64 " has %zu x %zu grid points, a patch needs %u x %u; cut smaller patches",
                            s->loop,
                            s->nx,
                            s->ny,
                            points,
                            points);
    if (!(fabs (c->dx / c->dy - 1) < 1e-6))
        return strata_fail (error,
                            "snapshot %" PRIu64 " has a grid spacing of %g nm in x and %g nm in y; patches are square",
                            s->loop,
                            c->dx,
                            c->dy);
    if (c->nras > PATCH_COUNT_MAX || c->params->lipid_only > PATCH_COUNT_MAX - c->nras)
        return strata_fail (error,
                            "snapshot %" PRIu64 " asks for %zu + %u patches, at most %d are cut of one",
                            s->loop,
                            c->nras,
                            c->params->lipid_only,
                            PATCH_COUNT_MAX);
    return 0;
}

/* Each patch into its own place: the order doesn't depend on the threads. Returns -1 when memory ran out. */
static int cut_all (const struct patch_plan *c, struct patch_set *set)
{
    size_t native = (size_t)c->params->points * c->params->points * GRIDSIM_LIPIDS * sizeof (float);
    int failed = 0;
#pragma omp parallel reduction(| : failed) if (set->count > 8)
    {
        float *scratch = malloc (native);
#pragma omp for schedule(dynamic, 4)
        for (size_t i = 0; i < set->count; i++)
            failed |= !scratch || cut_one (c, i, scratch, &set->patches[i]) != 0;
        free (scratch);
    }
    return failed ? -1 : 0;
}

/* Wants the grid points that lie in a patch. */
static int want_patches (struct patch_plan *c, struct gridsim *s, struct strata_error *error)
{
    size_t points = c->params->points, reach = (points - 1) / 2;
    if (gridsim_want_none (s, error) != 0)
        return strata_fail_prefix (error, "snapshot %" PRIu64, s->loop);
    for (size_t i = 0; i < c->count; i++) {
        size_t center[2];
        center_of (c, i, center);
        size_t x = (center[0] + s->nx - reach) % s->nx, n = points < s->nx - x ? points : s->nx - x;
        for (size_t j = 0; j < points; j++) {
            size_t y = (center[1] + s->ny + j - reach) % s->ny;
            gridsim_want (s, x, y, n);
            gridsim_want (s, 0, y, points - n);
        }
    }
    gridsim_want_done (s);
    return 0;
}

/* Where the patches of a snapshot are. The caller frees what is in it, also on failure. */
static int plan (struct patch_plan *c, const struct gridsim *snapshot, const struct patch_params *params, struct strata_error *error)
{
    *c = (struct patch_plan){ .s = snapshot, .params = params };
    if (check_params (params, error) != 0)
        return -1;
    c->dx = snapshot->lx / (double)snapshot->nx;
    c->dy = snapshot->ly / (double)snapshot->ny;
    c->half = (double)(params->points - 1) * c->dx / 2;
    if (find_ras (c, error) != 0 || check_grid (c, error) != 0 || place_lipid_only (c, error) != 0)
        return -1;
    c->count = c->nras + params->lipid_only;
    return 0;
}

static void plan_fini (struct patch_plan *c)
{
    free (c->ras);
    free (c->lipid_only);
}

struct patch_plan *patch_plan_new (struct gridsim *snapshot, const struct patch_params *params, struct strata_error *error)
{
    struct patch_plan *self = malloc (sizeof (*self));
    if (!self) {
        strata_fail (error, "snapshot %" PRIu64 ": out of memory", snapshot->loop);
        return NULL;
    }
    if (plan (self, snapshot, params, error) != 0 || want_patches (self, snapshot, error) != 0)
        patch_plan_free (&self);
    return self;
}

void patch_plan_free (struct patch_plan **self)
{
    if (!*self)
        return;
    plan_fini (*self);
    free (*self);
    *self = NULL;
}

int patch_cut_planned (const struct patch_plan *c, struct patch_set *set, struct strata_error *error)
{
    memset (set, 0, sizeof (*set));
    set->count = c->count;
    set->patches = calloc (set->count + 1, sizeof (*set->patches));
    if (!set->patches || cut_all (c, set) != 0) {
        patch_set_fini (set);
        errno = ENOMEM; /* each thread has its own: the one that failed may be another */
        return strata_fail (error, "snapshot %" PRIu64 ": out of memory for %zu patches", c->s->loop, c->count);
    }
    for (size_t i = 0; i < set->count; i++)
        set->of[set->patches[i].configuration]++;
    return 0;
}

int patch_cut (const struct gridsim *snapshot, const struct patch_params *params, struct patch_set *set,
               struct strata_error *error)
{
    struct patch_plan c;
    memset (set, 0, sizeof (*set));
    int rc = plan (&c, snapshot, params, error);
    if (rc == 0)
        rc = patch_cut_planned (&c, set, error);
    plan_fini (&c);
    return rc;
}

void patch_set_fini (struct patch_set *set)
{
    for (size_t i = 0; set->patches && i < set->count; i++) {
        free (set->patches[i].concentrations);
        free (set->patches[i].native);
        free (set->patches[i].proteins);
        free (set->patches[i].complexes);
    }
    free (set->patches);
    memset (set, 0, sizeof (*set));
}
