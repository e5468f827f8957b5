/* mdp.c - see mdp.h */
#include "mdp.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEPS_MAX INT32_MAX /* XTC frames carry their step in 32 bits */

/* What the plan decides. All beads go into the trajectory: the groups of index.ndx count from the system's first bead.
 */
static const char *const ours[] = {
    "nsteps",
    "tinit",
    "init_step",
    "nstxout",
    "nstvout",
    "nstfout",
    "nstxout_compressed",
    "nstxtcout",
    "compressed_x_grps",
    "xtc_grps",
    "ld_seed",
    "gen_seed",
};

/* Splits `key = value ; comment`; the key in GROMACS' one spelling (lower case, '_' for '-'). False: no parameter here.
 */
static bool parameter (const char *line, char *key, size_t key_size, char *value, size_t value_size)
{
    size_t n = 0;
    const char *p = line + strspn (line, " \t");
    const char *end = p + strcspn (p, ";\r\n");
    const char *equals = memchr (p, '=', (size_t)(end - p));
    if (!equals)
        return false;
    for (; p < equals && n + 1 < key_size; p++)
        if (!isspace ((unsigned char)*p))
            key[n++] = *p == '-' ? '_' : (char)tolower ((unsigned char)*p);
    key[n] = '\0';
    p = equals + 1;
    p += strspn (p, " \t");
    while (end > p && isspace ((unsigned char)end[-1]))
        end--;
    n = end > p ? (size_t)(end - p) : 0;
    if (n >= value_size)
        n = value_size - 1;
    memcpy (value, p, n);
    value[n] = '\0';
    return key[0] != '\0';
}

static int read_dt (const char *mdp, double *dt, struct strata_error *error)
{
    FILE *f = fopen (mdp, "r");
    if (!f)
        return strata_fail (error, "%s: cannot open the run parameters: %s", mdp, strerror (errno));
    char *line = NULL, key[64], value[256];
    size_t room = 0;
    int rc = 0;
    *dt = 0.001; /* as grompp */
    while (rc == 0 && getline (&line, &room, f) >= 0) {
        if (!parameter (line, key, sizeof (key), value, sizeof (value)))
            continue;
        if (strcmp (key, "dt") == 0) {
            char *end;
            *dt = strtod (value, &end);
            if (end == value || *end || !isfinite (*dt) || *dt <= 0 || *dt > 1)
                rc = strata_fail (error, "%s: dt = '%.40s' is not a time step within 0 .. 1 ps", mdp, value);
        }
        else if (strcmp (key, "integrator") == 0 && strncmp (value, "md", 2) != 0 && strncmp (value, "sd", 2) != 0)
            rc = strata_fail (error, "%s: integrator = %.40s does not move in time; use md or sd", mdp, value);
    }
    free (line);
    fclose (f);
    return rc;
}

static bool whole (double x, int64_t *n)
{
    double r = round (x);
    *n = r > 0 && r <= (double)STEPS_MAX ? (int64_t)r : 0;
    return *n > 0 && fabs (x - r) <= 1e-6 * r;
}

/* FNV-1a: the same name gives the same run, other names others. */
static uint32_t seed_of (const char *name)
{
    uint32_t h = 2166136261u;
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 16777619u;
    h &= 0x7fffffff;
    return h ? h : 1;
}

int cg_plan_make (struct cg_plan *self, const char *mdp, double time_ns, double frame_ps, int64_t segment_steps,
                  const char *simulation, struct strata_error *error)
{
    double dt;
    if (read_dt (mdp, &dt, error) < 0)
        return -1;
    *self = (struct cg_plan){ .time_ns = time_ns, .frame_ps = frame_ps, .dt_ps = dt, .seed = seed_of (simulation) };
    int64_t frames;
    if (!whole (frame_ps / dt, &self->steps_per_frame))
        return strata_fail (error, "--frame-ps %g is not a whole number of time steps of %g ps (dt in %s)", frame_ps,
                            dt, mdp);
    if (!whole (time_ns * 1000 / frame_ps, &frames))
        return strata_fail (error, "--time-ns %g is not a whole number of frames of %g ps", time_ns, frame_ps);
    if (frames > STEPS_MAX / self->steps_per_frame)
        return strata_fail (error, "--time-ns %g takes more than %d steps of %g ps, the most a trajectory can count",
                            time_ns, STEPS_MAX, dt);
    self->steps = frames * self->steps_per_frame;
    int64_t each = self->steps_per_frame;
    self->segment = segment_steps < self->steps ? (segment_steps + each - 1) / each * each : self->steps;
    return 0;
}

static bool is_ours (const char *key)
{
    for (size_t i = 0; i < sizeof (ours) / sizeof (ours[0]); i++)
        if (strcmp (key, ours[i]) == 0)
            return true;
    return false;
}

int cg_mdp_write (const struct cg_plan *self, const char *from, const char *to, struct strata_error *error)
{
    FILE *in = fopen (from, "r");
    if (!in)
        return strata_fail (error, "%s: cannot open the run parameters: %s", from, strerror (errno));
    FILE *out = fopen (to, "w");
    if (!out) {
        fclose (in);
        return strata_fail (error, "%s: cannot write the run parameters: %s", to, strerror (errno));
    }
    char *line = NULL, key[64], value[256];
    size_t room = 0;
    while (getline (&line, &room, in) >= 0) {
        if (parameter (line, key, sizeof (key), value, sizeof (value)) && is_ours (key))
            continue;
        line[strcspn (line, "\r\n")] = '\0';
        fprintf (out, "%s\n", line);
    }
    fprintf (out, "\n; set by membrane-cg\nnsteps = %lld\ntinit = 0\ninit-step = 0\n", (long long)self->steps);
    fprintf (out, "nstxout = 0\nnstvout = 0\nnstfout = 0\nnstxout-compressed = %lld\n",
             (long long)self->steps_per_frame);
    fprintf (out, "ld-seed = %u\ngen-seed = %u\n", self->seed, self->seed);
    bool failed = ferror (in) || ferror (out);
    free (line);
    fclose (in);
    if (fclose (out) != 0 || failed)
        return strata_fail (error, "%s: cannot write the run parameters: %s", to, strerror (errno));
    return 0;
}
