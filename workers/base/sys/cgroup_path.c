/* See cgroup_path.h. */
#include "workers/base/sys/cgroup_path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/str.h"
#include "workers/base/sys/fd.h"

#define GROUP_FILE_MAX 65536

/* The path behind "0::" in a /proc/PID/cgroup, ending at *ret_len. */
static const char *find_group(const char *text, size_t *ret_len)
{
	for (const char *line = text; *line;) {
		const char *end = strchrnul(line, '\n');

		if (str_has_prefix(line, "0::/")) {
			*ret_len = (size_t)(end - line) - 3;
			return line + 3;
		}
		line = *end ? end + 1 : end;
	}
	return NULL;
}

int cgroup_path_read(const char *pid, char **ret_group)
{
	_cleanup_(free_pointer) char *text = NULL;
	char path[64], *copy;
	const char *group;
	size_t len;
	int r;

	(void)snprintf(path, sizeof(path), "/proc/%s/cgroup", pid);
	r = fd_read_file(AT_FDCWD, path, GROUP_FILE_MAX, &text, NULL);
	if (r < 0)
		return r == -ENOENT ? -ESRCH : r;
	group = find_group(text, &len);
	if (!group)
		return -ENOENT;
	copy = strndup(group, len);
	if (!copy)
		return -ENOMEM;
	*ret_group = copy;
	return 0;
}

/* Undoes the octal escapes of mountinfo (blank, tab, newline, backslash). */
static void unescape(char *s)
{
	char *to = s;

	while (*s) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' &&
		    s[2] <= '7' && s[3] >= '0' && s[3] <= '7') {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 |
				       (s[3] - '0'));
			s += 4;
		} else {
			*to++ = *s++;
		}
	}
	*to = '\0';
}

/* Splits off the next word; NULL at the end. */
static char *next_word(char **line)
{
	char *word = *line;

	if (!word || !*word)
		return NULL;
	*line = strchrnul(word, ' ');
	if (**line)
		*(*line)++ = '\0';
	return word;
}

/* "ID PARENT MAJ:MIN ROOT POINT OPTIONS [TAG...] - TYPE SOURCE OPTIONS" */
bool cgroup_path_parse_mount(char *line, char **ret_root, char **ret_point)
{
	char *word, *root = NULL, *point = NULL;

	for (int i = 1; (word = next_word(&line)); i++) {
		if (i == 4)
			root = word;
		else if (i == 5)
			point = word;
		else if (i > 6 && str_equal(word, "-"))
			break;
	}
	word = next_word(&line);
	if (!root || !point || !str_equal(word, "cgroup2"))
		return false;
	unescape(root);
	unescape(point);
	*ret_root = root;
	*ret_point = point;
	return true;
}

const char *cgroup_path_below(const char *group, const char *root)
{
	size_t len = strlen(root);

	if (str_equal(root, "/"))
		return str_equal(group, "/") ? "" : group;
	if (strncmp(group, root, len) != 0)
		return NULL;
	return group[len] == '\0' || group[len] == '/' ? group + len : NULL;
}

char *cgroup_path_join(const char *path, const char *name)
{
	char *joined;

	if (asprintf(&joined, "%s/%s", str_equal(path, "/") ? "" : path, name) <
	    0)
		return NULL;
	return joined;
}
