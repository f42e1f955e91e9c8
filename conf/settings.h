/* What a configuration says, as plain structs; one per section.
 *
 * Filled by conf/ from the schema table (conf/schema.c), read by everybody,
 * changed by nobody after loading. Strings may still hold %(...)s expansions;
 * settings_instance_build() (conf/conf.h) makes the words of one process of
 * a section out of them. No code here, and nothing of inih or libc's NSS:
 * supervisor/core includes this file.
 */
#pragma once

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#define SETTINGS_NAME_MAX     128 /* bytes of a section or process name */
#define SETTINGS_NUMPROCS_MAX 10000
#define SETTINGS_WORKERS_MAX  20000 /* processes of one daemon */
#define SETTINGS_LADDER_MAX   8
#define SETTINGS_RLIMITS      16

enum worker_type { WORKER_SIMPLE, WORKER_NOTIFY, WORKER_ONESHOT };
enum autorestart { AUTORESTART_NO, AUTORESTART_UNEXPECTED, AUTORESTART_YES };

/* stopsignal = TERM:10 INT:5 KILL. One rung: send signo, wait. When the last
 * rung is over without KILL, KILL follows. */
struct stop_rung {
	int signo;
	uint64_t wait_usec;
};

struct stop_ladder {
	struct stop_rung rungs[SETTINGS_LADDER_MAX];
	size_t n_rungs; /* at least 1 */
};

/* exitcodes = 0 2 SIGTERM: what counts as an expected end. */
struct exit_set {
	uint64_t codes[4];   /* bit per exit code 0..255 */
	uint64_t signals[2]; /* bit per signal 1..64 */
};

/* restart_limit = N/T: at most N in T; n == 0: no limit. */
struct rate {
	uint32_t n;
	uint64_t interval_usec;
};

enum log_target {
	LOG_TO_FILE,	/* .path */
	LOG_TO_AUTO,	/* a file in log_dir, named after the process */
	LOG_TO_NONE,	/* /dev/null */
	LOG_TO_INHERIT, /* /dev/stdout, /dev/stderr, /dev/fd/N: .fd of reeved */
};

struct log_setting {
	enum log_target target;
	char *path; /* template; LOG_TO_FILE only */
	int fd;	    /* LOG_TO_INHERIT only */
};

struct log_settings {
	struct log_setting to;
	uint64_t maxbytes; /* 0: never rotated */
	uint32_t backups;
};

/* Names resolved when the file is loaded; the daemon uses numbers only. */
struct identity {
	bool is_set; /* false: as reeved runs */
	uid_t uid;
	gid_t gid;
	gid_t *groups;
	size_t n_groups;
	char *name; /* of the user, for USER and LOGNAME */
	char *home;
};

struct rlimit_setting {
	bool is_set;
	struct rlimit value;
};

/* KEY="value" of environment=. value is a template. */
struct environment_entry {
	char *key;
	char *value;
};

/* [worker:NAME] or [program:NAME] */
struct worker_settings {
	char *name;	  /* of the section */
	char *group_name; /* [group:] it is in, else its own name */
	char *file;	  /* where the section is, for messages */
	int line;

	char *command;	    /* template */
	char *process_name; /* template */
	uint32_t numprocs, numprocs_start;
	int32_t priority;
	bool autostart;
	enum autorestart autorestart;
	struct exit_set exitcodes;
	uint64_t startsecs_usec;
	uint32_t startretries;
	struct stop_ladder stop;
	uint64_t stopwaitsecs_usec; /* of rungs without a time of their own */
	bool stopasgroup, killasgroup;
	char *user, *group;	  /* names as written, or NULL */
	struct identity identity; /* what they mean */
	char *directory;	  /* template, or NULL */
	int umask;		  /* -1: as reeved */
	struct environment_entry *environment;
	size_t n_environment;
	bool clear_env;
	struct log_settings stdout_log, stderr_log;
	bool redirect_stderr;

	enum worker_type type;
	uint64_t start_timeout_usec; /* USEC_INFINITY: none */
	uint64_t watchdog_usec;	     /* 0: none */
	uint64_t restart_delay_usec, restart_delay_max_usec;
	uint32_t restart_jitter_percent;
	uint64_t restart_reset_after_usec;
	struct rate restart_limit;
	bool essential;
	uint64_t maxtasksperchild; /* 0: no limit */
	uint64_t maxtasks_jitter;
	uint32_t recycle_max;
	struct rlimit_setting rlimits[SETTINGS_RLIMITS]; /* by RLIMIT_... */
	bool has_nice, has_oom_score_adj;
	int nice, oom_score_adj;
	cpu_set_t *cpu_affinity; /* NULL: as reeved */
	bool no_new_privs;

	uint32_t *origin; /* where its keys are set: conf/origin.h */
};

/* [group:NAME] programs=a,b */
struct group_settings {
	char *name;
	char **programs;
	size_t n_programs;
	bool has_priority;
	int32_t priority;
	char *file;
	int line;
	uint32_t *origin;
};

enum cgroup_mode { CGROUP_AUTO, CGROUP_OFF, CGROUP_REQUIRED };

/* [reeve], also [supervisord] */
struct daemon_settings {
	char *runtime_dir; /* NULL: the default of the user */
	char *log_dir;	   /* childlogdir; NULL: the default of the user */
	char *pidfile;	   /* NULL: none */
	char *logfile;	   /* NULL: stderr */
	uint64_t logfile_maxbytes;
	uint32_t logfile_backups;
	int loglevel;	/* enum log_level */
	int log_format; /* enum log_format */
	int umask;	/* of workers; default 022 */
	char *directory;
	struct environment_entry *environment; /* for all workers */
	size_t n_environment;
	uint64_t minfds;
	char *control_group; /* name or NULL */
	gid_t control_gid;   /* (gid_t)-1: none */
	bool public_status;  /* reading verbs for everybody */
	bool kill_on_crash;
	enum cgroup_mode cgroup;
	char *identifier;
	uint32_t *origin;
};

/* A whole configuration. */
struct settings {
	char **files; /* read, in order; files[0] is the main one */
	size_t n_files;
	char *here; /* directory of files[0]: %(here)s */
	char *host_node_name;
	struct daemon_settings daemon;
	struct worker_settings **workers;
	size_t n_workers;
	struct group_settings **groups;
	size_t n_groups;
	void *memory; /* of all the above; conf's */
};
