/* Owner, keeper or worker is killed when it makes its k-th system call, for each
 * k of a small scenario. Between two system calls a process changes only its own
 * memory and rings, so these are all the states that others can find it in but
 * those of the rings, which the random kills and the simulator look for.
 *
 * The test is the tracer of all three, by ptrace(2). In `make check` only some
 * k are tried; with REEVE_SOAK all of them.
 */
#include <sys/ptrace.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "tests/unit/pool_rig.h"

#define PROCESSES_MAX	 256
#define DEADLINE_SECONDS 10
#define SAMPLES		 8
#define LARGE_SIZE	 ((size_t)64 << 10)

enum role { ROLE_OWNER, ROLE_KEEPER, ROLE_WORKER, ROLE_COUNT };

/* ---- the scenario: in the owner ------------------------------------------------- */

/* How it went, as exit code. */
enum verdict {
	IS_RIGHT,
	IS_LOST = 10, /* a task without an outcome */
	IS_WRONG,     /* DONE, with something else than its result */
	IS_BLAMED,    /* more tasks than can have been running */
	IS_STUCK      /* it did not end */
};

static enum verdict check_result(struct reeve_result *r, uint64_t x,
				 int *n_crashed)
{
	struct reeve_outcome o;
	uint64_t y = 0;

	if (reeve_result_wait(r, 5 * USEC_PER_SEC) < 0)
		return IS_LOST;
	reeve_result_outcome(r, &o);
	*n_crashed += o.kind == REEVE_CRASHED;
	if (o.kind != REEVE_DONE)
		return o.kind == REEVE_CRASHED ? IS_RIGHT : IS_WRONG;
	(void)reeve_result_get(r, 0, &y, sizeof(y), NULL);
	return y == x * x ? IS_RIGHT : IS_WRONG;
}

/* Six small tasks and a large one, by workers that are recycled meanwhile. */
static enum verdict use_pool(struct reeve_pool *pool, int *n_crashed)
{
	enum { N = 6 };
	static unsigned char large[LARGE_SIZE], back[LARGE_SIZE];
	struct reeve_result *results[N];
	enum verdict v = IS_RIGHT;
	struct reeve_outcome o;
	int r;

	for (uint64_t i = 0; i < N; i++)
		if (reeve_pool_apply_async(pool, square, &i, 8, NULL,
					   &results[i]) < 0)
			return IS_LOST;
	memset(large, 7, sizeof(large));
	r = reeve_pool_apply(pool, echo, large, sizeof(large), back,
			     &(size_t){ sizeof(back) }, &o);
	*n_crashed += o.kind == REEVE_CRASHED;
	if (o.kind != REEVE_CRASHED &&
	    (r != 0 || memcmp(large, back, sizeof(back)) != 0))
		v = IS_WRONG;
	for (uint64_t i = 0; i < N; i++) {
		if (v == IS_RIGHT)
			v = check_result(results[i], i, n_crashed);
		reeve_result_unref(results[i]);
	}
	return v;
}

static _Noreturn void own(int mode, int n_blamed_max)
{
	const struct reeve_pool_spec spec = {
		.processes = 2,
		.maxtasksperchild = 3,
		.context = pool_modes[mode].context,
		.spin_usec = -1,
	};
	struct reeve_pool *pool = NULL;
	int n_crashed = 0, r;
	enum verdict v;

	if (reeve_pool_new(&spec, &pool) < 0)
		_exit(1);
	v = use_pool(pool, &n_crashed);
	if (v == IS_RIGHT && n_crashed > n_blamed_max)
		v = IS_BLAMED;
	(void)reeve_pool_close(pool);
	r = reeve_pool_join(pool, 5 * USEC_PER_SEC);
	if (v == IS_RIGHT && r < 0)
		v = IS_STUCK;
	reeve_pool_free(pool);
	_exit((int)v);
}

/* ---- the tracer -------------------------------------------------------------------- */

struct traced {
	pid_t pid;
	enum role role;
	bool is_known; /* its parent has told of it */
	bool is_held;  /* it stopped before that */
	bool is_inside;
};

struct tracer {
	struct traced all[PROCESSES_MAX];
	size_t n;
	enum role target;
	int k, counts[ROLE_COUNT];
	bool is_hit;
	pid_t owner;
	int status; /* of the owner */
};

static struct traced *find(struct tracer *t, pid_t pid)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->all[i].pid == pid)
			return &t->all[i];
	ck_assert_uint_lt(t->n, PROCESSES_MAX);
	t->all[t->n] = (struct traced){ .pid = pid };
	return &t->all[t->n++];
}

static void resume(pid_t pid, int signo)
{
	/* fails when it has been killed meanwhile */
	(void)ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(intptr_t)signo);
}

static void note_child(struct tracer *t, const struct traced *parent)
{
	enum role role = parent->role;
	unsigned long pid = 0;
	struct traced *child;

	(void)ptrace(PTRACE_GETEVENTMSG, parent->pid, NULL, &pid);
	child = find(t, (pid_t)pid);
	child->role = role < ROLE_WORKER ? role + 1 : ROLE_WORKER;
	child->is_known = true;
	if (child->is_held)
		resume(child->pid, 0);
}

/* Returns true when it was killed. */
static bool note_call(struct tracer *t, struct traced *p)
{
	p->is_inside = !p->is_inside;
	if (!p->is_inside || t->is_hit)
		return false;
	if (++t->counts[p->role] != t->k || p->role != t->target)
		return false;
	t->is_hit = true;
	return kill(p->pid, SIGKILL) == 0;
}

static void on_stop(struct tracer *t, pid_t pid, int status)
{
	struct traced *p = find(t, pid);
	int signo = WSTOPSIG(status), event = status >> 16;

	if (!p->is_known) {
		p->is_held = true;
		return;
	}
	if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK ||
	    event == PTRACE_EVENT_CLONE)
		note_child(t, p);
	if (signo == (SIGTRAP | 0x80)) {
		if (note_call(t, p))
			return;
		signo = 0;
	} else if (event != 0 || signo == SIGSTOP || signo == SIGTRAP) {
		signo = 0;
	}
	resume(pid, signo);
}

static void on_alarm(int signo _unused_)
{
}

/* Until nobody is left. Returns false when somebody still is at the deadline. */
static bool trace(struct tracer *t)
{
	const struct sigaction interrupt = { .sa_handler = on_alarm };
	const struct itimerval deadline = { .it_value.tv_sec =
						    DEADLINE_SECONDS };
	const struct itimerval none = { .it_value.tv_sec = 0 };
	int status;
	pid_t pid;

	(void)sigaction(SIGALRM, &interrupt, NULL);
	(void)setitimer(ITIMER_REAL, &deadline, NULL);
	while ((pid = waitpid(-1, &status, __WALL)) > 0) {
		if (WIFSTOPPED(status))
			on_stop(t, pid, status);
		else if (pid == t->owner)
			t->status = status;
	}
	(void)setitimer(ITIMER_REAL, &none, NULL);
	if (errno == ECHILD)
		return true;
	for (size_t i = 0; i < t->n; i++)
		(void)kill(t->all[i].pid, SIGKILL);
	return false;
}

static bool run(struct tracer *t, int mode, enum role target, int k)
{
	/* a keeper takes both workers along */
	int n_blamed_max = target == ROLE_WORKER ? 1 : 2;
	pid_t pid = fork();

	if (pid == 0) {
		(void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		(void)raise(SIGSTOP);
		own(mode, n_blamed_max);
	}
	ck_assert_int_gt(pid, 0);
	*t = (struct tracer){ .target = target, .k = k, .owner = pid };
	*find(t, pid) = (struct traced){ .pid = pid, .is_known = true };
	ck_assert_int_eq(waitpid(pid, &t->status, 0), pid);
	ck_assert_int_eq(
		ptrace(PTRACE_SETOPTIONS, pid, NULL,
		       (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK |
				PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
				PTRACE_O_TRACEEXEC)),
		0);
	resume(pid, 0);
	return trace(t);
}

static void check_run(int mode, enum role target, int k)
{
	struct tracer t;
	bool is_over = run(&t, mode, target, k);

	ck_assert_msg(is_over, "role %d, call %d: hangs", (int)target, k);
	if (target == ROLE_OWNER && t.is_hit)
		ck_assert(WIFSIGNALED(t.status));
	else
		ck_assert_msg(WIFEXITED(t.status) && !WEXITSTATUS(t.status),
			      "role %d, call %d: status %#x", (int)target, k,
			      (unsigned)t.status);
}

/* k: some from the first to the last, or all. */
static void check_role(int mode, enum role target)
{
	bool is_all = getenv("REEVE_SOAK") != NULL;
	struct tracer t;
	int n, step;

	if (mode > 0 && pool_modes[mode].context == REEVE_CONTEXT_FORK)
		return; /* own() has no service thread: it would be the same */
	ck_assert(run(&t, mode, target, 0));
	ck_assert_int_eq(t.status, 0);
	n = t.counts[target];
	ck_assert_int_gt(n, 10);
	step = is_all || n < SAMPLES ? 1 : n / SAMPLES;
	for (int k = 1; k <= n; k += step)
		check_run(mode, target, k);
	unit_count((unsigned long)((n + step - 1) / step),
		   "kills at a system call");
}

START_TEST(test_kill_owner)
{
	check_role(_i, ROLE_OWNER);
}
END_TEST

START_TEST(test_kill_keeper)
{
	check_role(_i, ROLE_KEEPER);
}
END_TEST

START_TEST(test_kill_worker)
{
	check_role(_i, ROLE_WORKER);
}
END_TEST

POOL_MAIN("pool_syscalls", test_kill_owner, test_kill_keeper, test_kill_worker)
