/* Splits a command as a shell splits words: quotes and escapes, but no
 * expansion, no globbing and no operators: ; | & < > $ * are plain letters.
 * Pure but for malloc.
 */
#pragma once

#include <stddef.h>

/* Splits s into a NULL-terminated vector in one allocation (one free frees
 * all). Single quotes keep everything; double quotes keep all but \" \\ \$
 * \` and \newline; outside of quotes a backslash keeps the next character. A
 * newline after a backslash vanishes with it, unless in single quotes.
 *
 * Returns the number of words (0 for blank input), -ENOMEM, or -EINVAL with
 * *ret_error a constant sentence ("unclosed ' quote") when not NULL. */
int words_split(const char *s, char ***ret_words, const char **ret_error);
