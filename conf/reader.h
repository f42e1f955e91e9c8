/* An ini file's text to sections, keys and values, nothing lost, nothing cut.
 *
 * The text is read as Python's ConfigParser reads it for supervisord: full
 * lines that begin with ; or # are comments, lines that are indented deeper
 * than their key continue its value (joined with a newline), a ; after a
 * blank begins a comment. One difference, on purpose: not inside quotes, so
 * that sh -c 'a ; b' stays whole.
 *
 * inih splits keys from values. What it would mangle without a word (lines
 * over its limit, section names over 49 bytes, continuation lines, comments)
 * never reaches it: it is fed one clean logical line at a time, with a number
 * in place of the section's name.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Called in the order of the file. line counts from 1; 0 is the whole file. */
struct reader_events {
	/* name is NULL when the line is no proper [name]: on_problem was
	 * called, and the keys that follow belong to nothing known. */
	void (*on_section)(void *userdata, const char *name, int line);
	void (*on_value)(void *userdata, const char *key, const char *value,
			 int line);
	void (*on_problem)(void *userdata, bool is_error, int line,
			   const char *text);
	/* Is this word a key of the current section? For a warning about keys
	 * that are indented by accident. */
	bool (*is_key)(void *userdata, const char *word);
	void *userdata;
};

/* Reads text, which need not end with NUL. Uses inih's global options: one
 * thread at a time. Returns 0 (also after problems) or -ENOMEM. */
int reader_read(const char *text, size_t len,
		const struct reader_events *events);
