/* Every key of the schema: a value that is accepted, shown and loaded again as
 * the same, a value that is refused in its line, and what a change of it needs.
 * A row of the schema without a row here fails. */
#include "conf/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/unit.h"
#include "tests/unit/conf_rig.h"

struct sample {
	const char *key, *good;
	const char *shown; /* NULL: as written */
	const char *bad, *reason;
};

static const struct sample reeve_samples[] = {
	{ "runtime_dir", "/run/x", NULL, "%", "write %% for" },
	{ "log_dir", "/var/log/x", NULL, "%(nix)s", "not known here" },
	{ "pidfile", "/run/x.pid", NULL, "a\n  b", "several lines" },
	{ "logfile", "/var/log/x.log", NULL, "%", "write %% for" },
	{ "logfile_maxbytes", "10MB", NULL, "10XB", "50MB" },
	{ "logfile_backups", "3", NULL, "10001", "from 0 to 10000" },
	{ "loglevel", "debug", NULL, "inf", "did you mean \"info\"?" },
	{ "log_format", "TIME", "time", "json", "auto, prefix, time" },
	{ "umask", "27", "027", "8", "octal number from 000 to 777" },
	{ "directory", "/srv", NULL, "%", "write %% for" },
	{ "environment", "A=1", "A=\"1\"", "A", "expected KEY=" },
	{ "minfds", "64", NULL, "many", "number from 0 to" },
	{ "control_group", "staff", NULL, "nix", "there is no group" },
	{ "public_status", "on", "yes", "perhaps", "write yes or no" },
	{ "kill_on_crash", "0", "no", "2", "write yes or no" },
	{ "cgroup", "required", NULL, "require", "did you mean \"required\"" },
	{ "identifier", "site", NULL, "%", "write %% for" },
};

static const struct sample worker_samples[] = {
	{ "command", "/bin/sh -c 'a ; b' %(process_num)d%%", NULL, "sh -c 'a",
	  "unclosed ' quote" },
	{ "process_name", "%(program_name)s_%(process_num)02d", NULL, "a b",
	  "cannot be called \"a b\": it has a blank" },
	{ "numprocs", "3", NULL, "10001", "from 0 to 10000" },
	{ "numprocs_start", "5", NULL, "-1", "from 0 to" },
	{ "priority", "-1000000000", NULL, "-1000000001",
	  "from -1000000000 to 1000000000" },
	{ "autostart", "false", "no", "maybe", "write yes or no" },
	{ "autorestart", "True", "true", "unexpcted",
	  "did you mean \"unexpected\"?" },
	{ "exitcodes", "SIGTERM,2 0", "0 2 SIGTERM", "0 256",
	  "number from 0 to 255" },
	{ "startsecs", "0.5", "500ms", "-1", "write seconds (5, 0.5)" },
	{ "startretries", "0", NULL, "x", "from 0 to 1000000000" },
	{ "stopsignal", "TERM:10, sigint:0.5 9", "TERM:10 INT:500ms KILL",
	  "TREM", "did you mean \"TERM\"?" },
	{ "stopwaitsecs", "2min", "120", "infinity",
	  "a time from 0 to 86400 seconds" },
	{ "stopasgroup", "true", "yes", "", "write yes or no" },
	{ "killasgroup", "false", "no", "nope", "write yes or no" },
	{ "user", "alice", NULL, "nix", "there is no user \"nix\"" },
	{ "group", "staff", NULL, "nix", "there is no group \"nix\"" },
	{ "directory", "/srv/%(program_name)s", NULL, "/srv/%d",
	  "write %% for" },
	{ "umask", "077", NULL, "1777", "from 000 to 777" },
	{ "environment", "A='x;y',B=%(process_num)d",
	  "A=\"x;y\",B=\"%(process_num)d\"", "A=\"x", "unclosed quote" },
	{ "clear_env", "yes", NULL, "x", "write yes or no" },
	{ "stdout_logfile", "/tmp/%(process_num)d.log", NULL, "syslog",
	  "syslog is not supported" },
	{ "stdout_logfile_maxbytes", "1024", "1KB", "-1", "50MB" },
	{ "stdout_logfile_backups", "0", NULL, "x", "from 0 to 10000" },
	{ "stderr_logfile", "none", "NONE", "/dev/fd/x",
	  "after /dev/fd/ goes the number" },
	{ "stderr_logfile_maxbytes", "3g", "3GB", "", "50MB" },
	{ "stderr_logfile_backups", "1", NULL, "-1", "from 0 to 10000" },
	{ "redirect_stderr", "yes", NULL, "x", "write yes or no" },
	{ "type", "notify", NULL, "forking", "simple, notify, oneshot" },
	{ "start_timeout", "2h", "7200", "0", "a time from 1us to infinity" },
	{ "watchdog_sec", "1500ms", NULL, "soon", "write seconds" },
	{ "restart_delay", "250ms", NULL, "x", "write seconds" },
	{ "restart_delay_max", "5min", "300", "x", "write seconds" },
	{ "restart_jitter", "0", NULL, "101", "from 0 to 100" },
	{ "restart_reset_after", "10", NULL, "", "write seconds" },
	{ "restart_limit", "5/1min", "5/60", "5", "write a count and a time" },
	{ "essential", "true", "yes", "x", "write yes or no" },
	{ "maxtasksperchild", "1000", NULL, "-5", "from 0 to" },
	{ "maxtasks_jitter", "10", NULL, "10%%", "from 0 to" },
	{ "recycle_max", "2", NULL, "0", "from 1 to 10000" },
	{ "rlimit_as", "1GB:2GB", "1073741824:2147483648", "x", "a size in" },
	{ "rlimit_core", "infinity", NULL, "2:1", "the soft limit" },
	{ "rlimit_cpu", "1min", "60", "0.5", "write whole seconds" },
	{ "rlimit_data", "5", NULL, "5:", "a size in bytes" },
	{ "rlimit_fsize", "1MB:unlimited", "1048576:infinity", ":5",
	  "a size in bytes" },
	{ "rlimit_locks", "7", NULL, "x", "write a number, infinity" },
	{ "rlimit_memlock", "64KB", "65536", "1:2:3", "a size in bytes" },
	{ "rlimit_msgqueue", "819200", NULL, "-1", "a size in bytes" },
	{ "rlimit_nice", "40", NULL, "41", "a number of at most 40" },
	{ "rlimit_nofile", "1024:4096", NULL, "1K", "write a number" },
	{ "rlimit_nproc", "10", NULL, "infinity:1", "the soft limit" },
	{ "rlimit_rss", "0", NULL, "18446744073709551615", "a size" },
	{ "rlimit_rtprio", "99", NULL, "100", "a number of at most 99" },
	{ "rlimit_rttime", "200ms", NULL, "x", "write a time span" },
	{ "rlimit_sigpending", "5", NULL, "5 6", "write a number" },
	{ "rlimit_stack", "8MB", "8388608", "8Q", "a size in bytes" },
	{ "nice", "-20", NULL, "20", "number from -20 to 19" },
	{ "oom_score_adj", "1000", NULL, "1001", "from -1000 to 1000" },
	{ "cpu_affinity", "8 0-1,2,3", "0-3,8", "0-", "ranges of CPUs" },
	{ "no_new_privs", "1", "yes", "x", "write yes or no" },
};

static const struct sample group_samples[] = {
	{ "programs", " w , x", "w,x", "w,nix", "there is no [worker:nix]" },
	{ "priority", "-5", NULL, "x", "from -1000000000 to 1000000000" },
};

static const struct {
	enum schema_section section;
	const char *head, *tail; /* around "key=value" */
	const char *title;
	const struct sample *samples;
	size_t n;
} sections[] = {
	{ SECTION_REEVE, "[reeve]\n", "", "reeve", reeve_samples,
	  ARRAY_SIZE(reeve_samples) },
	{ SECTION_WORKER, "[worker:w]\n", "command=true\n", "worker:w",
	  worker_samples, ARRAY_SIZE(worker_samples) },
	{ SECTION_GROUP, "[group:g]\n",
	  "programs=w,x\n[worker:w]\ncommand=true\n[worker:x]\ncommand=true\n",
	  "group:g", group_samples, ARRAY_SIZE(group_samples) },
};

/* A configuration with this key in line 2, and all else that it needs. */
static struct conf_rig load_with(size_t section, const char *key,
				 const char *value)
{
	const char *tail = sections[section].tail;
	char text[1024], same[64];

	snprintf(same, sizeof(same), "%s=", key);
	if (strncmp(tail, same, strlen(same)) == 0)
		tail = strchr(tail, '\n') + 1;
	snprintf(text, sizeof(text), "%s%s=%s\n%s", sections[section].head, key,
		 value, tail);
	return rig_load(text);
}

static struct conf_rig load_without(size_t section)
{
	char text[1024];

	snprintf(text, sizeof(text), "%s%s", sections[section].head,
		 sections[section].tail);
	return rig_load(text);
}

/* One row of a dump. */
struct wanted {
	const char *section, *key;
	char value[256], origin[64];
	int n;
};

static void on_row(void *userdata, const char *section, const char *key,
		   const char *value, const char *origin)
{
	struct wanted *w = userdata;

	if (strcmp(section, w->section) != 0 || strcmp(key, w->key) != 0)
		return;
	w->n++;
	snprintf(w->value, sizeof(w->value), "%s", value);
	snprintf(w->origin, sizeof(w->origin), "%s", origin);
}

static void assert_dumped(const struct conf_rig *rig, const char *section,
			  const char *key, const char *value,
			  const char *origin)
{
	struct wanted w = { .section = section, .key = key };

	ck_assert_int_eq(conf_dump(rig->s, true, on_row, &w), 0);
	ck_assert_msg(w.n == 1, "%s in [%s]: %d times", key, section, w.n);
	ck_assert_msg(strcmp(w.value, value) == 0, "%s in [%s]: \"%s\"", key,
		      section, w.value);
	ck_assert_msg(strcmp(w.origin, origin) == 0, "%s in [%s]: %s", key,
		      section, w.origin);
}

START_TEST(test_good)
{
	for (size_t i = 0; i < ARRAY_SIZE(sections); i++)
		for (size_t j = 0; j < sections[i].n; j++) {
			const struct sample *s = &sections[i].samples[j];
			const char *shown = s->shown ? s->shown : s->good;
			struct conf_rig rig = load_with(i, s->key, s->good);

			if (rig.r != 0)
				rig_show(&rig);
			ck_assert_msg(rig.r == 0, "%s=%s", s->key, s->good);
			assert_dumped(&rig, sections[i].title, s->key, shown,
				      "t.ini:2");
			rig_done(&rig);
			/* what is shown loads as the same */
			rig = load_with(i, s->key, shown);
			ck_assert_msg(rig.r == 0, "%s=%s", s->key, shown);
			assert_dumped(&rig, sections[i].title, s->key, shown,
				      "t.ini:2");
			rig_done(&rig);
		}
}
END_TEST

START_TEST(test_bad)
{
	for (size_t i = 0; i < ARRAY_SIZE(sections); i++)
		for (size_t j = 0; j < sections[i].n; j++) {
			const struct sample *s = &sections[i].samples[j];
			struct conf_rig rig = load_with(i, s->key, s->bad);

			rig_assert_error(&rig, 2, s->reason);
			rig_assert_error(&rig, 2, s->key);
			rig_done(&rig);
		}
}
END_TEST

/* What is not said has the default, from "default"; saying the default is no
 * change. */
START_TEST(test_defaults)
{
	for (size_t i = 0; i < ARRAY_SIZE(sections); i++)
		for (size_t j = 0; j < sections[i].n; j++) {
			const char *key = sections[i].samples[j].key;
			const struct schema_row *row =
				schema_find(sections[i].section, key);
			struct wanted w = { .section = sections[i].title,
					    .key = key };
			struct conf_rig plain = load_without(i), rig;

			if (strcmp(key, "command") == 0 ||
			    strcmp(key, "programs") == 0) {
				rig_done(&plain);
				continue; /* cannot be unset */
			}
			rig_assert_clean(&plain);
			conf_dump(plain.s, true, on_row, &w);
			ck_assert_str_eq(w.origin, "default");
			rig = load_with(i, key, row->default_text);
			ck_assert_msg(rig.r == 0, "%s=%s", key,
				      row->default_text);
			assert_dumped(&rig, sections[i].title, key, w.value,
				      "t.ini:2");
			rig_done(&rig);
			rig_done(&plain);
		}
}
END_TEST

START_TEST(test_every_row_has_a_sample)
{
	for (size_t i = 0; i < conf_schema_count(); i++) {
		const struct schema_row *row = &schema_rows[i];
		int n = 0;

		if (row->type == TYPE_IGNORED ||
		    row->section == SECTION_INCLUDE)
			continue;
		for (size_t j = 0; j < ARRAY_SIZE(sections); j++)
			for (size_t k = 0; k < sections[j].n; k++)
				n += sections[j].section == row->section &&
				     strcmp(sections[j].samples[k].key,
					    row->key) == 0;
		ck_assert_msg(n == 1, "%s: %d samples", row->key, n);
	}
}
END_TEST

static bool names_key(const char *keys, const char *key)
{
	size_t len = strlen(key);
	const char *at = keys;

	while ((at = strstr(at, key))) {
		if ((at == keys || at[-1] == ' ') &&
		    (at[len] == ',' || at[len] == '\0'))
			return true;
		at += len;
	}
	return false;
}

/* A change of each key is seen, by its name, and as what the row says. */
START_TEST(test_changes)
{
	for (size_t i = 0; i < ARRAY_SIZE(worker_samples); i++) {
		const struct sample *s = &worker_samples[i];
		const struct schema_row *row =
			schema_find(SECTION_WORKER, s->key);
		struct conf_rig old = load_without(1);
		struct conf_rig new = load_with(1, s->key, s->good);
		enum conf_change want =
			row->needs_restart ? CONF_RESTART : CONF_APPLY;
		char *keys = NULL;

		if (strcmp(s->key, "numprocs") == 0)
			want = CONF_RESTART; /* process_name goes with it */
		ck_assert_int_eq(new.r, 0);
		ck_assert_msg(conf_compare_workers(old.s->workers[0],
						   new.s->workers[0],
						   &keys) == want,
			      "%s: %s", s->key, keys);
		ck_assert_msg(names_key(keys, s->key), "%s: %s", s->key, keys);
		free(keys);
		ck_assert_int_eq(conf_compare_workers(new.s->workers[0],
						      new.s->workers[0], &keys),
				 CONF_SAME);
		ck_assert_str_eq(keys, "");
		free(keys);
		rig_done(&old);
		rig_done(&new);
	}
}
END_TEST

START_TEST(test_daemon_changes)
{
	for (size_t i = 0; i < ARRAY_SIZE(reeve_samples); i++) {
		const struct sample *s = &reeve_samples[i];
		const struct schema_row *row =
			schema_find(SECTION_REEVE, s->key);
		struct conf_rig old = load_without(0);
		struct conf_rig new = load_with(0, s->key, s->good);
		char *keys = NULL;

		ck_assert_int_eq(new.r, 0);
		ck_assert_msg(conf_compare_daemon(&old.s->daemon,
						  &new.s->daemon,
						  &keys) == row->needs_restart,
			      "%s", s->key);
		ck_assert_str_eq(keys, row->needs_restart ? s->key : "");
		free(keys);
		rig_done(&old);
		rig_done(&new);
	}
}
END_TEST

/* supervisord's keys: the default in silence, else a warning that says so. */
START_TEST(test_ignored)
{
	size_t n = 0;

	for (size_t i = 0; i < conf_schema_count(); i++) {
		const struct schema_row *row = &schema_rows[i];
		size_t section = row->section == SECTION_REEVE ? 0 : 1;
		struct conf_rig rig;

		if (row->type != TYPE_IGNORED || strcmp(row->key, "user") == 0)
			continue;
		n++;
		rig = load_with(section, row->key,
				row->default_text ? row->default_text : "x");
		rig_assert_clean(&rig);
		rig_done(&rig);
		if (!row->default_text)
			continue;
		rig = load_with(section, row->key, "other");
		rig_assert_warning(&rig, 2, "has no meaning here");
		rig_assert_warning(&rig, 2, row->key);
		rig_done(&rig);
	}
	ck_assert_uint_ge(n, 12);
}
END_TEST

START_TEST(test_docs)
{
	for (size_t i = 0; i < conf_schema_count(); i++) {
		struct conf_row_doc doc = conf_schema_row(i);
		size_t len = strlen(doc.doc);

		ck_assert_msg(len > 5 && len < 200, "%s: %zu", doc.key, len);
		ck_assert_msg(doc.doc[len - 1] == '.', "%s", doc.key);
		ck_assert_msg(!strchr(doc.doc, '\n'), "%s", doc.key);
		ck_assert_ptr_nonnull(doc.default_text);
		ck_assert_uint_gt(strlen(doc.type), 0);
		ck_assert_uint_gt(strlen(doc.section), 0);
	}
}
END_TEST

START_TEST(test_find)
{
	ck_assert_ptr_eq(schema_find(SECTION_REEVE, "childlogdir"),
			 schema_find(SECTION_REEVE, "log_dir"));
	ck_assert_ptr_eq(schema_find(SECTION_WORKER, "NumProcs"),
			 schema_find(SECTION_WORKER, "numprocs"));
	ck_assert_ptr_null(schema_find(SECTION_WORKER, "log_dir"));
	ck_assert_ptr_null(schema_find(SECTION_WORKER, "childlogdir"));
	ck_assert_ptr_null(schema_find(SECTION_GROUP, "files"));
	ck_assert_str_eq(schema_nearest(SECTION_WORKER, "comand"), "command");
	ck_assert_ptr_null(schema_nearest(SECTION_WORKER, "qqqqqqqq"));
}
END_TEST

UNIT_MAIN("conf_schema", test_good, test_bad, test_defaults,
	  test_every_row_has_a_sample, test_changes, test_daemon_changes,
	  test_ignored, test_docs, test_find)
