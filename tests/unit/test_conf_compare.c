/* What test_conf_schema.c does not cover: changes that are not of one key. */
#include "conf/conf.h"

#include <stdlib.h>
#include <string.h>

#include "tests/lib/unit.h"
#include "tests/unit/conf_rig.h"

#define W "[worker:w]\ncommand=x\n"

static const struct {
	const char *old, *new;
	enum conf_change change;
	const char *keys;
} rows[] = {
	{ W, W, CONF_SAME, "" },
	{ W, "; moved\n\n[program:w]\ncommand = x ; same\n", CONF_SAME, "" },
	{ W "priority=5\n", W "priority=6\n", CONF_APPLY, "priority" },
	{ W "priority=5\n", "[worker:w]\ncommand=y\npriority=6\n", CONF_RESTART,
	  "command, priority" },
	{ W, W "stopwaitsecs=5\n", CONF_APPLY, "stopsignal, stopwaitsecs" },
	{ W "stopsignal=TERM:10\n", W, CONF_SAME, "" },
	{ W "numprocs=2\n", W "numprocs=3\n", CONF_APPLY, "numprocs" },
	{ "[worker:w]\ncommand=x %(numprocs)s\nnumprocs=2\n",
	  "[worker:w]\ncommand=x %(numprocs)s\nnumprocs=3\n", CONF_RESTART,
	  "numprocs" },
	{ W "numprocs=2\nenvironment=N=%(numprocs)s\n",
	  W "numprocs=3\nenvironment=N=%(numprocs)s\n", CONF_RESTART,
	  "numprocs" },
	{ W "environment=A=1,B=2\n", W "environment=A=1\n", CONF_RESTART,
	  "environment" },
	{ W "environment=A=1\n", W "environment=A=2\n", CONF_RESTART,
	  "environment" },
	{ W "environment=A=1\n", W "environment=A='1'\n", CONF_SAME, "" },
	{ W "user=alice\n", W "user=bob\n", CONF_RESTART, "user" },
	{ W "user=alice\n", W "user=alice\ngroup=staff\n", CONF_RESTART,
	  "user, group" },
	{ W "nice=0\n", W, CONF_RESTART, "nice" },
	{ W "cpu_affinity=0-3\n", W "cpu_affinity=3 2 1 0\n", CONF_SAME, "" },
	{ W "rlimit_core=0\n", W, CONF_RESTART, "rlimit_core" },
	{ W "stdout_logfile=/x\n", W "stdout_logfile=/y\n", CONF_RESTART,
	  "stdout_logfile" },
	{ W "stdout_logfile=/dev/fd/3\nstdout_logfile_maxbytes=0\n",
	  W "stdout_logfile=/dev/fd/4\nstdout_logfile_maxbytes=0\n",
	  CONF_RESTART, "stdout_logfile" },
};

START_TEST(test_workers)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct conf_rig old = rig_load(rows[i].old);
		struct conf_rig new = rig_load(rows[i].new);
		const struct worker_settings *a = rig_worker(&old, "w");
		const struct worker_settings *b = rig_worker(&new, "w");
		char *keys = NULL;

		ck_assert_int_eq(conf_compare_workers(a, b, &keys),
				 rows[i].change);
		ck_assert_str_eq(keys, rows[i].keys);
		free(keys);
		keys = NULL;
		/* the other way round the same keys differ */
		(void)conf_compare_workers(b, a, &keys);
		ck_assert_str_eq(keys, rows[i].keys);
		free(keys);
		ck_assert_int_eq(conf_compare_workers(a, b, NULL),
				 rows[i].change);
		rig_done(&old);
		rig_done(&new);
	}
}
END_TEST

/* alice is somebody else by now: the name is the same, the process is not. */
START_TEST(test_identity)
{
	struct conf_rig rig = rig_load(W "user=alice\n");
	struct worker_settings other = *rig.s->workers[0];
	gid_t groups[] = { 1001, 2001 };
	char *keys = NULL;

	other.identity.uid = 5000;
	ck_assert_int_eq(conf_compare_workers(rig.s->workers[0], &other, &keys),
			 CONF_RESTART);
	ck_assert_str_eq(keys, "user");
	free(keys);
	other = *rig.s->workers[0];
	other.identity.groups = groups;
	ck_assert_int_eq(conf_compare_workers(rig.s->workers[0], &other, NULL),
			 CONF_RESTART);
	other.identity.n_groups = 1;
	ck_assert_int_eq(conf_compare_workers(rig.s->workers[0], &other, NULL),
			 CONF_RESTART);
	other = *rig.s->workers[0];
	ck_assert_int_eq(conf_compare_workers(rig.s->workers[0], &other, NULL),
			 CONF_SAME);
	rig_done(&rig);
}
END_TEST

START_TEST(test_daemon)
{
	struct conf_rig old = rig_load("[reeve]\nloglevel=info\n");
	struct conf_rig new = rig_load("[reeve]\nloglevel=debug\n"
				       "runtime_dir=/x\nidentifier=y\n");
	char *keys = NULL;

	ck_assert(conf_compare_daemon(&old.s->daemon, &new.s->daemon, &keys));
	ck_assert_str_eq(keys, "runtime_dir, identifier");
	free(keys);
	ck_assert(!conf_compare_daemon(&old.s->daemon, &old.s->daemon, NULL));
	rig_done(&old);
	rig_done(&new);
}
END_TEST

UNIT_MAIN("conf_compare", test_workers, test_identity, test_daemon)
