/* The splitter runs twice over the text: once to count words and find errors,
 * once to write them, so that vector and words fit one allocation.
 *
 * Room for the words: a word of n bytes takes n + 1 with its NUL, and comes
 * from at least n bytes of the text, followed by a blank or the end. So
 * strlen(s) + 1 bytes are always enough.
 */
#include "workers/base/pure/words.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct splitter {
	const char *in;
	char *out;	   /* NULL: count only */
	const char *error; /* NULL: none yet */
};

static void put(struct splitter *sp, char c)
{
	if (sp->out != NULL)
		*sp->out++ = c;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool at_continued_line(const struct splitter *sp)
{
	return sp->in[0] == '\\' && sp->in[1] == '\n';
}

static void skip_blanks(struct splitter *sp)
{
	while (is_blank(*sp->in) || at_continued_line(sp))
		sp->in += is_blank(*sp->in) ? 1 : 2;
}

static bool has_escape(const char *s)
{
	return s[0] == '\\' && s[1] != '\0' && strchr("\"\\$`\n", s[1]) != NULL;
}

static void take_single_quoted(struct splitter *sp)
{
	for (sp->in++; *sp->in != '\''; sp->in++) {
		if (*sp->in == '\0') {
			sp->error = "unclosed ' quote";
			return;
		}
		put(sp, *sp->in);
	}
	sp->in++;
}

static void take_double_quoted(struct splitter *sp)
{
	for (sp->in++; *sp->in != '"'; sp->in++) {
		if (*sp->in == '\0') {
			sp->error = "unclosed \" quote";
			return;
		}
		if (at_continued_line(sp)) {
			sp->in++;
			continue;
		}
		if (has_escape(sp->in))
			sp->in++;
		put(sp, *sp->in);
	}
	sp->in++;
}

static void take_escaped(struct splitter *sp)
{
	if (at_continued_line(sp)) {
		sp->in += 2;
		return;
	}
	if (sp->in[1] == '\0') {
		sp->error = "nothing after the last backslash";
		return;
	}
	put(sp, sp->in[1]);
	sp->in += 2;
}

static void take_word(struct splitter *sp)
{
	while (*sp->in != '\0' && !is_blank(*sp->in) && sp->error == NULL) {
		if (*sp->in == '\'')
			take_single_quoted(sp);
		else if (*sp->in == '"')
			take_double_quoted(sp);
		else if (*sp->in == '\\')
			take_escaped(sp);
		else
			put(sp, *sp->in++);
	}
	put(sp, '\0');
}

/* Returns how many words there are, and points words (may be NULL) at them;
 * meaningless after an error. */
static size_t split(struct splitter *sp, char **words)
{
	size_t n = 0;

	for (skip_blanks(sp); *sp->in != '\0'; skip_blanks(sp)) {
		if (words != NULL)
			words[n] = sp->out;
		n++;
		take_word(sp);
		if (sp->error != NULL)
			break;
	}
	return n;
}

int words_split(const char *s, char ***ret_words, const char **ret_error)
{
	struct splitter counter = { .in = s };
	size_t len = strlen(s);

	if (len >= INT_MAX / sizeof(char *))
		return -ENOMEM;

	size_t n = split(&counter, NULL);
	if (counter.error != NULL) {
		if (ret_error != NULL)
			*ret_error = counter.error;
		return -EINVAL;
	}

	char **words = malloc((n + 1) * sizeof(char *) + len + 1);
	if (words == NULL)
		return -ENOMEM;
	split(&(struct splitter){ .in = s, .out = (char *)(words + n + 1) },
	      words);
	words[n] = NULL;
	*ret_words = words;
	return (int)n;
}
