/* Who belongs, told of made-up processes and of real ones. */
#include "workers/base/sys/tree.h"

#include <sys/resource.h>

#include "tests/unit/spawn_rig.h"
#include "tests/unit/tree_rig.h"
#include "workers/base/sys/procstat.h"

/* --- made-up processes ------------------------------------------------------ */

#define OWN 100 /* stands for this process */

static const struct tree_process family[] = {
	{ .pid = 1, .ppid = 0, .state = 'S' },
	{ .pid = OWN, .ppid = 1, .pgrp = OWN, .session = OWN, .state = 'R' },
	{ .pid = 210, .ppid = OWN, .pgrp = 210, .session = 210, .state = 'S' },
	{ .pid = 205, .ppid = 210, .pgrp = 210, .session = 210, .state = 'S' },
	{ .pid = 206, .ppid = 205, .pgrp = 206, .session = 206, .state = 'D' },
	{ .pid = 207, .ppid = OWN, .pgrp = 210, .session = 210, .state = 'T' },
	{ .pid = 208, .ppid = OWN, .pgrp = 208, .session = 210, .state = 'S' },
	{ .pid = 209, .ppid = 208, .pgrp = 209, .session = 209, .state = 'S' },
	{ .pid = 211,
	  .ppid = 210,
	  .pgrp = 210,
	  .session = 210,
	  .state = 'Z',
	  .n_threads = 1 },
	{ .pid = 212,
	  .ppid = 210,
	  .pgrp = 210,
	  .session = 210,
	  .state = 'Z',
	  .n_threads = 2 },
	{ .pid = 220, .ppid = OWN, .pgrp = 220, .session = 220, .state = 'S' },
	{ .pid = 221, .ppid = 220, .pgrp = 220, .session = 220, .state = 'S' },
	{ .pid = 213, .ppid = OWN, .pgrp = 210, .session = OWN, .state = 'S' },
	/* pids recycled during the look have closed a circle */
	{ .pid = 230, .ppid = 231, .pgrp = 230, .session = 230, .state = 'S' },
	{ .pid = 231, .ppid = 230, .pgrp = 230, .session = 230, .state = 'S' },
	{ .pid = 232, .ppid = 231, .pgrp = 230, .session = 230, .state = 'S' },
};

static struct tree_snapshot make_snapshot(const struct tree_process *processes,
					  size_t n)
{
	struct tree_snapshot s = { .n_processes = n };

	s.processes = calloc(n, sizeof(*s.processes));
	ck_assert_ptr_nonnull(s.processes);
	for (size_t i = 0; i < n; i++) {
		struct tree_process *p = &s.processes[i];

		*p = processes[i];
		if (p->pid == OWN)
			p->pid = getpid();
		if (p->ppid == OWN)
			p->ppid = getpid();
	}
	ck_assert_int_eq(tree_snapshot_index(&s), 0);
	return s;
}

static const struct member_case {
	pid_t leader;
	pid_t members[16]; /* ends with 0 */
} member_cases[] = {
	{ 210, { 205, 206, 207, 208, 209, 210, 212, 213 } },
	{ 205, { 205, 206 } },
	{ 208, { 208, 209 } },
	{ 220, { 220, 221 } },
	{ 230, { 230, 231, 232 } },
	{ 232, { 232 } },
	{ 999, { 0 } },
	{ OWN, { 205, 206, 207, 208, 209, 210, 212, 213, 220, 221 } },
	{ 1, { 0 } },
	{ 0, { 0 } },
	{ -1, { 0 } },
};

START_TEST(test_members_of_made_up_trees)
{
	struct tree_snapshot s = make_snapshot(family, ARRAY_SIZE(family));

	for (size_t i = 0; i < ARRAY_SIZE(member_cases); i++) {
		const struct member_case *c = &member_cases[i];
		struct tree_id id = { .leader = c->leader };
		bool member[ARRAY_SIZE(family)];
		size_t n = 0, n_told;

		if (id.leader == OWN)
			id.leader = getpid();
		memset(member, 1, sizeof(member)); /* has to be written */
		n_told = tree_members(&s, &id, member);
		for (size_t k = 0; k < s.n_processes; k++) {
			if (!member[k])
				continue;
			ck_assert_msg(s.processes[k].pid == c->members[n],
				      "leader %d: %d, not %d", (int)c->leader,
				      (int)s.processes[k].pid,
				      (int)c->members[n]);
			n++;
		}
		ck_assert_int_eq(c->members[n], 0);
		ck_assert_uint_eq(n_told, n);
	}
	tree_snapshot_done(&s);
}
END_TEST

/* The caller is in the leader's tree: it is spared, and what is below it. */
START_TEST(test_members_beside_the_caller)
{
	const struct tree_process processes[] = {
		{ .pid = 50, .ppid = 1, .session = 50, .state = 'S' },
		{ .pid = OWN, .ppid = 50, .session = 50, .state = 'R' },
		{ .pid = 200000, .ppid = OWN, .session = 7, .state = 'S' },
		{ .pid = 200001, .ppid = 50, .session = 7, .state = 'S' },
	};
	struct tree_snapshot s =
		make_snapshot(processes, ARRAY_SIZE(processes));
	struct tree_id id = { .leader = 50 };
	bool member[4];

	ck_assert_uint_eq(tree_members(&s, &id, member), 2);
	for (size_t i = 0; i < 4; i++)
		ck_assert_int_eq(member[i],
				 s.processes[i].pid == 50 ||
					 s.processes[i].pid == 200001);
	tree_snapshot_done(&s);
}
END_TEST

#define CHAIN 10000000 /* beyond what the kernel gives */

/* A chain as long as a machine has pids, its end first: no quadratic walk. */
START_TEST(test_members_of_a_long_chain)
{
	size_t n = 100000;
	struct tree_snapshot s = { .n_processes = n };
	struct tree_id id = { .leader = CHAIN + (pid_t)n - 1 };
	bool *member = calloc(n, sizeof(*member));

	s.processes = calloc(n, sizeof(*s.processes));
	ck_assert(member && s.processes);
	for (size_t i = 0; i < n; i++)
		s.processes[i] = (struct tree_process){
			.pid = CHAIN + (pid_t)i,
			.ppid = i + 1 < n ? CHAIN + 1 + (pid_t)i : 1,
			.state = 'S',
		};
	ck_assert_int_eq(tree_snapshot_index(&s), 0);
	ck_assert_uint_eq(tree_members(&s, &id, member), n);
	id.leader = CHAIN;
	ck_assert_uint_eq(tree_members(&s, &id, member), 1);
	free(member);
	tree_snapshot_done(&s);
}
END_TEST

/* --- questions -------------------------------------------------------------- */

START_TEST(test_snapshot)
{
	struct tree_snapshot s;
	bool has_self = false;

	ck_assert_int_eq(tree_snapshot_take(&s), 0);
	for (size_t i = 0; i < s.n_processes; i++) {
		const struct tree_process *p = &s.processes[i];

		has_self |= p->pid == getpid();
		ck_assert(!p->is_kernel);
		ck_assert(i == 0 || p->pid > s.processes[i - 1].pid);
	}
	ck_assert(has_self);
	tree_snapshot_done(&s);
	tree_snapshot_done(&s); /* harmless */
}
END_TEST

static void snapshot_without_fds(_unused_ void *arg)
{
	struct rlimit none = { 0, 0 };
	struct tree_id id = { .leader = getppid() + 1000000 };
	struct tree_snapshot s;

	setrlimit(RLIMIT_NOFILE, &none);
	if (tree_snapshot_take(&s) != -EMFILE || tree_kill(&id) != -EMFILE ||
	    tree_signal(&id, SIGTERM) != -EMFILE)
		_exit(1);
}

START_TEST(test_shortage_is_told)
{
	ck_assert_int_eq(unit_fork(snapshot_without_fds, NULL, NULL), 0);
}
END_TEST

START_TEST(test_children)
{
	struct spawn_spec spec = { SPAWN_SPEC, .function = start_nothing };
	struct spawn_child living, dead;
	pid_t *pids = NULL;

	share();
	ck_assert_int_eq(tree_children(&pids), 0);
	free(pids);
	living = start_child(&spec);
	dead = start_child(&spec);
	ck_assert_int_eq(spawn_signal(dead.pidfd, SIGKILL), 0);
	ck_assert(is_readable(dead.pidfd));
	ck_assert_int_eq(tree_children(&pids), 2);
	ck_assert_int_eq(pids[0], living.pid);
	ck_assert_int_eq(pids[1], dead.pid);
	free(pids);
	ck_assert_int_eq(take_exit(&dead), -SIGKILL);
	ck_assert_int_eq(tree_children(&pids), 1);
	free(pids);
	ck_assert_int_eq(spawn_signal(living.pidfd, SIGKILL), 0);
	ck_assert_int_eq(take_exit(&living), -SIGKILL);
}
END_TEST

START_TEST(test_has_pid)
{
	struct spawn_spec spec = { SPAWN_SPEC, .function = start_a_family,
				   .new_session = true };
	struct spawn_child child;
	struct tree_id id, stranger = { .leader = 999999 };
	pid_t gone;

	share();
	child = start_child(&spec);
	id = (struct tree_id){ .leader = child.pid };
	wait_for_pids(FAMILY_SIZE);
	for (int i = 0; i < FAMILY_SIZE; i++) {
		ck_assert_int_eq(tree_has_pid(&id, shared->pids[i]), 1);
		ck_assert_int_eq(tree_has_pid(&stranger, shared->pids[i]), 0);
	}
	ck_assert_int_eq(tree_has_pid(&id, getpid()), 0);
	ck_assert_int_eq(tree_has_pid(&id, getppid()), 0);
	ck_assert_int_eq(tree_has_pid(&id, 1), 0);
	gone = shared->pids[0];
	ck_assert_int_eq(tree_kill(&id), FAMILY_SIZE);
	ck_assert_int_eq(take_exit(&child), -SIGKILL);
	check_nothing_lives();
	ck_assert_int_eq(tree_has_pid(&id, gone), -ESRCH);
}
END_TEST

UNIT_MAIN("tree", test_members_of_made_up_trees, test_members_beside_the_caller,
	  test_members_of_a_long_chain, test_snapshot, test_shortage_is_told,
	  test_children, test_has_pid)
