/* Loading a configuration: reading its files and going through the stages.
 * See load.h. */
#include "conf/load.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/parse.h"
#include "workers/base/sys/fd.h"

#define HOST_NAME_BYTES 256
#define ARENA_BYTES	4096

/* What all expansions know: set before anything is read. */
static int init_names(struct loader *ld)
{
	char host[HOST_NAME_BYTES] = "";

	if (gethostname(host, sizeof(host) - 1) < 0)
		host[0] = '\0';
	ld->settings->host_node_name = arena_strdup(ld->arena, host);
	if (!ld->settings->host_node_name)
		return -ENOMEM;
	ld->names.host_node_name = ld->settings->host_node_name;
	ld->names.environment = environ;
	return 0;
}

static void loader_done(struct loader *ld)
{
	ld->settings = settings_free(ld->settings);
	arena_done(&ld->scratch);
	notes_done(&ld->notes);
	free(ld->files);
	free(ld->sections);
	free(ld->workers);
	free(ld->unsupported);
	/* reeved keeps the settings for months: not the holes between them */
	(void)malloc_trim(0);
}

struct settings *settings_free(struct settings *s)
{
	if (!s)
		return NULL;
	arena_done(s->memory);
	free(s->memory);
	free(s);
	return NULL;
}

static int loader_init(struct loader *ld, const struct conf_options *options)
{
	int r;

	*ld = (struct loader){
		.options = options,
		.scratch = ARENA_INIT(ARENA_BYTES),
	};
	ld->settings = calloc(1, sizeof(*ld->settings));
	ld->arena = malloc(sizeof(*ld->arena));
	if (!ld->settings || !ld->arena) {
		free(ld->arena);
		free(ld->settings);
		return -ENOMEM;
	}
	*ld->arena = ARENA_INIT(ARENA_BYTES);
	ld->settings->memory = ld->arena;
	r = init_names(ld);
	if (r < 0)
		loader_done(ld);
	return r;
}

const struct schema_row *load_row(enum schema_section section, const char *key)
{
	const struct schema_row *row = schema_find(section, key);

	reeve_assert(row);
	return row;
}

uint32_t load_where_set(const struct raw_section *section, const char *key)
{
	for (const struct raw_value *v = section->values; v; v = v->next)
		if (strcmp(v->row->key, key) == 0)
			return v->where;
	return ORIGIN_DEFAULT;
}

uint32_t load_where(const struct raw_section *section, const char *key)
{
	uint32_t where = load_where_set(section, key);

	return where ? where : section->where;
}

static const char *read_error_text(int error)
{
	switch (error) {
	case -EISDIR:
		return "it is a directory";
	case -EFBIG:
		return "it is larger than 16 MB, or all files than 64 MB";
	case -EINVAL:
		return "it is not a regular file";
	default:
		return strerror(-error);
	}
}
_Static_assert(CONF_FILE_MAX == 16U << 20 && CONF_TOTAL_MAX == 64U << 20,
	       "the sentence above says 16 and 64 MB");

/* Cannot read files[ld->file]: told where it is included. */
static void tell_unreadable(struct loader *ld, int error)
{
	const struct conf_file *f = &ld->files[ld->file];
	char shown[REPORT_QUOTE_MAX];

	if (f->included_at)
		notes_error(&ld->notes, f->included_at, "cannot read %s: %s",
			    report_quote(f->path, shown),
			    read_error_text(error));
	else
		notes_error(&ld->notes, origin_make(ld->file, 0),
			    "cannot read it: %s", read_error_text(error));
}

/* Reads files[ld->file], and queues what it includes. Returns -ENOMEM, or for
 * the main file what reading it said. */
static int read_file(struct loader *ld)
{
	struct conf_file *f = &ld->files[ld->file];
	_cleanup_(free_pointer) char *text = NULL;
	size_t len = 0;
	struct stat st;
	int r;

	r = fd_read_file(AT_FDCWD, f->path, CONF_FILE_MAX, &text, &len);
	if (r == 0 && len > CONF_TOTAL_MAX - ld->total_bytes)
		r = -EFBIG;
	if (r < 0) {
		tell_unreadable(ld, r);
		return ld->file == 0 || r == -ENOMEM ? r : 0;
	}
	if (!f->is_read && stat(f->path, &st) == 0) {
		f->device = st.st_dev;
		f->inode = st.st_ino;
		f->is_read = true;
	}
	ld->total_bytes += len;
	r = load_sections_read(ld, text, len);
	return r < 0 ? r : load_include(ld);
}

/* By kind and name; what was read earlier comes first. */
static int compare_sections(const void *a, const void *b)
{
	const struct raw_section *const *sa = a, *const *sb = b;
	int r = (int)(*sa)->kind - (int)(*sb)->kind;

	if (r == 0)
		r = strcmp((*sa)->name, (*sb)->name);
	if (r == 0)
		r = (*sa)->where < (*sb)->where ? -1 : 1;
	return r;
}

static void tell_twice(struct loader *ld, struct raw_section *again,
		       const struct raw_section *first)
{
	char file[REPORT_QUOTE_MAX];

	again->is_dropped = true;
	notes_error(&ld->notes, again->where,
		    "[%s] was there before: [%s] in %s:%u; put their keys "
		    "into one, or name one differently",
		    again->title, first->title,
		    report_quote(ld->files[origin_file(first->where)].path,
				 file),
		    origin_line(first->where));
}

/* Finds sections that are said twice, and sorts the workers by name. */
static int sort_sections(struct loader *ld)
{
	size_t n = ld->n_sections;
	const struct raw_section *first = NULL;
	struct raw_section **all = calloc(n + 1, sizeof(struct raw_section *));

	if (!all)
		return -ENOMEM;
	if (n > 0)
		memcpy(all, ld->sections, n * sizeof(struct raw_section *));
	qsort(all, n, sizeof(struct raw_section *), compare_sections);
	for (size_t i = 0; i < n; i++) {
		struct raw_section *s = all[i];

		if (s->kind != SECTION_INCLUDE && first &&
		    first->kind == s->kind && strcmp(first->name, s->name) == 0)
			tell_twice(ld, s, first);
		else
			first = s;
		if (s->kind == SECTION_WORKER && !s->is_dropped)
			all[ld->n_workers++] = s; /* never ahead of i */
	}
	ld->workers = all;
	return 0;
}

static int compare_name(const void *key, const void *element)
{
	const struct raw_section *const *s = element;

	return strcmp(key, (*s)->name);
}

struct raw_section *load_find_worker(const struct loader *ld, const char *name)
{
	struct raw_section **found =
		bsearch(name, ld->workers, ld->n_workers,
			sizeof(struct raw_section *), compare_name);

	return found ? *found : NULL;
}

/* After reading: everything that needs all files. */
static int digest(struct loader *ld)
{
	struct settings *s = ld->settings;
	int r;

	s->here = ld->files[0].here;
	s->n_files = ld->n_files;
	s->files = arena_alloc(ld->arena, ld->n_files * sizeof(*s->files));
	if (!s->files)
		return -ENOMEM;
	for (size_t i = 0; i < ld->n_files; i++)
		s->files[i] = ld->files[i].path;
	r = sort_sections(ld);
	if (r == 0)
		r = load_apply(ld);
	if (r == 0)
		r = load_finish(ld);
	if (r == 0)
		r = load_check(ld);
	return r;
}

/* Hands out the results of a load that ended with r. */
static int conclude(struct loader *ld, int r, struct settings **ret_settings,
		    struct conf_report *ret_report)
{
	_cleanup_(free_pointer) char **names = NULL;
	size_t n_errors = ld->notes.n_errors;
	int q;

	names = calloc(ld->n_files + 1, sizeof(*names));
	for (size_t i = 0; names && i < ld->n_files; i++)
		names[i] = ld->files[i].path;
	q = notes_finish(&ld->notes, names, names ? ld->n_files : 0,
			 ret_report);
	if (r == 0)
		r = names ? q : -ENOMEM;
	if (r == 0 && n_errors > 0)
		r = -EINVAL;
	if (r == 0)
		*ret_settings = TAKE(ld->settings);
	loader_done(ld);
	return r;
}

int conf_load(const char *path, const struct conf_options *options,
	      struct settings **ret_settings, struct conf_report *ret_report)
{
	struct loader ld;
	int r;

	*ret_report = (struct conf_report){ 0 };
	r = loader_init(&ld, options);
	if (r < 0)
		return r;
	ld.has_files = true;
	r = load_add_file(&ld, path, 0);
	for (; r == 0 && ld.file < ld.n_files; ld.file++)
		r = read_file(&ld);
	if (r == 0)
		r = digest(&ld);
	return conclude(&ld, r, ret_settings, ret_report);
}

int conf_load_text(const char *name, const char *text, size_t len,
		   const struct conf_options *options,
		   struct settings **ret_settings,
		   struct conf_report *ret_report)
{
	struct loader ld;
	int r;

	*ret_report = (struct conf_report){ 0 };
	r = loader_init(&ld, options);
	if (r < 0)
		return r;
	r = load_add_file(&ld, name, 0);
	if (r == 0)
		r = load_sections_read(&ld, text, len);
	if (r == 0)
		r = load_include(&ld);
	if (r == 0)
		r = digest(&ld);
	return conclude(&ld, r, ret_settings, ret_report);
}
