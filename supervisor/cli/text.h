/* Text for people: columns that fit the terminal, colour, escaping.
 *
 * What comes from a daemon, a file or a worker never reaches a terminal with
 * its control characters: cells are escaped when they are put in. A table
 * keeps all its cells in one growing string, so a thousand rows cost a few
 * allocations.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "workers/base/pure/buf.h"

#define TEXT_COLUMNS_MAX 8
#define TEXT_WIDTH_MIN	 20 /* narrower terminals are treated as this wide */

enum text_colour {
	TEXT_PLAIN,
	TEXT_GREEN,
	TEXT_YELLOW,
	TEXT_RED,
	TEXT_DIM,
	TEXT_COLOUR_COUNT
};

struct text_style {
	size_t width; /* of the terminal, in characters; 0: no limit */
	bool colour;
};

/* What fd is: a terminal's width, colour unless NO_COLOR says otherwise; for
 * anything else no limit and no colour. */
struct text_style text_style_of(int fd);

struct text_column {
	const char *title;
	size_t min_width;    /* may be cut down to this; 0: never cut */
	unsigned drop_rank;  /* what goes first when it does not fit, 1 before
			       2; 0: never goes */
	bool only_when_used; /* left out when all cells are empty */
};

struct text_cell {
	size_t offset; /* in .arena */
	uint32_t length_bytes, width;
	enum text_colour colour;
};

struct text_table {
	const struct text_column *columns;
	size_t n_columns;
	struct text_cell *cells; /* row by row */
	size_t n_cells, n_allocated;
	struct buf arena; /* .error holds the first failure */
};

/* columns is kept, not copied. n_columns <= TEXT_COLUMNS_MAX. */
void text_table_init(struct text_table *t, const struct text_column *columns,
		     size_t n_columns);
void text_table_done(struct text_table *t);

/* Adds the next cell, escaped; rows follow from the number of columns. */
void text_table_add(struct text_table *t, const char *text,
		    enum text_colour colour);

void text_table_add_u64(struct text_table *t, uint64_t value);

/* Appends titles (unless none has one) and rows to out. Returns 0, -ENOMEM.
 * All rows must be whole. */
int text_table_render(const struct text_table *t,
		      const struct text_style *style, struct buf *out);

/* Appends s with control characters and invalid UTF-8 escaped, never cut. */
int text_escape(struct buf *out, const char *s);

/* Appends a number in decimal. */
int text_append_u64(struct buf *out, uint64_t value);

/* The length of the valid UTF-8 sequence at p: 1 to 4; 0 when it is invalid;
 * -1 when the n bytes are a valid beginning that is not whole. n >= 1. */
int text_utf8_length(const char *p, size_t n);
