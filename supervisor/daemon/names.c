/* See names.h.
 *
 * One answer is one line of tab-separated fields:
 *   i USER GROUP RESULT UID GID NAME HOME GID,GID,...
 *   g GROUP RESULT GID
 * "-" stands for no group. Names with tabs or newlines do not exist.
 */
#include "supervisor/daemon/names.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workers/base/pure/parse.h"
#include "workers/base/sys/fd.h"

#define FIELDS_MAX 9

static bool is_plain(const char *name)
{
	return !name || !strpbrk(name, "\t\n");
}

/* ---- the helper's side --------------------------------------------------- */

static int tell_identity(void *userdata, const char *user, const char *group,
			 struct identity *ret)
{
	int r = is_plain(user) && is_plain(group)
			? conf_resolver_nss.identity(NULL, user, group, ret)
			: -ENOENT;
	struct buf *b = userdata;

	(void)buf_printf(b, "i\t%s\t%s\t%d", user, group ? group : "-", r);
	if (r == 0) {
		(void)buf_printf(b, "\t%u\t%u\t%s\t%s\t", ret->uid, ret->gid,
				 ret->name ? ret->name : "",
				 ret->home ? ret->home : "");
		for (size_t i = 0; i < ret->n_groups; i++)
			(void)buf_printf(b, "%u,", ret->groups[i]);
	}
	(void)buf_putc(b, '\n');
	return r;
}

static int tell_group(void *userdata, const char *group, gid_t *ret_gid)
{
	int r = is_plain(group) ? conf_resolver_nss.group(NULL, group, ret_gid)
				: -ENOENT;

	(void)buf_printf(userdata, "g\t%s\t%d\t%u\n", group, r,
			 r == 0 ? *ret_gid : 0);
	return r;
}

int names_helper(const char *path, bool ignore_unsupported, int fd)
{
	struct buf answers = BUF_INIT(NAMES_MAX_BYTES);
	const struct conf_resolver resolver = {
		tell_identity,
		tell_group,
		&answers,
	};
	const struct conf_options options = {
		.resolver = &resolver,
		.ignore_unsupported = ignore_unsupported,
		.check_files = true, /* so that a dead mount hangs us */
	};
	struct settings *settings = NULL;
	struct conf_report report;
	int r;

	/* Errors are the daemon's to report, when it loads the file itself. */
	(void)conf_load(path, &options, &settings, &report);
	conf_report_done(&report);
	settings_free(settings);
	r = fd_write_all(fd, buf_text(&answers), answers.len);
	buf_done(&answers);
	return r < 0;
}

/* ---- the daemon's side --------------------------------------------------- */

/* Splits a copy of the line at text into fields, in place. */
static size_t split_fields(char *line, char *fields[FIELDS_MAX])
{
	size_t n = 0;

	while (n < FIELDS_MAX && line) {
		fields[n++] = line;
		line = strchr(line, '\t');
		if (line)
			*line++ = '\0';
	}
	return n;
}

static int parse_ids(char *text, struct identity *id)
{
	size_t n = 0;

	for (const char *p = text; *p; p++)
		n += *p == ',';
	id->groups = calloc(n + 1, sizeof(gid_t));
	if (!id->groups)
		return -ENOMEM;
	for (char *end; n > 0 && *text; text = end + 1) {
		id->groups[id->n_groups++] = (gid_t)strtoul(text, &end, 10);
		if (*end != ',' || id->n_groups == n)
			break;
	}
	return 0;
}

static int fill_identity(char *fields[FIELDS_MAX], struct identity *ret)
{
	struct identity id = { .is_set = true };
	uint64_t uid = 0, gid = 0;
	int r;

	r = parse_u64(fields[4], 0, UINT32_MAX, &uid);
	if (r == 0)
		r = parse_u64(fields[5], 0, UINT32_MAX, &gid);
	if (r < 0)
		return r;
	id.uid = (uid_t)uid;
	id.gid = (gid_t)gid;
	id.name = strdup(fields[6]);
	id.home = strdup(fields[7]);
	r = id.name && id.home ? parse_ids(fields[8], &id) : -ENOMEM;
	if (r < 0) {
		free(id.name);
		free(id.home);
		free(id.groups);
		return r;
	}
	*ret = id;
	return 0;
}

/* The errno that the helper was told; -EAGAIN when it is none. */
static int recall_error(const char *text)
{
	int64_t error;

	if (parse_i64(text, -4095, -1, &error) < 0)
		return -EAGAIN;
	return (int)error;
}

/* The fields of the answer that begins with these, or -EAGAIN. *ret_line owns
 * them. */
static int find_answer(const struct names *names, const char *prefix,
		       char **ret_line, char *fields[FIELDS_MAX])
{
	const char *p = buf_text(&names->text);

	while (*p) {
		size_t len = strcspn(p, "\n");

		if (strncmp(p, prefix, strlen(prefix)) == 0) {
			*ret_line = strndup(p, len);
			if (!*ret_line)
				return -ENOMEM;
			return (int)split_fields(*ret_line, fields);
		}
		p += len + (p[len] == '\n');
	}
	return -EAGAIN;
}

static int recall_identity(void *userdata, const char *user, const char *group,
			   struct identity *ret)
{
	_cleanup_(free_pointer) char *prefix = NULL, *line = NULL;
	char *fields[FIELDS_MAX] = { NULL };
	int n;

	if (!is_plain(user) || !is_plain(group))
		return -ENOENT;
	if (asprintf(&prefix, "i\t%s\t%s\t", user, group ? group : "-") < 0)
		return -ENOMEM;
	n = find_answer(userdata, prefix, &line, fields);
	if (n < 0)
		return n;
	if (n < 4)
		return -EAGAIN;
	if (strcmp(fields[3], "0") != 0)
		return recall_error(fields[3]);
	return n == FIELDS_MAX ? fill_identity(fields, ret) : -EAGAIN;
}

static int recall_group(void *userdata, const char *group, gid_t *ret_gid)
{
	_cleanup_(free_pointer) char *prefix = NULL, *line = NULL;
	char *fields[FIELDS_MAX] = { NULL };
	uint64_t gid;
	int n;

	if (!is_plain(group))
		return -ENOENT;
	if (asprintf(&prefix, "g\t%s\t", group) < 0)
		return -ENOMEM;
	n = find_answer(userdata, prefix, &line, fields);
	if (n < 0)
		return n;
	if (n < 4)
		return -EAGAIN;
	if (strcmp(fields[2], "0") != 0)
		return recall_error(fields[2]);
	n = parse_u64(fields[3], 0, UINT32_MAX, &gid);
	if (n == 0)
		*ret_gid = (gid_t)gid;
	return n;
}

struct conf_resolver names_resolver(struct names *names)
{
	return (struct conf_resolver){
		recall_identity,
		recall_group,
		names,
	};
}
