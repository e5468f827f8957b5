/* analysis.c - see analysis.h */
#include "analysis.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int cg_analysis_init (struct cg_analysis *self, const struct cg_system *system, const struct cg_plan *plan,
                      struct cg_publish *publish, const char *path, struct strata_error *error)
{
    *self = (struct cg_analysis){ .system = system, .plan = plan, .publish = publish };
    self->path = strdup (path);
    self->counts = calloc (CG_RDF_ROWS * CG_RDF_BINS, sizeof (*self->counts));
    if (!self->path || !self->counts) {
        cg_analysis_fini (self);
        return strata_fail (error, "no memory to analyse %s", path);
    }
    if (system->state[0] && publish->last (publish->impl, &self->published, error) < 0) {
        cg_analysis_fini (self);
        return -1;
    }
    return 0;
}

void cg_analysis_fini (struct cg_analysis *self)
{
    xtc_close (&self->xtc);
    free (self->path);
    free (self->counts);
    *self = (struct cg_analysis){ 0 };
}

void cg_analysis_reopen (struct cg_analysis *self)
{
    xtc_close (&self->xtc);
}

void cg_analysis_reset (struct cg_analysis *self)
{
    xtc_close (&self->xtc);
    self->resume = 0;
    self->step = 0;
    self->frames = 0;
}

static int measure (struct cg_analysis *self, const struct xtc_frame *frame, const float box[3], uint64_t number,
                    struct strata_error *error)
{
    const struct cg_system *system = self->system;
    struct cg_measure m = { .frame = number,
                            .step = frame->step,
                            .time_ps = (double)frame->time_ps,
                            .state = system->state,
                            .counts = self->counts };
    memset (self->counts, 0, CG_RDF_ROWS * CG_RDF_BINS * sizeof (*self->counts));
    for (int r = 0; r < CG_RDF_ROWS; r++)
        cg_rdf_add (self->counts + r * CG_RDF_BINS, frame->x, box, &system->anchor, &system->row[r]);
    if (cg_orientation_measure (&m.orientation, frame->x, box, &system->gdomain, &system->inner, &system->outer, error)
        < 0)
        return strata_fail_prefix (error, "%s: frame %llu", self->path, (unsigned long long)number);
    return self->publish->frame (self->publish->impl, &m, error);
}

static int take (struct cg_analysis *self, const struct xtc_frame *frame, struct strata_error *error)
{
    int64_t step = frame->step, each = self->plan->steps_per_frame;
    if (step < 0 || step > self->plan->steps || step % each != 0) {
        strata_fail (error, "%s: a frame of step %lld does not belong to this run of %lld steps, a frame each %lld",
                     self->path, (long long)step, (long long)self->plan->steps, (long long)each);
        return CG_ANALYSIS_TRAJECTORY;
    }
    uint64_t number = 1 + (uint64_t)(step / each);
    const float box[3] = { frame->box[0][0], frame->box[1][1], frame->box[2][2] };
    bool protein = self->system->state[0] != '\0';
    for (int i = 0; i < 3 && protein; i++)
        for (int k = 0; k < 3; k++)
            if (i == k ? !(frame->box[i][k] > 0) : frame->box[i][k] != 0)
                return strata_fail (error, "%s: frame %llu has a box that is not rectangular; a membrane's must be",
                                    self->path, (unsigned long long)number);
    if (number > 1 && number - 1 > self->frames + 1) {
        strata_fail (error, "%s: frame %llu follows on frame %llu; some between are missing", self->path,
                     (unsigned long long)number, (unsigned long long)self->frames + 1);
        return CG_ANALYSIS_TRAJECTORY;
    }
    if (protein && number > 1 && number > self->published) {
        if (measure (self, frame, box, number, error) < 0)
            return CG_ANALYSIS_FAILED;
        self->published = number;
    }
    if (step > self->step)
        self->step = step;
    if (number - 1 > self->frames)
        self->frames = number - 1;
    return 0;
}

int cg_analysis_poll (struct cg_analysis *self, int most, struct strata_error *error)
{
    bool opened = !self->xtc;
    if (!self->xtc && !(self->xtc = xtc_open (self->path, self->system->beads, error)))
        return errno == ENOENT ? 0 : CG_ANALYSIS_FAILED;
    if (opened && self->resume > 0 && xtc_seek (self->xtc, self->resume, error) < 0)
        self->resume = 0; /* it was cut before that byte: all of it once more */
    for (int n = 0; n < most; n++) {
        struct xtc_frame frame;
        int rc = xtc_next (self->xtc, &frame, error);
        if (rc == 0)
            return n;
        if (rc < 0) {
            if (errno == EBADMSG)
                self->resume = 0;
            return errno == EBADMSG || errno == ESTALE ? CG_ANALYSIS_TRAJECTORY : CG_ANALYSIS_FAILED;
        }
        if ((rc = take (self, &frame, error)) < 0) {
            self->resume = 0;
            return rc;
        }
        self->resume = frame.offset;
    }
    return most;
}
