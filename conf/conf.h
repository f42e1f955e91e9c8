/* Reading, checking, showing and comparing configurations.
 *
 * Properties
 *   Reads everything or nothing: a settings object exists only when the whole
 *   configuration is without errors. All errors of all files are reported,
 *   each with file:line, the key, what is wrong and what would be right. No
 *   value is ever cut silently.
 * Operation
 *   conf_load() parses, applies the schema's defaults, checks, and resolves
 *   users and groups through the caller's resolver. Each file is read once,
 *   whole, before it is looked at.
 * Safety
 *   One thread at a time (inih's options are globals). Blocks on file I/O;
 *   what else blocks is up to the resolver.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "conf/settings.h"
#include "workers/base/pure/buf.h"

#define CONF_FILE_MAX	  (16U << 20) /* bytes of one file */
#define CONF_LINE_MAX	  65536	  /* bytes of one line, continuations joined */
#define CONF_LINES_MAX	  1048575 /* lines of one file */
#define CONF_FILES_MAX	  1000	  /* files of one configuration */
#define CONF_TOTAL_MAX	  (64U << 20) /* bytes of all files */
#define CONF_SECTIONS_MAX 50000	      /* of all files */
#define CONF_MESSAGES_MAX 1000	      /* reported; the rest is counted */

/* One thing to say about a configuration. */
struct conf_message {
	bool is_error; /* else a warning */
	char *file;    /* may be NULL */
	int line;      /* 0: the whole file */
	char *text;
};

struct conf_report {
	struct conf_message *messages;
	size_t n_messages;
	size_t n_errors; /* all, also those not kept */
	size_t n_warnings;
};

void conf_report_done(struct conf_report *report);

/* "reeve.ini:12: error: unknown key "comand" in [worker:web]; did you mean
 * "command"?" per message, in order of file and line. */
void conf_report_print(const struct conf_report *report, FILE *to);

/* Looks names up. user is a name or number; group (may be NULL: the user's
 * own) likewise. Fills *ret_identity (owned by the caller of conf) and returns
 * 0, -ENOENT (no such user), -ENOTDIR (no such group), or -errno. */
struct conf_resolver {
	int (*identity)(void *userdata, const char *user, const char *group,
			struct identity *ret_identity);
	int (*group)(void *userdata, const char *group, gid_t *ret_gid);
	void *userdata;
};

/* A resolver that asks NSS (getpwnam_r, getgrnam_r, getgrouplist) and blocks. */
extern const struct conf_resolver conf_resolver_nss;

struct conf_options {
	const struct conf_resolver *resolver; /* NULL: names are not resolved */
	bool ignore_unsupported; /* [eventlistener:] and the like: warn only */
	bool check_files;	 /* commands, directories: exist, executable? */
};

/* Loads path. Returns 0 with *ret_settings (free with settings_free), or
 * -EINVAL (see the report), -ENOENT, -EACCES, ... of path itself (also in the
 * report), -ENOMEM. The report, always filled, may hold warnings on success. */
int conf_load(const char *path, const struct conf_options *options,
	      struct settings **ret_settings, struct conf_report *ret_report);

struct settings *settings_free(struct settings *s);

/* The least number of fds that reeved needs to run all of this: what conf_load
 * compares with the hard limit. Per process a pidfd, and a pipe and a file for
 * each captured stream; and a constant for reeved itself. */
#define CONF_FDS_BASE 64
uint64_t conf_fds_needed(const struct settings *s);

/* What one process of a section is started with; all expanded. */
struct settings_instance {
	char *name;	  /* "web:0", or "mail" when it stands alone */
	char *group_name; /* "web" */
	char **argv;
	char **envp;	 /* whole environment but for REEVE_* and NOTIFY_ */
	char *directory; /* or NULL */
	char *stdout_path, *stderr_path; /* LOG_TO_FILE and AUTO, or NULL */
	void *memory;			 /* of all the above; conf's */
};

/* Builds process number (0 .. numprocs - 1, numprocs_start not added) of
 * worker. base_environment is reeved's own (environ). log_dir is where AUTO
 * goes. Returns 0, -ENOMEM, or -EINVAL (cannot happen after conf_load). */
int settings_instance_build(const struct settings *s,
			    const struct worker_settings *worker,
			    uint32_t number, const char *log_dir,
			    char *const *base_environment,
			    struct settings_instance *ret_instance);
void settings_instance_done(struct settings_instance *instance);

/* Name and group of it only: cheap. Both are new strings. */
int settings_instance_name(const struct settings *s,
			   const struct worker_settings *worker,
			   uint32_t number, char **ret_name);

/* Reload: what of a worker section differs. */
enum conf_change {
	CONF_SAME,    /* nothing */
	CONF_APPLY,   /* only keys that take effect without a restart */
	CONF_RESTART, /* at least one key that needs one */
};

/* Compares row by row. *ret_keys, when not NULL, gets "command, environment"
 * (free it), "" when nothing differs, or NULL without memory. */
enum conf_change conf_compare_workers(const struct worker_settings *old,
				      const struct worker_settings *new,
				      char **ret_keys);

/* The keys of [reeve] that differ and only a restart of reeved applies. */
bool conf_compare_daemon(const struct daemon_settings *old,
			 const struct daemon_settings *new, char **ret_keys);

/* The effective configuration: calls on_row for each key of each section.
 * origin is "reeve.ini:12" or "default"; value as one would write it (it may
 * go over several lines).
 * Values of environment= are shown as names only unless show_secrets. */
typedef void (*conf_row_handler)(void *userdata, const char *section,
				 const char *key, const char *value,
				 const char *origin);
int conf_dump(const struct settings *s, bool show_secrets,
	      conf_row_handler on_row, void *userdata);

/* The schema, for the man page and for tests. */
struct conf_row_doc {
	const char *section, *key, *type, *default_text, *doc;
	bool needs_restart;
};
size_t conf_schema_count(void);
struct conf_row_doc conf_schema_row(size_t index);

/* The default directories of this user. Each fills a new string and returns 0
 * or -errno. root: /run/reeve, /var/log/reeve; otherwise
 * $XDG_RUNTIME_DIR/reeve (else /tmp/reeve-UID), $XDG_STATE_HOME/reeve/log
 * (else ~/.local/state/reeve/log). */
int conf_default_runtime_dir(char **ret_path);
int conf_default_log_dir(char **ret_path);

/* The file that is read when none is named: ./reeve.ini when not root and it
 * exists, $XDG_CONFIG_HOME/reeve/reeve.ini, /etc/reeve/reeve.ini. */
int conf_default_file(char **ret_path);
