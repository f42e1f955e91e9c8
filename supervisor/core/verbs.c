/* The rows of verbs.h as a table, and finding one. Pure. */
#include "supervisor/core/verbs.h"

#include "workers/base/pure/str.h"

const struct verb verb_table[VERB_COUNT] = {
#define X(id, word_, member_, in_, in_names_, out_, out_names_, access_,       \
	  arguments_, help_)                                                   \
	[VERB_##id] = {                                                        \
		.word = (word_),                                               \
		.member = (member_),                                           \
		.in = (in_),                                                   \
		.in_names = (in_names_),                                       \
		.out = (out_),                                                 \
		.out_names = (out_names_),                                     \
		.access = (access_),                                           \
		.arguments = (arguments_),                                     \
		.help = (help_),                                               \
	},
	VERBS(X)
#undef X
};

const struct verb *verb_by_word(const char *word)
{
	for (size_t i = 0; i < VERB_COUNT; i++)
		if (str_equal(verb_table[i].word, word))
			return &verb_table[i];
	return NULL;
}

const struct verb *verb_by_member(const char *member)
{
	/* str_equal(NULL, NULL) holds: rows without a member have no name */
	for (size_t i = 0; member && i < VERB_COUNT; i++)
		if (str_equal(verb_table[i].member, member))
			return &verb_table[i];
	return NULL;
}
