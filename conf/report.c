/* See report.h. */
#include "conf/report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "workers/base/pure/buf.h"
#include "workers/base/pure/str.h"

#define MESSAGE_MAX 4096

static int grow(struct notes *n)
{
	size_t want = n->n_allocated ? 2 * n->n_allocated : 16;
	struct note *items;

	if (n->n_items < n->n_allocated)
		return 0;
	items = reallocarray(n->items, want, sizeof(*items));
	if (!items)
		return -ENOMEM;
	n->items = items;
	n->n_allocated = want;
	return 0;
}

/* A place for one more: when all are taken, an error pushes out a warning. */
static struct note *make_place(struct notes *n, bool is_error)
{
	if (!notes_are_full(n))
		return grow(n) < 0 ? NULL : &n->items[n->n_items++];
	reeve_assert(is_error && n->n_kept_warnings > 0);
	n->n_kept_warnings--;
	for (size_t i = n->n_items; i-- > 0;)
		if (!n->items[i].is_error) {
			free(n->items[i].text);
			return &n->items[i];
		}
	return NULL;
}

void notes_add(struct notes *n, bool is_error, uint32_t where, const char *fmt,
	       va_list ap)
{
	struct note *place;
	struct buf text = BUF_INIT(MESSAGE_MAX);
	char *s;

	if (is_error)
		n->n_errors++;
	else
		n->n_warnings++;
	if (notes_are_full(n) && (!is_error || n->n_kept_warnings == 0))
		return;
	(void)buf_vprintf(&text, fmt, ap);
	if (text.error == -EMSGSIZE) {
		buf_clear(&text);
		(void)buf_puts(&text, "(a message that is too long to show)");
	}
	s = buf_take(&text);
	buf_done(&text);
	place = s ? make_place(n, is_error) : NULL;
	if (!place) {
		n->out_of_memory = true;
		free(s);
		return;
	}
	n->n_kept_warnings += !is_error;
	*place = (struct note){ is_error, where, s };
}

void notes_error(struct notes *n, uint32_t where, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	notes_add(n, true, where, fmt, ap);
	va_end(ap);
}

void notes_warning(struct notes *n, uint32_t where, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	notes_add(n, false, where, fmt, ap);
	va_end(ap);
}

/* Insertion keeps notes of one line in the order in which they were found;
 * they come nearly sorted, and there are at most CONF_MESSAGES_MAX. */
static void sort_by_place(struct notes *n)
{
	for (size_t i = 1; i < n->n_items; i++) {
		struct note moving = n->items[i];
		size_t at = i;

		for (; at > 0 && n->items[at - 1].where > moving.where; at--)
			n->items[at] = n->items[at - 1];
		n->items[at] = moving;
	}
}

int notes_finish(struct notes *n, char *const *names, size_t n_names,
		 struct conf_report *ret_report)
{
	struct conf_report report = { .n_errors = n->n_errors,
				      .n_warnings = n->n_warnings };
	int r = n->out_of_memory ? -ENOMEM : 0;

	sort_by_place(n);
	if (n->n_items > 0)
		report.messages = calloc(n->n_items, sizeof(*report.messages));
	for (size_t i = 0; report.messages && i < n->n_items; i++) {
		struct note *note = &n->items[i];
		struct conf_message *m = &report.messages[i];
		size_t file = origin_file(note->where);

		m->is_error = note->is_error;
		m->line = (int)origin_line(note->where);
		m->text = TAKE(note->text);
		m->file = file < n_names ? strdup(names[file]) : NULL;
		if (file < n_names && !m->file)
			r = -ENOMEM;
		report.n_messages++;
	}
	if (report.n_messages < n->n_items)
		r = -ENOMEM;
	notes_done(n);
	*ret_report = report;
	return r;
}

void notes_done(struct notes *n)
{
	for (size_t i = 0; i < n->n_items; i++)
		free(n->items[i].text);
	free(n->items);
	*n = (struct notes){ 0 };
}

const char *report_quote(const char *s, char buf[static REPORT_QUOTE_MAX])
{
	return str_escape(s, buf, REPORT_QUOTE_MAX);
}

void conf_report_done(struct conf_report *report)
{
	for (size_t i = 0; i < report->n_messages; i++) {
		free(report->messages[i].file);
		free(report->messages[i].text);
	}
	free(report->messages);
	*report = (struct conf_report){ 0 };
}

static void print_message(const struct conf_message *m, FILE *to)
{
	char name[1024];

	if (m->file)
		fprintf(to, "%s:", str_escape(m->file, name, sizeof(name)));
	if (m->line > 0)
		fprintf(to, "%d:", m->line);
	fprintf(to, "%s%s: %s\n", m->file || m->line > 0 ? " " : "",
		m->is_error ? "error" : "warning", m->text);
}

void conf_report_print(const struct conf_report *report, FILE *to)
{
	size_t total = report->n_errors + report->n_warnings;

	for (size_t i = 0; i < report->n_messages; i++)
		print_message(&report->messages[i], to);
	if (total > report->n_messages)
		fprintf(to, "and %zu more like these\n",
			total - report->n_messages);
}
