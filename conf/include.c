/* [include] files=: paths and patterns, relative to the file that has them.
 *
 * Files are read one after the other, breadth first, each once: a file that
 * comes again is skipped with a warning, or refused when it would include
 * itself. A pattern that matches nothing is worth a warning, unless it stands
 * for an empty directory: that is how /etc/reeve/conf.d begins.
 * See load.h. */
#include "conf/load.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"

#define PATTERN_MAX 4096

/* The absolute directory of path. */
static char *find_here(struct arena *a, const char *path)
{
	_cleanup_(free_pointer) char *cwd = NULL, *full = NULL;
	const char *slash = strrchr(path, '/');
	int len = slash ? (int)(slash - path) : 0;

	if (path[0] == '/')
		return arena_strndup(a, path, len > 0 ? (size_t)len : 1);
	cwd = get_current_dir_name();
	if (asprintf(&full, "%s%s%.*s", cwd ? cwd : ".", len > 0 ? "/" : "",
		     len, path) < 0)
		full = NULL;
	return full ? arena_strdup(a, full) : NULL;
}

int load_add_file(struct loader *ld, const char *path, uint32_t included_at)
{
	struct conf_file f = { .included_at = included_at };

	if (ld->n_files == ld->n_files_allocated) {
		size_t want = 2 * ld->n_files_allocated + 8;
		struct conf_file *files =
			reallocarray(ld->files, want, sizeof(*files));

		if (!files)
			return -ENOMEM;
		ld->files = files;
		ld->n_files_allocated = want;
	}
	f.path = arena_strdup(ld->arena, path);
	f.here = find_here(ld->arena, path);
	if (!f.path || !f.here)
		return -ENOMEM;
	ld->files[ld->n_files++] = f;
	return 0;
}

/* True when file is one that the file with index in comes from, or itself. */
static bool is_ancestor(const struct loader *ld, const struct stat *st,
			size_t in)
{
	for (;;) {
		const struct conf_file *f = &ld->files[in];

		if (f->device == st->st_dev && f->inode == st->st_ino)
			return true;
		if (f->included_at == 0)
			return false;
		in = origin_file(f->included_at);
	}
}

static bool is_known(const struct loader *ld, const struct stat *st)
{
	for (size_t i = 0; i < ld->n_files; i++)
		if (ld->files[i].is_read && ld->files[i].device == st->st_dev &&
		    ld->files[i].inode == st->st_ino)
			return true;
	return false;
}

static int include_file(struct loader *ld, const char *path, uint32_t where)
{
	char shown[REPORT_QUOTE_MAX];
	struct stat st;
	int r;

	report_quote(path, shown);
	if (ld->n_files == CONF_FILES_MAX) {
		notes_error(&ld->notes, where,
			    "cannot include %s: more than %d files", shown,
			    CONF_FILES_MAX);
		return 0;
	}
	if (stat(path, &st) < 0) {
		notes_error(&ld->notes, where, "cannot include %s: %s", shown,
			    strerror(errno));
		return 0;
	}
	if (is_ancestor(ld, &st, ld->file)) {
		notes_error(&ld->notes, where,
			    "cannot include %s: it is being read already (an "
			    "include loop)",
			    shown);
		return 0;
	}
	if (is_known(ld, &st)) {
		notes_warning(&ld->notes, where,
			      "%s is included already; it is read once", shown);
		return 0;
	}
	r = load_add_file(ld, path, where);
	if (r < 0)
		return r;
	ld->files[ld->n_files - 1].is_read = true;
	ld->files[ld->n_files - 1].device = st.st_dev;
	ld->files[ld->n_files - 1].inode = st.st_ino;
	return 0;
}

static bool has_wildcard(const char *s)
{
	return strpbrk(s, "*?[") != NULL;
}

/* An existing directory with nothing in it that a pattern could match. */
static bool is_empty_directory(const char *pattern)
{
	const char *slash = strrchr(pattern, '/');
	char all[PATTERN_MAX];
	struct stat st;
	glob_t found;
	bool is_empty;
	int n = slash ? (int)(slash - pattern) : 0;

	if (!slash || !has_wildcard(slash))
		return false;
	snprintf(all, sizeof(all), "%.*s/", n, pattern);
	if (has_wildcard(all) || stat(all, &st) < 0 || !S_ISDIR(st.st_mode))
		return false;
	snprintf(all, sizeof(all), "%.*s/*", n, pattern);
	is_empty = glob(all, GLOB_NOSORT, NULL, &found) == GLOB_NOMATCH;
	globfree(&found);
	return is_empty;
}

static int include_pattern(struct loader *ld, const char *pattern,
			   uint32_t where)
{
	char shown[REPORT_QUOTE_MAX];
	glob_t found;
	int r;

	r = glob(pattern, 0, NULL, &found);
	if (r == GLOB_NOSPACE)
		return -ENOMEM;
	if (r != 0 && !is_empty_directory(pattern))
		notes_warning(&ld->notes, where, "no file matches \"%s\"",
			      report_quote(pattern, shown));
	if (r != 0)
		return 0;
	for (size_t i = 0; r == 0 && i < found.gl_pathc; i++)
		r = include_file(ld, found.gl_pathv[i], where);
	globfree(&found);
	return r;
}

/* All patterns of one files=, already expanded. */
static int include_all(struct loader *ld, char *patterns, uint32_t where)
{
	const char *path = ld->files[ld->file].path;
	const char *slash = strrchr(path, '/');
	int n = slash ? (int)(slash - path) + 1 : 0;
	char full[PATTERN_MAX], *rest = NULL;

	for (char *p = strtok_r(patterns, " \t\n", &rest); p;
	     p = strtok_r(NULL, " \t\n", &rest)) {
		int len = snprintf(full, sizeof(full), "%.*s%s",
				   p[0] == '/' ? 0 : n, path, p);
		int r = 0;

		if (len < 0 || (size_t)len >= sizeof(full))
			notes_error(&ld->notes, where,
				    "the pattern is longer than %d bytes",
				    PATTERN_MAX);
		else
			r = include_pattern(ld, full, where);
		if (r < 0)
			return r;
	}
	return 0;
}

static int include_value(struct loader *ld, const struct raw_value *v)
{
	_cleanup_(buf_done) struct buf text = BUF_INIT(CONF_LINE_MAX);
	struct expand_names names = ld->names;
	char reason[EXPAND_REASON_MAX];
	int r;

	if (!ld->has_files) {
		notes_error(&ld->notes, v->where,
			    "a configuration that is no file cannot include");
		return 0;
	}
	names.here = ld->files[ld->file].here;
	r = expand(v->text, &names, &text, reason);
	if (r == -EINVAL || r == -EMSGSIZE) {
		notes_error(&ld->notes, v->where, "%s in [include]: %s",
			    v->row->key,
			    r == -EINVAL ? reason : "it becomes too long");
		return 0;
	}
	if (r < 0)
		return r;
	return text.len > 0 ? include_all(ld, text.data, v->where) : 0;
}

int load_include(struct loader *ld)
{
	size_t n = ld->n_sections;
	int r = 0;

	/* those of the file that was just read: the last ones */
	while (n > 0 && origin_file(ld->sections[n - 1]->where) == ld->file)
		n--;
	for (; r == 0 && n < ld->n_sections; n++) {
		const struct raw_section *s = ld->sections[n];

		if (s->kind != SECTION_INCLUDE)
			continue;
		if (!s->values)
			notes_error(&ld->notes, s->where,
				    "[include] needs files=");
		else
			r = include_value(ld, s->values);
	}
	return r;
}
