/* select.c: which names a pattern means. */
#include "supervisor/core/select.h"

#include <string.h>

#include "tests/lib/unit.h"

/* The fleet of these tests. [group:site] programs=web,api */
static const struct {
	const char *name, *group, *section;
} fleet[] = {
	{ "web:0", "site", "web" },		     /* a */
	{ "web:1", "site", "web" },		     /* b */
	{ "api", "site", "api" },		     /* c */
	{ "mail", "mail", "mail" },		     /* d */
	{ "web2:0", "web2", "web2" },		     /* e */
	{ "a[1]:0", "a[1]", "a[1]" },		     /* f */
	{ "x.y-z_1@h:7", "x.y-z_1@h", "x.y-z_1@h" }, /* g */
	{ "caf\303\251 au lait", "caf\303\251 au lait",
	  "caf\303\251 au lait" },			 /* h */
	{ "back\\slash", "back\\slash", "back\\slash" }, /* i */
};

START_TEST(test_patterns)
{
	static const struct {
		const char *pattern, *expected;
	} rows[] = {
		{ "all", "abcdefghi" },
		{ "*", "abcdefghi" },
		{ "ALL", "" },
		{ "", "" },
		{ ":", "" },
		{ ":*", "" },
		/* one process */
		{ "web:0", "a" },
		{ "web:1", "b" },
		{ "web:2", "" },
		{ "web:00", "" },
		{ "Web:0", "" },
		{ "mail", "d" },
		{ "mail:mail", "d" }, /* supervisorctl */
		{ "web:web_1", "b" },
		{ "web:web_", "" },
		{ "web:web", "" },
		{ "web_1", "" },
		{ "site:web:1", "b" },
		{ "site:web_1", "b" },
		{ "site:api", "c" },
		{ "site:mail", "" },
		{ "mail:web_1", "" },
		/* sections and groups */
		{ "web", "ab" },
		{ "web:*", "ab" },
		{ "site", "abc" },
		{ "site:*", "abc" },
		{ "api:*", "c" },
		{ "mail:*", "d" },
		{ "web2", "e" },
		{ "we", "" },
		{ "we:*", "" },
		{ "web:", "" },
		/* globs over the full names */
		{ "web*", "abe" },
		{ "web?:0", "e" },
		{ "*:0", "aef" },
		{ "*:[0-9]", "abefg" },
		{ "[!w]*:0", "f" },
		{ "ma?l", "d" },
		{ "s*", "" }, /* not over groups */
		{ "?", "" },
		{ "*a*", "cdfhi" },
		/* special characters */
		{ "a[1]:0", "f" },
		{ "a[1]", "f" },
		{ "a[1]:*", "f" },
		{ "a\\[1\\]:*", "f" },
		{ "a\\[1\\]*", "f" },
		{ "x.y-z_1@h:7", "g" },
		{ "x.y-z_1@h:*", "g" },
		{ "xzy-z_1@h:7", "" },
		{ "caf\303\251 au lait", "h" },
		{ "caf*lait", "h" },
		{ "back\\slash", "i" },
		{ "back\\\\sl*", "i" },
		{ "[", "" },
		{ "[web", "" },
		{ "web:[", "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char found[ARRAY_SIZE(fleet) + 1] = "";
		size_t n = 0;

		for (size_t k = 0; k < ARRAY_SIZE(fleet); k++)
			if (select_matches(rows[i].pattern, fleet[k].name,
					   fleet[k].group, fleet[k].section))
				found[n++] = (char)('a' + k);
		ck_assert_msg(strcmp(found, rows[i].expected) == 0,
			      "\"%s\" found \"%s\", not \"%s\"",
			      rows[i].pattern, found, rows[i].expected);
	}
}
END_TEST

START_TEST(test_without_group)
{
	ck_assert(select_matches("web:0", "web:0", NULL, NULL));
	ck_assert(select_matches("w*", "web:0", NULL, "web"));
	ck_assert(!select_matches("web", "web:0", NULL, NULL));
	ck_assert(!select_matches(":*", "web:0", "", ""));
}
END_TEST

START_TEST(test_is_exact)
{
	static const struct {
		const char *pattern;
		bool expected;
	} rows[] = {
		{ "web", true },	 { "web:1", true },
		{ "web:web_1", true },	 { "web:*", true },
		{ "caf\303\251", true }, { "", true },
		{ "all", false },	 { "*", false },
		{ "web*", false },	 { "w?b", false },
		{ "[w]eb", false },	 { "w*b:*", false },
		{ "*:*", false },	 { "web:1*", false },
		{ "web:**", false },	 { "web:*:1", false },
		{ ":*", false },	 { "web:?", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		ck_assert_msg(select_is_exact(rows[i].pattern) ==
				      rows[i].expected,
			      "\"%s\"", rows[i].pattern);
}
END_TEST

UNIT_MAIN("select", test_patterns, test_without_group, test_is_exact)
