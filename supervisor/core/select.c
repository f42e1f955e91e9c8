/* Names and patterns of workers: see select.h for what they mean. Pure. */
#include "supervisor/core/select.h"

#include <fnmatch.h>
#include <stddef.h>
#include <string.h>

#include "workers/base/pure/str.h"

/* What follows "owner:" in pattern, or NULL when it does not begin so. */
static const char *after_owner(const char *pattern, const char *owner)
{
	size_t len = owner ? strlen(owner) : 0;

	if (len == 0 || strncmp(pattern, owner, len) != 0 ||
	    pattern[len] != ':')
		return NULL;
	return pattern + len + 1;
}

/* "web_1" is supervisor's usual name of what we call "web:1". */
static bool is_underscored(const char *word, const char *full_name)
{
	const char *colon = strchr(full_name, ':');
	size_t len = colon ? (size_t)(colon - full_name) : 0;

	return colon && strncmp(word, full_name, len) == 0 &&
	       word[len] == '_' && str_equal(word + len + 1, colon + 1);
}

/* OWNER:*, or OWNER:PROCESS as supervisorctl writes it. */
static bool is_owned(const char *pattern, const char *owner,
		     const char *full_name)
{
	const char *rest = after_owner(pattern, owner);

	return rest && (str_equal(rest, "*") || str_equal(rest, full_name) ||
			is_underscored(rest, full_name));
}

static bool is_everyone(const char *pattern)
{
	return str_equal(pattern, "all") || str_equal(pattern, "*");
}

static bool is_glob(const char *pattern)
{
	return strpbrk(pattern, "*?[") != NULL;
}

bool select_matches(const char *pattern, const char *full_name,
		    const char *group, const char *section)
{
	if (is_everyone(pattern) || str_equal(pattern, full_name) ||
	    str_equal(pattern, group) || str_equal(pattern, section))
		return true;
	if (is_owned(pattern, group, full_name) ||
	    is_owned(pattern, section, full_name))
		return true;
	return is_glob(pattern) && fnmatch(pattern, full_name, 0) == 0;
}

bool select_is_exact(const char *pattern)
{
	size_t len = strlen(pattern);

	if (is_everyone(pattern))
		return false;
	if (!is_glob(pattern))
		return true;
	/* the only sign of a glob is the star of OWNER:* */
	return len > 2 && pattern[len - 2] == ':' &&
	       strcspn(pattern, "*?[") == len - 1 && pattern[len - 1] == '*';
}
