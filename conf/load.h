/* The state of one load, between the parts that do it.
 *
 * A load goes through stages, each over everything before the next begins:
 *   read    (load.c, sections.c, include.c) files to raw sections and values
 *   apply   (apply.c) raw values to settings, by the schema
 *   finish  (finish.c) what "auto" and other defaults come to; users
 *   check   (check.c, check_names.c, check_files.c) what belongs together
 * Errors are noted and the load goes on, so that all of them are reported;
 * only running out of memory ends it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "conf/arena.h"
#include "conf/conf.h"
#include "conf/expand.h"
#include "conf/report.h"
#include "conf/schema.h"

struct conf_file {
	char *path;
	char *here;   /* its directory, absolute */
	bool is_read; /* .device and .inode say which file it is */
	dev_t device;
	ino_t inode;
	uint32_t included_at; /* the line in another file; 0: the main one */
};

struct raw_value {
	struct raw_value *next;
	const struct schema_row *row;
	const char *text;
	uint32_t where;
};

struct raw_section {
	enum schema_section kind;
	const char *title; /* "program:web", as written; fit to be shown */
	const char *name;  /* "web" */
	uint32_t where;
	struct raw_value *values, **tail;
	size_t n_values;
	bool is_dropped;		 /* said twice */
	const struct raw_section *group; /* of a worker */
	union {
		struct worker_settings *worker;
		struct group_settings *group_settings;
	};
};

struct loader {
	const struct conf_options *options;
	bool has_files; /* else text from memory: nothing is included */
	struct settings *settings;
	struct arena *arena;  /* the settings' */
	struct arena scratch; /* ends with the load */
	struct notes notes;

	struct conf_file *files;
	size_t n_files, n_files_allocated;
	size_t file; /* that is being read */
	size_t total_bytes;

	struct raw_section **sections; /* in order of reading */
	size_t n_sections, n_sections_allocated;
	struct raw_section *current; /* NULL: values are skipped */
	bool in_section;	     /* any: else a value is out of place */
	bool told_outside, told_sections;

	struct raw_section **workers; /* sorted by name */
	size_t n_workers;
	struct expand_names names; /* known everywhere */
	char **unsupported;	   /* names of sections that were left out */
	size_t n_unsupported;
};

/* conf_load() of text from memory; an [include] is an error. */
int conf_load_text(const char *name, const char *text, size_t len,
		   const struct conf_options *options,
		   struct settings **ret_settings,
		   struct conf_report *ret_report);

/* Each returns 0 (also after noting errors) or -ENOMEM. */
int load_sections_read(struct loader *ld, const char *text, size_t len);
int load_include(struct loader *ld);
int load_apply(struct loader *ld);
int load_finish(struct loader *ld);
int load_check(struct loader *ld);
int load_check_names(struct loader *ld);

/* What the templates of a worker's first process expand to. */
struct worker_texts {
	char **argv;
	const char *directory; /* absolute or as reeved runs; NULL: none */
	const char *stdout_path, *stderr_path; /* LOG_TO_FILE, else NULL */
	const char *search_path;	       /* its PATH, or NULL */
};

/* With options->check_files: is on the disk what is named? */
void load_check_files(struct loader *ld, const struct raw_section *raw,
		      const struct worker_texts *texts);
void load_check_daemon_files(struct loader *ld);

/* Queues a file to be read. included_at as in struct conf_file. */
int load_add_file(struct loader *ld, const char *path, uint32_t included_at);

/* NULL when name can be the name of a section or process, else why not. */
const char *load_refuse_name(const char *name);

/* The worker section of that name, or NULL. */
struct raw_section *load_find_worker(const struct loader *ld, const char *name);

/* The row of a key that exists. */
const struct schema_row *load_row(enum schema_section section, const char *key);

/* Where section sets key, or ORIGIN_DEFAULT. */
uint32_t load_where_set(const struct raw_section *section, const char *key);

/* The same, or else where the section begins. */
uint32_t load_where(const struct raw_section *section, const char *key);
