/* Pictures of random walks: the work that the programs pictures and
 * pictures_saboteur have done. Picture i is the same whoever draws it, when and
 * how often: its points come from a generator with the seed i.
 */
#ifndef RANDOM_WALK_H
#define RANDOM_WALK_H

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include <cairo.h>

#define WALK_POINTS_MIN 100
#define WALK_POINTS_MAX 999
#define WALK_WIDTH	640
#define WALK_HEIGHT	480
#define WALK_MARGIN	20.0

struct walk {
	unsigned n_points;
	double x[WALK_POINTS_MAX], y[WALK_POINTS_MAX];
};

/* Steps in a random direction each, then moved and stretched to fill 0..1. */
static inline void walk_go(struct walk *walk, unsigned seed)
{
	unsigned short state[3] = { 1, (unsigned short)(seed >> 16),
				    (unsigned short)seed };
	double x = 0, y = 0, left = 0, right = 0, low = 0, high = 0;

	walk->n_points = WALK_POINTS_MIN +
			 (unsigned)(erand48(state) *
				    (WALK_POINTS_MAX - WALK_POINTS_MIN + 1));
	for (unsigned i = 0; i < walk->n_points; i++) {
		double direction = erand48(state) * 2 * 3.14159265358979;

		x += cos(direction);
		y += sin(direction);
		walk->x[i] = x;
		walk->y[i] = y;
		left = fmin(left, x);
		right = fmax(right, x);
		low = fmin(low, y);
		high = fmax(high, y);
	}
	for (unsigned i = 0; i < walk->n_points; i++) {
		walk->x[i] = (walk->x[i] - left) / (right - left);
		walk->y[i] = (walk->y[i] - low) / (high - low);
	}
}

/* From blue at the start to red at the end, as a line with a dot per point. */
static inline void walk_paint(const struct walk *walk, cairo_t *cr)
{
	double wide = WALK_WIDTH - 2 * WALK_MARGIN;
	double high = WALK_HEIGHT - 2 * WALK_MARGIN;

	cairo_set_source_rgb(cr, 1, 1, 1);
	cairo_paint(cr);
	for (unsigned i = 0; i < walk->n_points; i++) {
		double x = WALK_MARGIN + walk->x[i] * wide;
		double y = WALK_MARGIN + walk->y[i] * high;
		double age = (double)i / walk->n_points;

		cairo_line_to(cr, x, y);
		cairo_set_source_rgb(cr, age, 0.2, 1 - age);
		cairo_stroke(cr);
		cairo_arc(cr, x, y, 2.5, 0, 2 * 3.14159265358979);
		cairo_fill(cr);
		cairo_move_to(cr, x, y);
	}
}

/* Draws picture number seed into the file. Returns 0 or -EIO. */
static inline int walk_draw(unsigned seed, const char *path)
{
	cairo_surface_t *surface = cairo_image_surface_create(
		CAIRO_FORMAT_RGB24, WALK_WIDTH, WALK_HEIGHT);
	cairo_t *cr = cairo_create(surface);
	struct walk walk;
	int r = -EIO;

	walk_go(&walk, seed);
	walk_paint(&walk, cr);
	if (cairo_status(cr) == CAIRO_STATUS_SUCCESS &&
	    cairo_surface_write_to_png(surface, path) == CAIRO_STATUS_SUCCESS)
		r = 0;
	cairo_destroy(cr);
	cairo_surface_destroy(surface);
	return r;
}

#endif
