#include "workers/base/pure/utf8.h"

#include <string.h>

#include "tests/lib/unit.h"

static const char *const good[] = {
	"",
	"plain \t\n\x7f",
	"\xc2\x80", /* U+0080, the least of two bytes */
	"\xdf\xbf",
	"\xe0\xa0\x80",
	"\xed\x9f\xbf", /* the last before the surrogates */
	"\xee\x80\x80",
	"\xef\xbf\xbf",
	"\xf0\x90\x80\x80",
	"\xf4\x8f\xbf\xbf", /* U+10FFFF */
	"a\xc3\xa4z\xe2\x82\xac\xf0\x9f\x98\x80.",
};

static const char *const bad[] = {
	"\x80", /* a continuation alone */
	"a\xbfz",
	"\xc3", /* cut short */
	"\xc3z",
	"\xe2\x82",
	"\xe2\x82z",
	"\xf0\x9f\x98",
	"\xc0\x80", /* longer than needed */
	"\xc1\xbf",
	"\xe0\x9f\xbf",
	"\xf0\x8f\xbf\xbf",
	"\xed\xa0\x80", /* surrogates */
	"\xed\xbf\xbf",
	"\xf4\x90\x80\x80", /* over U+10FFFF */
	"\xf5\x80\x80\x80",
	"\xff",
};

START_TEST(test_good)
{
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		ck_assert_msg(utf8_is_valid(good[i], strlen(good[i])), "%zu",
			      i);
	ck_assert(utf8_is_valid("a\0b", 3));
}
END_TEST

START_TEST(test_bad)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		ck_assert_msg(!utf8_is_valid(bad[i], strlen(bad[i])), "%zu", i);
	/* what is behind the end does not complete it */
	ck_assert(!utf8_is_valid("\xc3\xa4", 1));
}
END_TEST

UNIT_MAIN("utf8", test_good, test_bad)
