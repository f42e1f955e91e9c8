/* Small string helpers that libc lacks. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* True when s begins with prefix. */
bool str_has_prefix(const char *s, const char *prefix);

/* True when a and b are equal; NULL equals only NULL. */
bool str_equal(const char *a, const char *b);

/* The same, but A to Z equal a to z, in every locale. */
bool str_equal_nocase(const char *a, const char *b);

/* c, or the small letter when c is A to Z, in every locale. */
char str_lower(char c);

/* Removes blanks at both ends, in place; returns the new beginning. */
char *str_strip(char *s);

/* The candidate nearest to word ("did you mean"), by edit distance (two
 * neighbours swapped count as one edit) and ignoring case; NULL when none is
 * near (distance over a third of the word's length, at least 1) or nothing is
 * in common. Words over STR_NEAREST_MAX bytes are near to nothing. candidates
 * is read, never kept. */
#define STR_NEAREST_MAX 64
const char *str_nearest(const char *word, const char *const *candidates,
			size_t n_candidates);

/* Copies s to buf, with control characters, DEL and invalid UTF-8 shown as
 * \xNN, \n, \t, ...; always ends with NUL; cut (with "...") when buf is too
 * small. size_bytes is at least 4. Returns buf. */
char *str_escape(const char *s, char *buf, size_t size_bytes);
