/* rdf.c - see rdf.h. The order and the width of each operation are part of the promise there. */
#include "rdf.h"

#include <float.h>
#include <math.h>

double cg_rdf_edge (size_t bin)
{
    if (bin >= CG_RDF_BINS)
        return CG_RDF_MAX_ANGSTROM;
    const double step = (CG_RDF_MAX_ANGSTROM - CG_RDF_MIN_ANGSTROM) / CG_RDF_BINS;
    return (double)bin * step + CG_RDF_MIN_ANGSTROM;
}

int cg_rdf_bin (double distance)
{
    if (!(distance >= CG_RDF_MIN_ANGSTROM && distance <= CG_RDF_MAX_ANGSTROM))
        return -1;
    int bin = (int)((distance - CG_RDF_MIN_ANGSTROM) * (CG_RDF_BINS / (CG_RDF_MAX_ANGSTROM - CG_RDF_MIN_ANGSTROM)));
    if (bin >= CG_RDF_BINS)
        bin = CG_RDF_BINS - 1;
    /* The product above may be a rounding away from the edges, which decide. */
    while (bin > 0 && distance < cg_rdf_edge ((size_t)bin))
        bin--;
    while (bin < CG_RDF_BINS - 1 && distance >= cg_rdf_edge ((size_t)bin + 1))
        bin++;
    return bin;
}

static double image (double d, float box)
{
    if (box <= FLT_EPSILON)
        return d;
    float inverse = (float)(1.0 / box);
    double s = inverse * d;
    return box * (s - round (s));
}

double cg_rdf_distance (const float *from_nm, const float *to_nm, const float box_nm[2])
{
    double d[2];
    for (int i = 0; i < 2; i++) {
        float from = from_nm[i] * 10.0f;
        float to = to_nm[i] * 10.0f;
        float difference = to - from;
        d[i] = image (difference, box_nm[i] * 10.0f);
    }
    return sqrt (d[0] * d[0] + d[1] * d[1]);
}

void cg_rdf_add (int64_t *counts, const float *x, const float box_nm[2], const struct cg_group *from,
                 const struct cg_group *to)
{
    for (size_t i = 0; i < from->count; i++)
        for (size_t j = 0; j < to->count; j++) {
            int bin =
                cg_rdf_bin (cg_rdf_distance (x + 3 * (size_t)from->atoms[i], x + 3 * (size_t)to->atoms[j], box_nm));
            if (bin >= 0)
                counts[bin]++;
        }
}
