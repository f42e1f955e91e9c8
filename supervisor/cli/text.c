/* See text.h.
 *
 * Width is counted in code points: names are ASCII nearly always, and a wide
 * character costs a crooked column, nothing else.
 */
#include "supervisor/cli/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/str.h"

#define GAP	   2 /* blanks between columns */
#define DOTS	   "..."
#define DOTS_WIDTH 3

static const char *const colour_codes[TEXT_COLOUR_COUNT] = {
	[TEXT_PLAIN] = "",	    [TEXT_GREEN] = "\033[32m",
	[TEXT_YELLOW] = "\033[33m", [TEXT_RED] = "\033[31m",
	[TEXT_DIM] = "\033[2m",
};

struct text_style text_style_of(int fd)
{
	const char *no_color = getenv("NO_COLOR");
	const char *term = getenv("TERM");
	struct winsize size = { 0 };

	if (!isatty(fd))
		return (struct text_style){ 0 };
	if (ioctl(fd, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
		size.ws_col = 80;
	return (struct text_style){
		.width = MAX(size.ws_col, TEXT_WIDTH_MIN),
		.colour = (!no_color || *no_color == '\0') &&
			  !str_equal(term, "dumb"),
	};
}

/* ---- characters -------------------------------------------------------- */

static bool is_continuation(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

/* The second byte decides over overlong forms, surrogates and > U+10FFFF. */
static bool is_second_valid(unsigned char first, unsigned char second)
{
	if (first == 0xe0)
		return second >= 0xa0 && second <= 0xbf;
	if (first == 0xed)
		return second >= 0x80 && second <= 0x9f;
	if (first == 0xf0)
		return second >= 0x90 && second <= 0xbf;
	if (first == 0xf4)
		return second >= 0x80 && second <= 0x8f;
	return is_continuation(second);
}

int text_utf8_length(const char *p, size_t n)
{
	const unsigned char *u = (const unsigned char *)p;
	size_t length;

	if (u[0] < 0x80)
		return 1;
	if (u[0] < 0xc2 || u[0] > 0xf4)
		return 0;
	length = u[0] < 0xe0 ? 2 : u[0] < 0xf0 ? 3 : 4;
	for (size_t i = 1; i < length; i++) {
		if (i == n)
			return -1;
		if (i == 1 ? !is_second_valid(u[0], u[1])
			   : !is_continuation(u[i]))
			return 0;
	}
	return (int)length;
}

static bool is_plain(const char *s, size_t *ret_length)
{
	const char *p = s;

	while (*p >= ' ' && *p <= '~')
		p++;
	*ret_length = (size_t)(p - s);
	return *p == '\0';
}

int text_escape(struct buf *out, const char *s)
{
	size_t length;

	if (is_plain(s, &length))
		return buf_append(out, s, length);

	size_t size = 4 * strlen(s) + 4; /* every byte as \xNN, and NUL */
	_cleanup_(free_pointer) char *escaped = malloc(size);

	if (!escaped)
		return out->error = -ENOMEM;
	return buf_puts(out, str_escape(s, escaped, size));
}

int text_append_u64(struct buf *out, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	return buf_append(out, digits + at, sizeof(digits) - at);
}

static uint32_t count_characters(const char *s, size_t length_bytes)
{
	uint32_t n = 0;

	for (size_t i = 0; i < length_bytes; i++)
		n += !is_continuation((unsigned char)s[i]);
	return n;
}

/* The bytes of the first so many characters of s. */
static size_t bytes_of_characters(const char *s, size_t length_bytes,
				  size_t n_characters)
{
	size_t i = 0;

	while (i < length_bytes) {
		if (!is_continuation((unsigned char)s[i]) &&
		    n_characters-- == 0)
			break;
		i++;
	}
	return i;
}

/* ---- table ------------------------------------------------------------- */

void text_table_init(struct text_table *t, const struct text_column *columns,
		     size_t n_columns)
{
	reeve_assert(n_columns <= TEXT_COLUMNS_MAX);
	*t = (struct text_table){ .columns = columns,
				  .n_columns = n_columns,
				  .arena = BUF_INIT(0) };
}

void text_table_done(struct text_table *t)
{
	free(t->cells);
	t->cells = NULL;
	t->n_cells = t->n_allocated = 0;
	buf_done(&t->arena);
}

static int grow(struct text_table *t)
{
	size_t n = MAX(2 * t->n_allocated, 64U);
	struct text_cell *cells;

	if (t->n_cells < t->n_allocated)
		return 0;
	cells = reallocarray(t->cells, n, sizeof(*cells));
	if (!cells)
		return -ENOMEM;
	t->cells = cells;
	t->n_allocated = n;
	return 0;
}

/* The cell is what was appended to the arena from offset on. */
static void end_cell(struct text_table *t, size_t offset,
		     enum text_colour colour)
{
	size_t length = t->arena.len - offset;
	const char *text = buf_text(&t->arena) + offset;

	if (t->arena.error < 0)
		return;
	if (grow(t) < 0) {
		t->arena.error = -ENOMEM;
		return;
	}
	t->cells[t->n_cells++] = (struct text_cell){
		.offset = offset,
		.length_bytes = (uint32_t)length,
		.width = count_characters(text, length),
		.colour = colour,
	};
}

void text_table_add(struct text_table *t, const char *text,
		    enum text_colour colour)
{
	size_t offset = t->arena.len;

	text_escape(&t->arena, text);
	end_cell(t, offset, colour);
}

void text_table_add_u64(struct text_table *t, uint64_t value)
{
	size_t offset = t->arena.len;

	text_append_u64(&t->arena, value);
	end_cell(t, offset, TEXT_PLAIN);
}

/* How wide each column becomes; 0: left out. */
struct layout {
	size_t widths[TEXT_COLUMNS_MAX];
};

static void measure(const struct text_table *t, struct layout *l)
{
	bool used[TEXT_COLUMNS_MAX] = { 0 };

	*l = (struct layout){ 0 };
	for (size_t i = 0; i < t->n_cells; i++) {
		size_t c = i % t->n_columns;

		l->widths[c] = MAX(l->widths[c], t->cells[i].width);
		used[c] = used[c] || t->cells[i].width > 0;
	}
	for (size_t c = 0; c < t->n_columns; c++) {
		if (used[c] || !t->columns[c].only_when_used)
			l->widths[c] =
				MAX(l->widths[c], strlen(t->columns[c].title));
	}
}

/* What a column needs at least. */
static size_t least(const struct text_table *t, const struct layout *l,
		    size_t column)
{
	size_t min = t->columns[column].min_width;

	return min > 0 ? MIN(min, l->widths[column]) : l->widths[column];
}

static size_t total_least(const struct text_table *t, const struct layout *l)
{
	size_t total = 0;

	for (size_t c = 0; c < t->n_columns; c++)
		if (l->widths[c] > 0)
			total += (total > 0 ? GAP : 0) + least(t, l, c);
	return total;
}

/* Leaves out the shown column that goes first. False: none may go. */
static bool drop_one(const struct text_table *t, struct layout *l)
{
	size_t found = t->n_columns;

	for (size_t c = 0; c < t->n_columns; c++) {
		unsigned rank = t->columns[c].drop_rank;

		if (l->widths[c] == 0 || rank == 0)
			continue;
		if (found == t->n_columns || rank < t->columns[found].drop_rank)
			found = c;
	}
	if (found == t->n_columns)
		return false;
	l->widths[found] = 0;
	return true;
}

/* Drops columns until the rest fits when cut, then gives back what is left
 * over, from left to right: a name is worth more than the tail of a text. */
static void fit(const struct text_table *t, struct layout *l, size_t width)
{
	size_t spare;

	while (total_least(t, l) > width && drop_one(t, l))
		;
	spare = width - MIN(width, total_least(t, l));
	for (size_t c = 0; c < t->n_columns; c++) {
		size_t low = least(t, l, c);
		size_t given = MIN(spare, l->widths[c] - low);

		l->widths[c] = low + given;
		spare -= given;
	}
}

static void pad(struct buf *out, size_t n)
{
	static const char blanks[] = "                                ";

	while (n > 0) {
		size_t part = MIN(n, sizeof(blanks) - 1);

		buf_append(out, blanks, part);
		n -= part;
	}
}

/* A line under way: blanks are written only in front of something. */
struct line {
	struct buf *out;
	size_t n_blanks; /* owed */
};

static void put_text(struct buf *out, const char *text,
		     const struct text_cell *cell, size_t width)
{
	size_t length = cell->length_bytes;
	bool is_cut = cell->width > width;
	bool has_dots = is_cut && width > DOTS_WIDTH;

	if (is_cut)
		length = bytes_of_characters(
			text, length, has_dots ? width - DOTS_WIDTH : width);
	buf_append(out, text, length);
	if (has_dots)
		buf_puts(out, DOTS);
}

static void put_cell(struct line *line, const char *text,
		     const struct text_cell *cell, size_t width)
{
	struct buf *out = line->out;
	bool is_coloured = cell->colour != TEXT_PLAIN;

	if (cell->length_bytes > 0) {
		pad(out, line->n_blanks);
		line->n_blanks = 0;
		if (is_coloured)
			buf_puts(out, colour_codes[cell->colour]);
		put_text(out, text, cell, width);
		if (is_coloured)
			buf_puts(out, "\033[0m");
	}
	line->n_blanks += width - MIN(cell->width, width) + GAP;
}

static void end_line(struct line *line)
{
	buf_putc(line->out, '\n');
	line->n_blanks = 0;
}

static void render_titles(const struct text_table *t, const struct layout *l,
			  struct buf *out)
{
	struct line line = { .out = out };

	for (size_t c = 0; c < t->n_columns; c++) {
		const char *title = t->columns[c].title;
		struct text_cell cell = {
			.length_bytes = (uint32_t)strlen(title),
			.width = (uint32_t)strlen(title),
		};

		if (l->widths[c] > 0)
			put_cell(&line, title, &cell, l->widths[c]);
	}
	end_line(&line);
}

static bool has_titles(const struct text_table *t)
{
	for (size_t c = 0; c < t->n_columns; c++)
		if (t->columns[c].title[0] != '\0')
			return true;
	return false;
}

int text_table_render(const struct text_table *t,
		      const struct text_style *style, struct buf *out)
{
	struct line line = { .out = out };
	struct layout l;

	if (t->arena.error < 0)
		return t->arena.error;
	reeve_assert(t->n_cells % t->n_columns == 0);
	measure(t, &l);
	if (style->width > 0)
		fit(t, &l, style->width);
	if (has_titles(t))
		render_titles(t, &l, out);
	for (size_t i = 0; i < t->n_cells; i++) {
		struct text_cell cell = t->cells[i];
		size_t c = i % t->n_columns;

		if (!style->colour)
			cell.colour = TEXT_PLAIN;
		if (l.widths[c] > 0)
			put_cell(&line, buf_text(&t->arena) + cell.offset,
				 &cell, l.widths[c]);
		if (c == t->n_columns - 1)
			end_line(&line);
	}
	return out->error;
}
