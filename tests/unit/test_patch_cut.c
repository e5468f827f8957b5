/* test_patch_cut.c - patches against the rules of the paper: every cut compared with one made point by point here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../services/patch/patch_cut.h"
#include "../../services/patch/patch_npz.h"
#include "../../services/patch/patch_read.h"
#include "scratch.h"
#include "strata_npz.h"

#define SPACING (1000.0 / 2400)

static const struct patch_params usual = {
    .simulation = "sim1", .points = 73, .coarse = 37, .lipid_only = 0, .lipid_only_distance_nm = 50, .seed = 2026,
};

/* nx x ny points, each density another number; no proteins, room for `room`. */
static struct gridsim make_grid (size_t nx, size_t ny, size_t room)
{
    struct gridsim s = { .nx = nx, .ny = ny, .lx = (double)nx * SPACING, .ly = (double)ny * SPACING, .time_fs = 5e8, .loop = 1234 };
    size_t n = nx * ny * GRIDSIM_LIPIDS;
    s.density = malloc (n * sizeof (float));
    for (size_t i = 0; i < n; i++)
        s.density[i] = (float)((i * 2654435761u) % 1000003) / 1000;
    s.proteins = calloc (room + 1, sizeof (*s.proteins));
    s.bonds = calloc (room + 1, sizeof (*s.bonds));
    return s;
}

static void add (struct gridsim *s, uint64_t id, const char *type, double x, double y)
{
    struct gridsim_protein *p = &s->proteins[s->nproteins++];
    *p = (struct gridsim_protein){ .id = id, .x = x, .y = y, .z = 0.25 };
    assert_true (gridsim_state_index (type) >= 0);
    snprintf (p->type, sizeof (p->type), "%s", type);
}

static void bond (struct gridsim *s, uint64_t a, uint64_t b)
{
    s->bonds[s->nbonds++] = (struct gridsim_bond){ .a = a, .b = b, .length = 1 };
}

static struct patch_set cut (const struct gridsim *s, const struct patch_params *params)
{
    struct strata_error error;
    struct patch_set set;
    if (patch_cut (s, params, &set, &error) != 0)
        fail_msg ("%s", error.text);
    size_t sum = 0;
    for (int i = 0; i < PATCH_CONFIGURATIONS; i++)
        sum += set.of[i];
    assert_int_equal (sum, set.count);
    return set;
}

static size_t wrap (long i, size_t n)
{
    return (size_t)(((i % (long)n) + (long)n) % (long)n);
}

/* Native points and block means one by one, from the snapshot itself. */
static void assert_cut_as_by_hand (const struct gridsim *s, const struct patch *p)
{
    long cx = lround (p->center[0] / SPACING), cy = lround (p->center[1] / SPACING);
    long coarse = (long)p->coarse, mid = (coarse - 1) / 2, reach = (long)(p->points - 1) / 2;
    for (long y = 0; y < (long)p->points; y++)
        for (long x = 0; x < (long)p->points; x++)
            for (size_t l = 0; l < GRIDSIM_LIPIDS; l++) {
                size_t from = (wrap (cy + y - reach, s->ny) * s->nx + wrap (cx + x - reach, s->nx)) * GRIDSIM_LIPIDS + l;
                assert_true (p->native[((size_t)y * p->points + (size_t)x) * GRIDSIM_LIPIDS + l] == s->density[from]);
            }
    for (long by = -mid; by <= mid; by++)
        for (long bx = -mid; bx <= mid; bx++)
            for (size_t l = 0; l < GRIDSIM_LIPIDS; l++) {
                /* Block b covers the points 2b - 1 and 2b away from the centre when b > 0, 2b and 2b + 1 when b < 0. */
                double sum = 0;
                int n = 0;
                for (long y = -reach; y <= reach; y++)
                    for (long x = -reach; x <= reach; x++) {
                        long of_y = y > 0 ? (y + 1) / 2 : y < 0 ? (y - 1) / 2 : 0;
                        long of_x = x > 0 ? (x + 1) / 2 : x < 0 ? (x - 1) / 2 : 0;
                        if (of_y != by || of_x != bx)
                            continue;
                        sum += s->density[(wrap (cy + y, s->ny) * s->nx + wrap (cx + x, s->nx)) * GRIDSIM_LIPIDS + l];
                        n++;
                    }
                assert_int_equal (n, (by ? 2 : 1) * (bx ? 2 : 1));
                double have = p->concentrations[((size_t)(by + mid) * p->coarse + (size_t)(bx + mid)) * GRIDSIM_LIPIDS + l];
                assert_true (fabs (have - sum / n) <= 1e-6 * sum / n);
            }
}

static void patches_at_corners_and_edges_wrap_around_the_membrane (void **state)
{
    /* grid points of the centre, and how far off them the protein stands, in spacings */
    static const struct {
        double x, y;
        long px, py;
    } cases[] = {
        { 0, 0, 0, 0 },         { 99.49, 79.49, 99, 79 }, { 99.51, 79.51, 0, 0 }, { 0.49, 79.9, 0, 0 },
        { 3.51, 40.2, 4, 40 },  { 50, 77, 50, 77 },       { 98.6, 0.4, 99, 0 },   { 49.52, 48.48, 50, 48 },
    };
    struct patch_params params = usual;
    params.points = 21;
    params.coarse = 11;
    params.keep_native = true;
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++) {
        struct gridsim s = make_grid (100, 80, 1);
        add (&s, 1, "RASa", cases[i].x * SPACING, cases[i].y * SPACING);
        struct patch_set set = cut (&s, &params);
        assert_int_equal (set.count, 1);
        const struct patch *p = &set.patches[0];
        assert_int_equal (lround (p->center[0] / SPACING), cases[i].px);
        assert_int_equal (lround (p->center[1] / SPACING), cases[i].py);
        assert_cut_as_by_hand (&s, p);
        assert_int_equal (p->nproteins, 1);
        assert_true (fabs (p->proteins[0].position[0]) <= 0.5001 * SPACING);
        assert_true (fabs (p->proteins[0].position[1]) <= 0.5001 * SPACING);
        patch_set_fini (&set);
        gridsim_fini (&s);
    }
}

static void a_patch_of_73_points_spans_30_nm_and_is_brought_to_37 (void **state)
{
    struct gridsim s = make_grid (80, 73, 1);
    struct patch_params params = usual;
    params.keep_native = true;
    add (&s, 42, "RASc", 5, 29);
    struct patch_set set = cut (&s, &params);
    const struct patch *p = &set.patches[0];
    assert_string_equal (p->id, "sim1-00001234-p00042");
    assert_string_equal (p->simulation, "sim1");
    assert_int_equal (p->snapshot, 1234);
    assert_true (p->time_fs == 5e8);
    assert_true (fabs (p->edge_nm - 30) < 1e-12);
    assert_int_equal (p->coarse * p->coarse * GRIDSIM_LIPIDS * sizeof (float), 76664);
    assert_cut_as_by_hand (&s, p);
    patch_set_fini (&set);
    gridsim_fini (&s);
}

static void the_block_mean_keeps_a_linear_field_and_the_centre_point (void **state)
{
    static const size_t edges[] = { 1, 3, 5, 37 };
    for (size_t e = 0; e < sizeof (edges) / sizeof (edges[0]); e++) {
        size_t c = edges[e], n = 2 * c - 1;
        float *native = malloc (n * n * GRIDSIM_LIPIDS * sizeof (float));
        float *coarse = malloc (c * c * GRIDSIM_LIPIDS * sizeof (float));
        for (size_t y = 0; y < n; y++)
            for (size_t x = 0; x < n; x++)
                for (size_t l = 0; l < GRIDSIM_LIPIDS; l++)
                    native[(y * n + x) * GRIDSIM_LIPIDS + l] = (float)(3 * y + 7 * x + 100 * l);
        patch_block_mean (native, c, coarse);
        for (size_t y = 0; y < c; y++)
            for (size_t x = 0; x < c; x++)
                for (size_t l = 0; l < GRIDSIM_LIPIDS; l++) {
                    size_t mid = (c - 1) / 2;
                    /* a block's middle: 2i + 0.5 before the centre point, 2i after it by half a point less */
                    double my = 2 * (double)y + (y < mid ? 0.5 : y == mid ? 0 : -0.5);
                    double mx = 2 * (double)x + (x < mid ? 0.5 : x == mid ? 0 : -0.5);
                    assert_true (coarse[(y * c + x) * GRIDSIM_LIPIDS + l] == (float)(3 * my + 7 * mx + 100.0 * (double)l));
                }
        free (native);
        free (coarse);
    }
}

static void neighbours_are_those_of_a_search_through_every_image_sorted_by_distance (void **state)
{
    struct gridsim s = make_grid (120, 200, 80);
    srand (7);
    for (uint64_t i = 0; i < 80; i++)
        add (&s,
             500 - 3 * i,
             i % 3 ? "RASb" : "mRAFa",
             s.lx * (rand () / (RAND_MAX + 1.0)),
             i < 10 ? s.ly - 0.01 : s.ly * (rand () / (RAND_MAX + 1.0)));
    struct patch_set set = cut (&s, &usual);
    assert_int_equal (set.count, 53);
    for (size_t i = 0; i < set.count; i++) {
        const struct patch *p = &set.patches[i];
        size_t inside = 0;
        if (i > 0)
            assert_true (p->proteins[0].id > set.patches[i - 1].proteins[0].id);
        for (size_t k = 0; k < s.nproteins; k++)
            for (int ix = -2; ix <= 2; ix++)
                for (int iy = -2; iy <= 2; iy++) {
                    double x = s.proteins[k].x + ix * s.lx - p->center[0], y = s.proteins[k].y + iy * s.ly - p->center[1];
                    if (!(fabs (x) < 15 && fabs (y) < 15))
                        continue;
                    inside++;
                    size_t at = 0;
                    while (at < p->nproteins && p->proteins[at].id != s.proteins[k].id)
                        at++;
                    assert_true (at < p->nproteins);
                    assert_true (fabs (p->proteins[at].position[0] - x) < 1e-9);
                    assert_true (fabs (p->proteins[at].position[1] - y) < 1e-9);
                    assert_true (p->proteins[at].position[2] == 0.25);
                    assert_string_equal (p->proteins[at].state, s.proteins[k].type);
                }
        assert_int_equal (inside, p->nproteins);
        for (size_t k = 2; k < p->nproteins; k++)
            assert_true (hypot (p->proteins[k - 1].position[0], p->proteins[k - 1].position[1])
                         <= hypot (p->proteins[k].position[0], p->proteins[k].position[1]));
        char own[64];
        snprintf (own, sizeof (own), "sim1-00001234-p%05" PRIu64, p->proteins[0].id);
        assert_string_equal (p->id, own);
    }
    patch_set_fini (&set);
    gridsim_fini (&s);
}

static void the_centre_comes_first_even_when_another_protein_is_nearer (void **state)
{
    struct gridsim s = make_grid (100, 100, 3);
    add (&s, 9, "mRAFa", 20 * SPACING, 20 * SPACING);
    add (&s, 5, "mRASa", 20.4 * SPACING, 20.4 * SPACING);
    add (&s, 7, "RASa", 22 * SPACING, 20 * SPACING);
    bond (&s, 5, 9);
    struct patch_set set = cut (&s, &usual);
    assert_int_equal (set.count, 2);
    static const uint64_t order[2][3] = { { 5, 9, 7 }, { 7, 5, 9 } };
    for (size_t i = 0; i < 2; i++)
        for (size_t k = 0; k < 3; k++)
            assert_int_equal (set.patches[i].proteins[k].id, order[i][k]);
    patch_set_fini (&set);
    gridsim_fini (&s);
}

/* Proteins by offset in nm from (30, 30) in a 62.5 nm membrane; the first is the RAS whose patch is looked at. */
struct placed {
    uint64_t id;
    const char *type;
    double x, y;
};

static void each_configuration_and_each_invalid_reason_follows_the_rules (void **state)
{
    static const struct {
        const char *about;
        struct placed proteins[8];
        uint64_t bonds[4][2];
        enum patch_configuration configuration;
        const char *reason;
        size_t ncomplexes;
    } cases[] = {
        { "one RAS", { { 1, "RASa", 0, 0 } }, { { 0 } }, PATCH_RAS, "", 0 },
        { "one RAS of the other isoform", { { 1, "4ARASc", 0, 0 } }, { { 0 } }, PATCH_RAS, "", 0 },
        { "one RAS, another outside", { { 1, "RASa", 0, 0 }, { 2, "RASa", 15.3, 0 } }, { { 0 } }, PATCH_RAS, "", 0 },
        { "one RAS-RAF", { { 1, "mRASa", 0, 0 }, { 2, "mRAFa", 2, 0 } }, { { 1, 2 } }, PATCH_RAS_RAF, "", 1 },
        { "a RAS and a RAF that are no complex", { { 1, "mRASa", 0, 0 }, { 2, "mRAFa", 2, 0 } }, { { 0 } }, PATCH_OTHER, "", 0 },
        { "two RAS", { { 1, "RASa", 0, 0 }, { 2, "RASb", 2, 0 } }, { { 0 } }, PATCH_OTHER, "", 0 },
        { "a RAS and a RAS-RAF",
          { { 1, "RASa", 0, 0 }, { 2, "zRASa", 2, 0 }, { 3, "zRAFa", 2, 1 } }, { { 2, 3 } }, PATCH_OTHER, "", 1 },
        { "two RAS-RAF",
          { { 1, "mRASa", 0, 0 }, { 2, "mRAFa", 2, 0 }, { 3, "4AmRASa", 0, 9 }, { 4, "4AmRAFa", 2, 9 } },
          { { 1, 2 }, { 3, 4 } }, PATCH_OTHER, "", 2 },
        { "four RAS",
          { { 1, "RASa", 0, 0 }, { 2, "RASa", 1, 0 }, { 3, "RASa", 2, 0 }, { 4, "RASa", 3, 0 } }, { { 0 } }, PATCH_OTHER, "", 0 },
        { "five RAS",
          { { 1, "RASa", 0, 0 }, { 2, "RASa", 1, 0 }, { 3, "RASa", 2, 0 }, { 4, "RASa", 3, 0 }, { 5, "RASa", 4, 0 } },
          { { 0 } }, PATCH_INVALID, "5 RAS and 0 RAF, together more than 4", 0 },
        { "three RAS and two RAF",
          { { 1, "mRASa", 0, 0 }, { 2, "mRAFa", 1, 0 }, { 3, "mRASa", 2, 0 }, { 4, "mRAFa", 3, 0 }, { 5, "RASa", 4, 0 } },
          { { 1, 2 }, { 3, 4 } }, PATCH_INVALID, "3 RAS and 2 RAF, together more than 4", 2 },
        { "seven RAS",
          { { 1, "RASa", 0, 0 }, { 2, "RASa", 1, 0 }, { 3, "RASa", 2, 0 }, { 4, "RASa", 3, 0 }, { 5, "RASa", 4, 0 },
            { 6, "RASa", 5, 0 }, { 7, "RASa", 6, 0 } },
          { { 0 } }, PATCH_INVALID, "7 RAS, more than 6", 0 },
        { "the centre's RAF outside",
          { { 1, "mRASa", 0, 0 }, { 2, "mRAFa", 0, 15.3 } }, { { 1, 2 } }, PATCH_INVALID, "complex of 1 and 2 is only half inside", 0 },
        { "a neighbour's RAS outside",
          { { 1, "RASa", 0, 0 }, { 3, "mRAFb", -14.5, 3 }, { 2, "mRASb", -15.5, 3 } }, { { 2, 3 } }, PATCH_INVALID,
          "complex of 2 and 3 is only half inside", 0 },
    };
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++) {
        struct gridsim s = make_grid (150, 150, 8);
        for (size_t k = 0; k < 8 && cases[i].proteins[k].type; k++)
            add (&s, cases[i].proteins[k].id, cases[i].proteins[k].type, 30 + cases[i].proteins[k].x, 30 + cases[i].proteins[k].y);
        for (size_t k = 0; k < 4 && cases[i].bonds[k][0]; k++)
            bond (&s, cases[i].bonds[k][0], cases[i].bonds[k][1]);
        struct patch_set set = cut (&s, &usual);
        const struct patch *p = &set.patches[0];
        assert_int_equal (p->proteins[0].id, 1);
        if (p->configuration != cases[i].configuration || !strstr (p->reason, cases[i].reason) || (!*cases[i].reason && *p->reason))
            fail_msg ("%s: %s, reason '%s'", cases[i].about, patch_configuration_names[p->configuration], p->reason);
        assert_int_equal (p->ncomplexes, cases[i].ncomplexes);
        for (size_t k = 0; k < p->ncomplexes; k++) {
            assert_int_equal (p->complexes[k][0], cases[i].bonds[k][0]);
            assert_int_equal (p->complexes[k][1], cases[i].bonds[k][1]);
        }
        patch_set_fini (&set);
        gridsim_fini (&s);
    }
}

static double apart (const struct gridsim *s, double x1, double y1, double x2, double y2)
{
    double x = fabs (x1 - x2), y = fabs (y1 - y2);
    return hypot (fmin (x, s->lx - x), fmin (y, s->ly - y));
}

static void of_300_ras_and_33_lipid_only_centres_333_patches_are_cut (void **state)
{
    struct gridsim s = make_grid (2400, 300, 400); /* long, so that it has room and little to fill */
    struct patch_params params = usual;
    params.lipid_only = 33;
    params.lipid_only_distance_nm = 10;
    srand (3);
    for (uint64_t i = 0; i < 300; i++)
        add (&s, i + 1, "RASa", 300 * (rand () / (RAND_MAX + 1.0)), s.ly * (rand () / (RAND_MAX + 1.0)));
    for (uint64_t i = 0; i < 100; i++) { /* RAF are no centres */
        add (&s, i + 301, "mRAFa", s.proteins[i].x, s.proteins[i].y);
        snprintf (s.proteins[i].type, sizeof (s.proteins[i].type), "mRASa");
        bond (&s, i + 1, i + 301);
    }
    struct patch_set set = cut (&s, &params);
    assert_int_equal (set.count, 333);
    assert_string_equal (set.patches[0].id, "sim1-00001234-p00001");
    assert_string_equal (set.patches[299].id, "sim1-00001234-p00300");
    assert_string_equal (set.patches[300].id, "sim1-00001234-l00");
    assert_string_equal (set.patches[332].id, "sim1-00001234-l32");
    assert_true (set.of[PATCH_LIPID_ONLY] > 0 && set.of[PATCH_INVALID] > 0);
    patch_set_fini (&set);
    gridsim_fini (&s);
}

static void lipid_only_centres_keep_their_distance_from_proteins_and_each_other (void **state)
{
    struct gridsim s = make_grid (1000, 900, 4);
    struct patch_params params = usual;
    params.lipid_only = 6;
    add (&s, 1, "RASa", 1, 1);
    add (&s, 2, "mRAFa", s.lx - 1, 200);
    struct patch_set set = cut (&s, &params);
    for (size_t i = 1; i < set.count; i++) {
        const struct patch *p = &set.patches[i];
        assert_int_equal (p->configuration, PATCH_LIPID_ONLY);
        assert_int_equal (p->nproteins, 0);
        for (size_t k = 0; k < s.nproteins; k++)
            assert_true (apart (&s, p->center[0], p->center[1], s.proteins[k].x, s.proteins[k].y) > 50);
        for (size_t k = 1; k < i; k++)
            assert_true (apart (&s, p->center[0], p->center[1], set.patches[k].center[0], set.patches[k].center[1]) > 50);
    }
    patch_set_fini (&set);
    gridsim_fini (&s);
}

/* A 62.5 nm membrane with its RAS in the middle has no point 50 nm away; the far corner is 44.2 nm away. */
static void where_there_is_no_room_the_farthest_of_100_centres_is_taken (void **state)
{
    struct gridsim s = make_grid (150, 150, 4);
    struct patch_params params = usual;
    params.lipid_only = 2;
    add (&s, 1, "RASa", 31.25, 31.25);
    for (params.seed = 0; params.seed < 20; params.seed++) {
        struct patch_set set = cut (&s, &params);
        double far = apart (&s, set.patches[1].center[0], set.patches[1].center[1], 31.25, 31.25);
        assert_true (far < 50);
        assert_true (far > 36); /* of 100 random points none beyond it: chance below 1e-5 */
        assert_int_equal (set.patches[1].configuration, PATCH_LIPID_ONLY);
        patch_set_fini (&set);
    }
    gridsim_fini (&s);
}

static void a_lipid_only_patch_that_can_t_avoid_a_protein_is_invalid (void **state)
{
    struct gridsim s = make_grid (73, 73, 40);
    struct patch_params params = usual;
    params.lipid_only = 1;
    add (&s, 1, "RASa", 10, 10);
    add (&s, 2, "RASa", 25, 25);
    struct patch_set set = cut (&s, &params);
    assert_int_equal (set.patches[2].configuration, PATCH_INVALID);
    assert_non_null (strstr (set.patches[2].reason, "no room for a lipid-only patch: protein"));
    assert_true (set.patches[2].nproteins > 0);
    patch_set_fini (&set);
    gridsim_fini (&s);
}

static bool same_place (const struct patch *a, const struct patch *b)
{
    return a->center[0] == b->center[0] && a->center[1] == b->center[1];
}

static void the_same_seed_gives_the_same_centres_and_another_seed_or_snapshot_others (void **state)
{
    struct gridsim s = make_grid (600, 600, 2);
    struct patch_params params = usual;
    params.lipid_only = 4;
    struct patch_set a = cut (&s, &params), b = cut (&s, &params);
    params.seed++;
    struct patch_set c = cut (&s, &params);
    params.seed--;
    s.loop++;
    struct patch_set d = cut (&s, &params);
    int same_c = 0, same_d = 0;
    for (size_t i = 0; i < 4; i++) {
        assert_memory_equal (a.patches[i].center, b.patches[i].center, sizeof (a.patches[i].center));
        same_c += same_place (&a.patches[i], &c.patches[i]);
        same_d += same_place (&a.patches[i], &d.patches[i]);
    }
    assert_true (same_c < 4 && same_d < 4);
    patch_set_fini (&a);
    patch_set_fini (&b);
    patch_set_fini (&c);
    patch_set_fini (&d);
    gridsim_fini (&s);
}

static void what_can_t_be_cut_is_refused_with_the_reason (void **state)
{
    static const struct {
        const char *simulation;
        unsigned points, coarse, lipid_only;
        double distance;
        size_t nx, ny;
        double stretch; /* of ly */
        const char *says;
    } cases[] = {
        { "sim1", 73, 37, 0, 50, 72, 100, 1, "72 x 100 grid points, a patch needs 73 x 73" },
        { "sim1", 73, 37, 0, 50, 100, 72, 1, "100 x 72 grid points" },
        { "sim1", 73, 37, 0, 50, 100, 100, 1.01, "patches are square" },
        { "sim1", 73, 36, 0, 50, 100, 100, 1, "2 * coarse - 1" },
        { "sim1", 71, 36, 0, 50, 100, 100, 1, "odd" },
        { "sim1", 1, 2147483649u, 0, 50, 100, 100, 1, "odd" },
        { "sim1", 0, 0, 0, 50, 100, 100, 1, "odd" },
        { "sim1", 2001, 1001, 0, 50, 100, 100, 1, "at most 1001" },
        { "sim1", 73, 37, 4000000000u, 50, 100, 100, 1, "at most 20000" },
        { "sim1", 73, 37, 0, -1, 100, 100, 1, "lipid_only_distance_nm" },
        { "sim1", 73, 37, 0, NAN, 100, 100, 1, "lipid_only_distance_nm" },
        { "", 73, 37, 0, 50, 100, 100, 1, "simulation name ''" },
        { "../x", 73, 37, 0, 50, 100, 100, 1, "simulation name '../x'" },
    };
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++) {
        struct gridsim s = make_grid (cases[i].nx, cases[i].ny, 1);
        struct patch_params params = { .simulation = cases[i].simulation, .points = cases[i].points, .coarse = cases[i].coarse,
                                       .lipid_only = cases[i].lipid_only, .lipid_only_distance_nm = cases[i].distance };
        struct strata_error error = { "" };
        struct patch_set set;
        add (&s, 1, "RASa", 1, 1);
        s.ly *= cases[i].stretch;
        assert_int_equal (patch_cut (&s, &params, &set, &error), -1);
        if (!strstr (error.text, cases[i].says))
            fail_msg ("%s: %s", cases[i].says, error.text);
        assert_null (set.patches);
        gridsim_fini (&s);
    }
}

static void the_archive_of_a_patch_holds_what_was_cut (void **state)
{
    struct gridsim s = make_grid (100, 100, 4);
    struct strata_error error;
    void *data, *again;
    size_t size, size_again;
    char text[64];
    add (&s, 65535, "mRASa", 20, 20);
    add (&s, 3, "mRAFa", 21, 20);
    bond (&s, 65535, 3);
    struct patch_set set = cut (&s, &usual);
    const struct patch *p = &set.patches[0];
    assert_int_equal (patch_npz (p, &data, &size, &error), 0);
    assert_int_equal (patch_npz (p, &again, &size_again, &error), 0);
    assert_int_equal (size, size_again);
    assert_memory_equal (data, again, size);
    struct npz *z = npz_open_memory (data, size, &error);
    assert_non_null (z);
    const struct npy *a = npz_get_shaped (z, "concentrations", NPY_F4, 3, (size_t[]){ 37, 37, 14 }, &error);
    assert_memory_equal (a->data, p->concentrations, a->count * sizeof (float));
    a = npz_get_shaped (z, "ids", NPY_U2, 1, (size_t[]){ 2 }, &error);
    assert_int_equal (((const uint16_t *)a->data)[0], 65535);
    a = npz_get_shaped (z, "complex_ids", NPY_U2, 2, (size_t[]){ 1, 2 }, &error);
    assert_int_equal (((const uint16_t *)a->data)[1], 3);
    a = npz_get_shaped (z, "positions", NPY_F8, 2, (size_t[]){ 2, 3 }, &error);
    assert_true (((const double *)a->data)[3] == p->proteins[1].position[0]);
    a = npz_get_shaped (z, "center", NPY_F8, 1, (size_t[]){ 2 }, &error);
    assert_memory_equal (a->data, p->center, sizeof (p->center));
    assert_true (*(const double *)npz_get_shaped (z, "edge_nm", NPY_F8, 0, NULL, &error)->data == p->edge_nm);
    assert_true (*(const double *)npz_get_shaped (z, "time_fs", NPY_F8, 0, NULL, &error)->data == 5e8);
    assert_int_equal (*(const int64_t *)npz_get_shaped (z, "snapshot", NPY_I8, 0, NULL, &error)->data, 1234);
    static const char *const strings[][2] = {
        { "id", "sim1-00001234-p65535" }, { "configuration", "ras-raf" }, { "simulation", "sim1" }, { "units", "nm, 1/nm^2, fs" },
    };
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal (npy_string (npz_get_shaped (z, strings[i][0], NPY_UNICODE, 0, NULL, &error), 0, text, sizeof (text)), 0);
        assert_string_equal (text, strings[i][1]);
    }
    assert_int_equal (npy_string (npz_get (z, "states", &error), 1, text, sizeof (text)), 0);
    assert_string_equal (text, "mRAFa");
    npz_close (&z);
    free (data);
    free (again);
    patch_set_fini (&set);
    gridsim_fini (&s);
}

static void a_protein_id_that_the_archive_can_t_hold_is_refused (void **state)
{
    struct gridsim s = make_grid (100, 100, 4);
    struct strata_error error;
    void *data;
    size_t size;
    add (&s, 65536, "RASa", 20, 20);
    struct patch_set set = cut (&s, &usual);
    assert_int_equal (patch_npz (&set.patches[0], &data, &size, &error), -1);
    assert_non_null (strstr (error.text, "patch sim1-00001234-p65536: protein id 65536 is above 65535"));
    patch_set_fini (&set);
    gridsim_fini (&s);
}

static void assert_same_patches (const struct patch_set *a, const struct patch_set *b)
{
    assert_int_equal (a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        struct strata_error error;
        void *x, *y;
        size_t nx, ny;
        assert_int_equal (patch_npz (&a->patches[i], &x, &nx, &error), 0);
        assert_int_equal (patch_npz (&b->patches[i], &y, &ny, &error), 0);
        assert_int_equal (nx, ny);
        assert_memory_equal (x, y, nx);
        free (x);
        free (y);
    }
}

/* Grids as narrow as a patch and wide ones; patches at every edge and corner, apart and one over the other. */
static void reading_only_what_lies_in_a_patch_cuts_the_same_bytes_as_reading_all (void **state)
{
    static const size_t grids[][2] = { { 73, 73 }, { 74, 200 }, { 640, 330 } };
    char dir[64], path[96], command[96];
    assert_true (scratch_new (dir, sizeof (dir)));
    snprintf (path, sizeof (path), "%s/snapshot.00001234", dir);
    for (size_t i = 0; i < sizeof (grids) / sizeof (*grids); i++) {
        struct strata_error error;
        struct patch_params params = usual;
        struct patch_set all, some;
        struct gridsim s = make_grid (grids[i][0], grids[i][1], 40), read;
        uint64_t random = 7;
        params.lipid_only = 3;
        for (uint64_t id = 1; id <= 40; id++) {
            double place[2];
            for (int k = 0; k < 2; k++) {
                random = random * 6364136223846793005u + 1442695040888963407u;
                place[k] = id == 1 ? 0 : id == 2 ? 1 - 1e-9 : (double)(random >> 11) * 0x1p-53;
            }
            add (&s, id, "RASa", place[0] * s.lx, place[1] * s.ly);
        }
        assert_int_equal (gridsim_write (dir, &s, &error), 0);
        assert_int_equal (gridsim_read (path, 0, &read, &error), 0);
        all = cut (&read, &params);
        if (patch_read (path, 0, &s.loop, &params, &some, &error) != 0)
            fail_msg ("%s", error.text);
        assert_same_patches (&all, &some);
        patch_set_fini (&some);
        uint64_t other = s.loop + 1;
        assert_int_equal (patch_read (path, 0, &other, &params, &some, &error), -1);
        assert_non_null (strstr (error.text, "a mixed-up snapshot"));
        patch_set_fini (&all);
        gridsim_fini (&read);
        gridsim_fini (&s);
    }
    snprintf (command, sizeof (command), "rm -r '%s'", dir);
    assert_int_equal (system (command), 0);
}

/* Far from the only patch: it is not kept, but it is looked at. */
static void a_wrong_density_outside_every_patch_is_refused_too (void **state)
{
    char dir[64], path[96], command[96];
    struct strata_error error;
    struct patch_set set;
    struct gridsim s = make_grid (400, 300, 1);
    assert_true (scratch_new (dir, sizeof (dir)));
    snprintf (path, sizeof (path), "%s/snapshot.00001234", dir);
    add (&s, 1, "RASa", 20, 20);
    s.density[(250 * s.nx + 300) * GRIDSIM_LIPIDS + 13] = -1;
    assert_int_equal (gridsim_write (dir, &s, &error), 0);
    assert_int_equal (patch_read (path, 0, NULL, &usual, &set, &error), -1);
    assert_non_null (strstr (error.text, "nOuter_CHOL at grid point (300, 250) is -1"));
    gridsim_fini (&s);
    snprintf (command, sizeof (command), "rm -r '%s'", dir);
    assert_int_equal (system (command), 0);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (patches_at_corners_and_edges_wrap_around_the_membrane),
        cmocka_unit_test (a_patch_of_73_points_spans_30_nm_and_is_brought_to_37),
        cmocka_unit_test (the_block_mean_keeps_a_linear_field_and_the_centre_point),
        cmocka_unit_test (neighbours_are_those_of_a_search_through_every_image_sorted_by_distance),
        cmocka_unit_test (the_centre_comes_first_even_when_another_protein_is_nearer),
        cmocka_unit_test (each_configuration_and_each_invalid_reason_follows_the_rules),
        cmocka_unit_test (of_300_ras_and_33_lipid_only_centres_333_patches_are_cut),
        cmocka_unit_test (lipid_only_centres_keep_their_distance_from_proteins_and_each_other),
        cmocka_unit_test (where_there_is_no_room_the_farthest_of_100_centres_is_taken),
        cmocka_unit_test (a_lipid_only_patch_that_can_t_avoid_a_protein_is_invalid),
        cmocka_unit_test (the_same_seed_gives_the_same_centres_and_another_seed_or_snapshot_others),
        cmocka_unit_test (what_can_t_be_cut_is_refused_with_the_reason),
        cmocka_unit_test (the_archive_of_a_patch_holds_what_was_cut),
        cmocka_unit_test (a_protein_id_that_the_archive_can_t_hold_is_refused),
        cmocka_unit_test (reading_only_what_lies_in_a_patch_cuts_the_same_bytes_as_reading_all),
        cmocka_unit_test (a_wrong_density_outside_every_patch_is_refused_too),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
