/* test_cg_orientation.c - tilt, rotation and depth of a body turned by known angles, in any place of a periodic box. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../apps/membrane/cg/orientation.h"

/* A body whose centre is its origin, its last quarter below it on its own z, its second quarter to the side of its own
 * +x; then two leaflets. */
enum { BODY = 8, LEAFLET = 16, BEADS = BODY + 2 * LEAFLET };

static const double body[BODY][3] = {
    { 0, 0, 2 },       { 0.3, 0, 1 },      { 0.7, 0.2, 0 },  { 0.5, -0.2, 0 },
    { -0.75, 0.3, 0 }, { -0.75, -0.3, 0 }, { 0.2, 0, -1.5 }, { -0.2, 0, -1.5 },
};

struct scene {
    float x[3 * BEADS];
    float box[3];
    int32_t atoms[BEADS];
    struct cg_group domain, inner, outer;
};

static float wrap (double v, float box)
{
    return (float)(v - (double)box * floor (v / (double)box));
}

/* side: +1 when the protein is above the membrane, -1 below. The plane of the inner leaflet is at z = plane. */
static void scene_init (struct scene *self, double tilt, double spin, double heading, double depth, double plane,
                        int side)
{
    *self = (struct scene){ .box = { 8, 9, 11 } };
    for (int i = 0; i < BEADS; i++)
        self->atoms[i] = i;
    self->domain = (struct cg_group){ self->atoms, BODY };
    self->inner = (struct cg_group){ self->atoms + BODY, LEAFLET };
    self->outer = (struct cg_group){ self->atoms + BODY + LEAFLET, LEAFLET };
    const double place[3] = { 7.5, 0.5, plane + side * depth }; /* near the box's corner: the body lies across it */
    for (int i = 0; i < BODY; i++) {
        /* about its own axis, then tilted in the x-z plane, then turned about z */
        double x1 = cos (spin) * body[i][0] - sin (spin) * body[i][1];
        double y1 = sin (spin) * body[i][0] + cos (spin) * body[i][1];
        double x2 = cos (tilt) * x1 + sin (tilt) * body[i][2];
        double z2 = -sin (tilt) * x1 + cos (tilt) * body[i][2];
        double r[3] = { cos (heading) * x2 - sin (heading) * y1, sin (heading) * x2 + cos (heading) * y1, z2 };
        if (side < 0) { /* the same picture, turned upside down about x */
            r[1] = -r[1];
            r[2] = -r[2];
        }
        for (int k = 0; k < 3; k++)
            self->x[3 * i + k] = wrap (place[k] + r[k], self->box[k]);
    }
    for (int i = 0; i < 2 * LEAFLET; i++) {
        float *p = self->x + 3 * (BODY + i);
        p[0] = (float)(i % 4) * 2;
        p[1] = (float)(i / 4 % 4) * 2;
        p[2] = wrap (plane - (i < LEAFLET ? 0 : 2.5 * side) + (i % 2 ? 0.2 : -0.2), self->box[2]);
    }
}

static double turn (double a)
{
    return remainder (a, 2 * M_PI);
}

static void tilt_rotation_and_depth_are_the_angles_it_was_turned_by (void **state)
{
    struct strata_error error;
    struct scene scene;
    const double planes[] = { 5, 0.3, 10.9 }; /* the last two: the membrane lies across the boundary */
    for (int t = 1; t < 12; t++)
        for (int s = 0; s < 12; s++)
            for (int h = 0; h < 5; h++)
                for (int p = 0; p < 3; p++)
                    for (int side = -1; side <= 1; side += 2) {
                        double tilt = t * M_PI / 12, spin = s * M_PI / 6 + 0.1, depth = -0.5 + h;
                        scene_init (&scene, tilt, spin, h * 1.3, depth, planes[p], side);
                        struct cg_orientation o;
                        assert_int_equal (cg_orientation_measure (&o, scene.x, scene.box, &scene.domain, &scene.inner,
                                                                  &scene.outer, &error),
                                          0);
                        assert_true (fabs (o.tilt - tilt) < 1e-5);
                        /* e1 is the body's own -x before it is spun: the side stands pi further. */
                        assert_true (fabs (turn (o.rotation - spin - M_PI)) < 1e-5);
                        assert_true (fabs (o.depth_nm - depth) < 1e-5);
                        assert_true (o.rotation >= -M_PI && o.rotation <= M_PI);
                    }
}

static void upright_and_upside_down_have_tilt_0_and_pi (void **state)
{
    struct strata_error error;
    struct scene scene;
    struct cg_orientation o;
    scene_init (&scene, 0, 0.4, 0, 3, 5, 1);
    assert_int_equal (
        cg_orientation_measure (&o, scene.x, scene.box, &scene.domain, &scene.inner, &scene.outer, &error), 0);
    assert_true (o.tilt >= 0 && o.tilt < 1e-3);
    assert_true (isfinite (o.rotation));
    scene_init (&scene, M_PI, 0.4, 0, 3, 5, 1);
    assert_int_equal (
        cg_orientation_measure (&o, scene.x, scene.box, &scene.domain, &scene.inner, &scene.outer, &error), 0);
    assert_true (o.tilt > M_PI - 1e-3 && o.tilt <= M_PI);
}

static void bodies_without_an_axis_and_membranes_without_a_leaflet_are_refused (void **state)
{
    struct strata_error error;
    struct scene scene;
    struct cg_orientation o;
    scene_init (&scene, 1, 0, 0, 3, 5, 1);
    const struct cg_group three = { scene.atoms, 3 }, none = { NULL, 0 };
    assert_int_equal (cg_orientation_measure (&o, scene.x, scene.box, &three, &scene.inner, &scene.outer, &error), -1);
    assert_non_null (strstr (error.text, "4 or more"));
    assert_int_equal (cg_orientation_measure (&o, scene.x, scene.box, &scene.domain, &none, &scene.outer, &error), -1);
    assert_int_equal (cg_orientation_measure (&o, scene.x, scene.box, &scene.domain, &scene.inner, &none, &error), -1);
    for (int i = 0; i < 3 * BODY; i++)
        scene.x[i] = 1;
    assert_int_equal (
        cg_orientation_measure (&o, scene.x, scene.box, &scene.domain, &scene.inner, &scene.outer, &error), -1);
    assert_non_null (strstr (error.text, "no axis"));
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (tilt_rotation_and_depth_are_the_angles_it_was_turned_by),
        cmocka_unit_test (upright_and_upside_down_have_tilt_0_and_pi),
        cmocka_unit_test (bodies_without_an_axis_and_membranes_without_a_leaflet_are_refused),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
