/* See schema.h. Columns of a row: key, type, field, default, what is special,
 * what it is for. */
#include "conf/schema.h"

#include <string.h>
#include <strings.h>
#include <sys/resource.h>

#include "conf/report.h"
#include "conf/settings.h"
#include "workers/base/pure/macro.h"
#include "workers/base/pure/str.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/log.h"

#define PRIORITY_MAX	  1000000000
#define RETRIES_MAX	  1000000000
#define BACKUPS_MAX	  10000
#define SPAN_MAX	  ((int64_t)(365 * USEC_PER_DAY))
#define STOP_WAIT_MAX	  ((int64_t)USEC_PER_DAY)
#define RLIMIT_NICE_MAX	  40
#define RLIMIT_RTPRIO_MAX 99

static const struct schema_word autorestart_words[] = {
	{ "unexpected", AUTORESTART_UNEXPECTED },
	{ "false", AUTORESTART_NO },
	{ "no", AUTORESTART_NO },
	{ "off", AUTORESTART_NO },
	{ "0", AUTORESTART_NO },
	{ "true", AUTORESTART_YES },
	{ "yes", AUTORESTART_YES },
	{ "on", AUTORESTART_YES },
	{ "1", AUTORESTART_YES },
	{ NULL, 0 },
};

static const struct schema_word type_words[] = {
	{ "simple", WORKER_SIMPLE },
	{ "notify", WORKER_NOTIFY },
	{ "oneshot", WORKER_ONESHOT },
	{ NULL, 0 },
};

static const struct schema_word loglevel_words[] = {
	{ "critical", LOG_LEVEL_CRITICAL }, { "error", LOG_LEVEL_ERROR },
	{ "warn", LOG_LEVEL_WARNING },	    { "warning", LOG_LEVEL_WARNING },
	{ "notice", LOG_LEVEL_NOTICE },	    { "info", LOG_LEVEL_INFO },
	{ "debug", LOG_LEVEL_DEBUG },	    { "trace", LOG_LEVEL_DEBUG },
	{ "blather", LOG_LEVEL_DEBUG },	    { NULL, 0 },
};

static const struct schema_word log_format_words[] = {
	{ "auto", LOG_FORMAT_AUTO },
	{ "prefix", LOG_FORMAT_PREFIX },
	{ "time", LOG_FORMAT_TIME },
	{ NULL, 0 },
};

static const struct schema_word cgroup_words[] = {
	{ "auto", CGROUP_AUTO },
	{ "off", CGROUP_OFF },
	{ "required", CGROUP_REQUIRED },
	{ NULL, 0 },
};

#define ROW(s, k, t, structure, field, d, ...)                                 \
	{                                                                      \
		.section = SECTION_##s, .key = (k), .type = TYPE_##t,          \
		.offset = offsetof(struct structure, field),                   \
		.default_text = (d), __VA_ARGS__                               \
	}
#define DAEMON(k, t, field, d, ...)                                            \
	ROW(REEVE, k, t, daemon_settings, field, d, __VA_ARGS__)
#define WORKER(k, t, field, d, ...)                                            \
	ROW(WORKER, k, t, worker_settings, field, d, __VA_ARGS__)
#define GROUP(k, t, field, d, ...)                                             \
	ROW(GROUP, k, t, group_settings, field, d, __VA_ARGS__)
#define DAEMON2(field) .offset2 = offsetof(struct daemon_settings, field)
#define WORKER2(field) .offset2 = offsetof(struct worker_settings, field)
#define GROUP2(field)  .offset2 = offsetof(struct group_settings, field)
#define RESTART	       .needs_restart = true
#define LIMIT(k, t, resource, text, ...)                                       \
	WORKER("rlimit_" k, RLIMIT_##t, rlimits[resource], "", RESTART,        \
	       .doc = text, __VA_ARGS__)

/* supervisord's keys without a field here. d is supervisord's default, which
 * is accepted in silence; NULL: whatever is written. */
#define IGNORED(s, k, d, text)                                                 \
	{                                                                      \
		.section = SECTION_##s, .key = (k), .type = TYPE_IGNORED,      \
		.default_text = (d), .doc = (text)                             \
	}

const struct schema_row schema_rows[] = {
	/* [reeve] */
	DAEMON("runtime_dir", PATH, runtime_dir, "", RESTART,
	       .doc = "Directory of the control socket and the lock. Default: "
		      "/run/reeve; when not root $XDG_RUNTIME_DIR/reeve, "
		      "else /tmp/reeve-UID."),
	DAEMON("log_dir", PATH, log_dir, "",
	       .doc = "Directory of AUTO log files (childlogdir). Default: "
		      "/var/log/reeve, or ~/.local/state/reeve/log."),
	DAEMON("pidfile", PATH, pidfile, "", RESTART,
	       .doc = "File to write reeved's pid to; for show only."),
	DAEMON("logfile", PATH, logfile, "", RESTART,
	       .doc = "reeved's own log. Default: standard error."),
	DAEMON("logfile_maxbytes", SIZE, logfile_maxbytes, "50MB", RESTART,
	       .doc = "Rotate logfile at this size; 0: never."),
	DAEMON("logfile_backups", U32, logfile_backups, "10", RESTART,
	       .max = BACKUPS_MAX, .doc = "Rotated logfiles to keep."),
	DAEMON("loglevel", ENUM, loglevel, "info", .words = loglevel_words,
	       .doc = "critical, error, warn, notice, info or debug."),
	DAEMON("log_format", ENUM, log_format, "auto", RESTART,
	       .words = log_format_words,
	       .doc = "prefix: <6>text for the journal; time: with date and "
		      "level; auto: time on a terminal, else prefix."),
	DAEMON("umask", UMASK, umask, "022",
	       .doc = "umask of workers that set none."),
	DAEMON("directory", PATH, directory, "", RESTART,
	       .doc = "Where relative paths begin, and where workers start "
		      "that set no directory. Default: where reeved started."),
	DAEMON("environment", ENVIRONMENT, environment, "",
	       DAEMON2(n_environment),
	       .doc = "Variables for all workers: KEY=\"value\",KEY2=..."),
	DAEMON("minfds", U64, minfds, "1024", RESTART, .max = 1 << 30,
	       .doc = "Open files that reeved's limit must at least allow."),
	DAEMON("control_group", STRING, control_group, "", RESTART,
	       .doc = "Unix group whose members may start and stop workers."),
	DAEMON("public_status", BOOL, public_status, "no",
	       .doc = "Everybody may ask for the status."),
	DAEMON("kill_on_crash", BOOL, kill_on_crash, "yes",
	       .doc = "Workers are killed when reeved itself is."),
	DAEMON("cgroup", ENUM, cgroup, "auto", RESTART, .words = cgroup_words,
	       .doc = "Each worker in a cgroup of its own: auto (where "
		      "possible), off, or required."),
	DAEMON("identifier", STRING, identifier, "reeve", RESTART,
	       .doc = "Name of this reeved in its log and status."),
	IGNORED(REEVE, "user", NULL,
		"Accepted when it is the user that reeved runs as."),
	IGNORED(REEVE, "minprocs", "200", "supervisord's; no meaning here."),
	IGNORED(REEVE, "nodaemon", NULL,
		"supervisord's; reeved always stays "
		"in the foreground."),
	IGNORED(REEVE, "silent", NULL, "supervisord's; no meaning here."),
	IGNORED(REEVE, "nocleanup", NULL, "supervisord's; no meaning here."),
	IGNORED(REEVE, "strip_ansi", NULL,
		"supervisord's; logs are kept as "
		"they were written."),

	/* [worker:NAME] */
	WORKER("command", TEMPLATE, command, "", RESTART,
	       .doc = "The program and its arguments, split as a shell splits "
		      "words; no shell is run."),
	WORKER("process_name", TEMPLATE, process_name, "%(program_name)s",
	       RESTART,
	       .doc = "Name of a process. Default with numprocs above 1: "
		      "%(process_num)d; in a [group:] with it appended."),
	WORKER("numprocs", U32, numprocs, "1", .max = SETTINGS_NUMPROCS_MAX,
	       .doc = "How many processes of this kind to run."),
	WORKER("numprocs_start", U32, numprocs_start, "0", .max = PRIORITY_MAX,
	       .doc = "The first %(process_num)d."),
	WORKER("priority", I32, priority, "999", .min = -PRIORITY_MAX,
	       .max = PRIORITY_MAX,
	       .doc = "Lower starts earlier and stops later."),
	WORKER("autostart", BOOL, autostart, "true",
	       .doc = "Start it when reeved starts."),
	WORKER("autorestart", ENUM, autorestart, "unexpected",
	       .words = autorestart_words,
	       .doc = "Start it again after it ended: false, true, or "
		      "unexpected (its exit is not in exitcodes)."),
	WORKER("exitcodes", EXITCODES, exitcodes, "0",
	       .doc = "Expected exits: codes and signals (0 2 SIGTERM)."),
	WORKER("startsecs", USEC, startsecs_usec, "1", .max = SPAN_MAX,
	       .doc = "It counts as started after running this long (type "
		      "simple)."),
	WORKER("startretries", U32, startretries, "3", .max = RETRIES_MAX,
	       .doc = "Failed starts in a row before it is FATAL."),
	WORKER("stopsignal", LADDER, stop, "TERM",
	       .doc = "Signal to end it, or several with waits: TERM:10 INT:5 "
		      "KILL."),
	WORKER("stopwaitsecs", USEC, stopwaitsecs_usec, "10",
	       .max = STOP_WAIT_MAX,
	       .doc = "Wait for the end after a signal without its own wait; "
		      "then KILL."),
	WORKER("stopasgroup", BOOL, stopasgroup, "false",
	       .doc = "Send the stop signals to its whole process group."),
	WORKER("killasgroup", BOOL, killasgroup, "true",
	       .doc = "KILL its whole tree, not only the process "
		      "(supervisord's default is false)."),
	WORKER("user", STRING, user, "", RESTART,
	       .doc = "User (name or number) to run as; reeved must be root."),
	WORKER("group", STRING, group, "", RESTART,
	       .doc = "Unix group to run as. Default: that of user."),
	WORKER("directory", TEMPLATE, directory, "", RESTART,
	       .doc = "Where it starts."),
	WORKER("umask", UMASK, umask, "", RESTART,
	       .doc = "Octal. Default: that of [reeve]."),
	WORKER("environment", ENVIRONMENT, environment, "", RESTART,
	       WORKER2(n_environment),
	       .doc = "Variables to add: KEY=\"value\",KEY2=\"value\"."),
	WORKER("clear_env", BOOL, clear_env, "false", RESTART,
	       .doc = "Begin with an empty environment, not reeved's."),
	WORKER("stdout_logfile", LOG, stdout_log.to, "AUTO", RESTART,
	       .doc = "Where its output goes: a path, AUTO (a file in "
		      "log_dir), NONE, /dev/stdout or /dev/fd/N."),
	WORKER("stdout_logfile_maxbytes", SIZE, stdout_log.maxbytes, "50MB",
	       .doc = "Rotate at this size; 0: never."),
	WORKER("stdout_logfile_backups", U32, stdout_log.backups, "10",
	       .max = BACKUPS_MAX, .doc = "Rotated files to keep."),
	WORKER("stderr_logfile", LOG, stderr_log.to, "AUTO", RESTART,
	       .doc = "As stdout_logfile, for its error output."),
	WORKER("stderr_logfile_maxbytes", SIZE, stderr_log.maxbytes, "50MB",
	       .doc = "Rotate at this size; 0: never."),
	WORKER("stderr_logfile_backups", U32, stderr_log.backups, "10",
	       .max = BACKUPS_MAX, .doc = "Rotated files to keep."),
	WORKER("redirect_stderr", BOOL, redirect_stderr, "false", RESTART,
	       .doc = "Error output goes where stdout goes."),
	WORKER("type", ENUM, type, "simple", RESTART, .words = type_words,
	       .doc = "simple: up after startsecs; notify: up at READY=1 over "
		      "NOTIFY_SOCKET; oneshot: runs to its end."),
	WORKER("start_timeout", USEC_AUTO, start_timeout_usec, "auto", .min = 1,
	       .doc = "A start that takes longer failed. auto: 90 for notify, "
		      "else infinity."),
	WORKER("watchdog_sec", USEC, watchdog_usec, "0", RESTART,
	       .max = SPAN_MAX,
	       .doc = "Without WATCHDOG=1 for so long it is aborted; 0: off."),
	WORKER("restart_delay", USEC, restart_delay_usec, "1", .max = SPAN_MAX,
	       .doc = "Wait before the second restart in a row; doubles from "
		      "then on."),
	WORKER("restart_delay_max", USEC, restart_delay_max_usec, "60",
	       .max = SPAN_MAX, .doc = "The longest wait."),
	WORKER("restart_jitter", U32, restart_jitter_percent, "10", .max = 100,
	       .doc = "Percent by which waits are varied."),
	WORKER("restart_reset_after", USEC, restart_reset_after_usec, "60",
	       .max = SPAN_MAX,
	       .doc = "A run of at least this long resets the wait."),
	WORKER("restart_limit", RATE, restart_limit, "0",
	       .doc = "More restarts than N within T make it FATAL: N/T "
		      "(5/60s); 0: no limit."),
	WORKER("essential", BOOL, essential, "false",
	       .doc = "reeved exits when it is FATAL; for containers."),
	WORKER("maxtasksperchild", U64, maxtasksperchild, "0",
	       .doc = "Replace the process after so many X_REEVE_TASKS; 0: "
		      "never."),
	WORKER("maxtasks_jitter", U64, maxtasks_jitter, "0",
	       .doc = "Up to so many tasks more, by chance."),
	WORKER("recycle_max", U32, recycle_max, "1", .min = 1,
	       .max = SETTINGS_NUMPROCS_MAX,
	       .doc = "How many of numprocs may be replaced at a time."),
	LIMIT("as", SIZE, RLIMIT_AS, "Address space."),
	LIMIT("core", SIZE, RLIMIT_CORE, "Size of a core file."),
	LIMIT("cpu", SECONDS, RLIMIT_CPU, "CPU time, in seconds."),
	LIMIT("data", SIZE, RLIMIT_DATA, "Data segment."),
	LIMIT("fsize", SIZE, RLIMIT_FSIZE, "Size of a file it writes."),
	LIMIT("locks", COUNT, RLIMIT_LOCKS, "File locks."),
	LIMIT("memlock", SIZE, RLIMIT_MEMLOCK, "Locked memory."),
	LIMIT("msgqueue", SIZE, RLIMIT_MSGQUEUE, "POSIX message queues."),
	LIMIT("nice", COUNT, RLIMIT_NICE, "20 minus the lowest nice value.",
	      .max = RLIMIT_NICE_MAX),
	LIMIT("nofile", COUNT, RLIMIT_NOFILE, "Open files."),
	LIMIT("nproc", COUNT, RLIMIT_NPROC, "Processes of the user."),
	LIMIT("rss", SIZE, RLIMIT_RSS, "Resident memory (without effect)."),
	LIMIT("rtprio", COUNT, RLIMIT_RTPRIO, "Realtime priority.",
	      .max = RLIMIT_RTPRIO_MAX),
	LIMIT("rttime", USEC, RLIMIT_RTTIME, "Realtime CPU without a pause."),
	LIMIT("sigpending", COUNT, RLIMIT_SIGPENDING, "Queued signals."),
	LIMIT("stack", SIZE, RLIMIT_STACK, "Stack."),
	WORKER("nice", INT, nice, "", RESTART, WORKER2(has_nice), .min = -20,
	       .max = 19, .doc = "Nice value, -20 to 19."),
	WORKER("oom_score_adj", INT, oom_score_adj, "", RESTART,
	       WORKER2(has_oom_score_adj), .min = -1000, .max = 1000,
	       .doc = "-1000 to 1000: the higher, the earlier the kernel kills "
		      "it when memory is short."),
	WORKER("cpu_affinity", CPUS, cpu_affinity, "", RESTART,
	       .doc = "CPUs it may run on: 0-3,8."),
	WORKER("no_new_privs", BOOL, no_new_privs, "false", RESTART,
	       .doc = "setuid programs give it no privileges."),
	IGNORED(WORKER, "stdout_capture_maxbytes", "0",
		"supervisord's; no meaning here."),
	IGNORED(WORKER, "stdout_events_enabled", "false",
		"supervisord's; no meaning here."),
	IGNORED(WORKER, "stdout_syslog", "false",
		"supervisord's; no meaning here."),
	IGNORED(WORKER, "stderr_capture_maxbytes", "0",
		"supervisord's; no meaning here."),
	IGNORED(WORKER, "stderr_events_enabled", "false",
		"supervisord's; no meaning here."),
	IGNORED(WORKER, "stderr_syslog", "false",
		"supervisord's; no meaning here."),
	IGNORED(WORKER, "serverurl", "AUTO", "supervisord's; no meaning here."),

	/* [group:NAME] */
	GROUP("programs", NAMES, programs, "", GROUP2(n_programs),
	      .doc = "The workers of the group: a,b."),
	GROUP("priority", PRIORITY, priority, "", GROUP2(has_priority),
	      .min = -PRIORITY_MAX, .max = PRIORITY_MAX,
	      .doc = "Replaces the priority of its workers."),

	/* [include]: has no struct; conf/include.c reads it */
	{ .section = SECTION_INCLUDE,
	  .key = "files",
	  .type = TYPE_FILES,
	  .default_text = "",
	  .doc = "Files to read too: paths and patterns (conf.d/*.ini), "
		 "relative to this file." },
};

static const char *const section_names[] = {
	[SECTION_REEVE] = "reeve",
	[SECTION_WORKER] = "worker",
	[SECTION_GROUP] = "group",
	[SECTION_INCLUDE] = "include",
};

/* Other names of keys. */
static const struct {
	enum schema_section section;
	const char *alias, *key;
} aliases[] = {
	{ SECTION_REEVE, "childlogdir", "log_dir" },
};

struct schema_range schema_range(enum schema_section section)
{
	struct schema_range range = { 0 };

	while (schema_rows[range.first].section != section)
		range.first++;
	while (range.first + range.n < ARRAY_SIZE(schema_rows) &&
	       schema_rows[range.first + range.n].section == section)
		range.n++;
	return range;
}

static const struct schema_row *find_row(enum schema_section section,
					 const char *key)
{
	struct schema_range range = schema_range(section);

	for (size_t i = range.first; i < range.first + range.n; i++)
		if (strcasecmp(schema_rows[i].key, key) == 0)
			return &schema_rows[i];
	return NULL;
}

const struct schema_row *schema_find(enum schema_section section,
				     const char *key)
{
	const struct schema_row *row = find_row(section, key);

	for (size_t i = 0; !row && i < ARRAY_SIZE(aliases); i++)
		if (aliases[i].section == section &&
		    strcasecmp(aliases[i].alias, key) == 0)
			row = find_row(section, aliases[i].key);
	return row;
}

size_t schema_index(const struct schema_row *row)
{
	return (size_t)(row - schema_rows);
}

const char *schema_nearest(enum schema_section section, const char *word)
{
	struct schema_range range = schema_range(section);
	const char *keys[ARRAY_SIZE(schema_rows)];

	if (strlen(word) > REPORT_QUOTE_MAX)
		return NULL;
	for (size_t i = 0; i < range.n; i++)
		keys[i] = schema_rows[range.first + i].key;
	return str_nearest(word, keys, range.n);
}

const char *schema_section_name(enum schema_section section)
{
	return section_names[section];
}

size_t conf_schema_count(void)
{
	return ARRAY_SIZE(schema_rows);
}

struct conf_row_doc conf_schema_row(size_t index)
{
	const struct schema_row *row = &schema_rows[index];

	reeve_assert(index < ARRAY_SIZE(schema_rows));
	return (struct conf_row_doc){
		.section = section_names[row->section],
		.key = row->key,
		.type = types[row->type].name,
		.default_text = row->default_text ? row->default_text : "",
		.doc = row->doc,
		.needs_restart = row->needs_restart,
	};
}
