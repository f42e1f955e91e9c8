/* The server of a Manager, its keeper, or the copy of it that writes a snapshot is
 * killed at its k-th system call, before it or after it, for each k, while 8 clients
 * do all sorts of things (manager_load.h says what must hold). So are the keeper, and
 * the owner with all clients, when the server is at its k-th one.
 *
 * The manager begins with a snapshot, so that reading one is killed, too. At the
 * death there is always a whole one, of one moment; and who comes after has what
 * it had, or what was written later.
 *
 * The test is the tracer (trace_rig.h). In `make check` only some k are tried; with
 * REEVE_SOAK all of them, until the work is over before the k-th call.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "tests/unit/manager_ledger.h"
#include "tests/unit/store_rig.h"
#include "tests/unit/trace_rig.h"
#include "workers/base/sys/fd.h"
#include "workers/manager/server/snapshot.h"

#define DEADLINE_SECONDS 60
#define SAMPLES		 8
#define COPY_STOPS	 30 /* of one that is not killed at once */
#define KEEPER_STOPS	 90 /* its last ones, when it has begun */
#define MISSES		 5  /* so often in a row it was over before */
#define INTERVAL_USEC	 (3 * USEC_PER_MSEC)
#define RECONNECT_USEC	 (50 * USEC_PER_MSEC) /* when nobody comes again */

enum role { ROLE_OWNER, ROLE_KEEPER, ROLE_SERVER, ROLE_COPY };

/* How it went, as the owner's exit code. */
enum verdict {
	IS_RIGHT,
	IS_WRONG = 10,
	IS_OVER, /* for good, and all were told so */
};

/* Between the test and the owner. */
static struct {
	_Atomic int64_t kept;	 /* ON_FIRST in the snapshot at the death */
	_Atomic int64_t at_last; /* what the owner saw at last */
	_Atomic uint64_t killed_usec;
	atomic_bool is_seen; /* that, and nobody died since */
} * shared;

static char snapshot_file[PATH_MAX], first_file[PATH_MAX], copy_file[PATH_MAX],
	lock_file[PATH_MAX];

/* ---- the owner -------------------------------------------------------------------- */

static struct load load;
static struct ledger ledger;

static void complain(FILE *to, const char *who, const char *what, int error)
{
	(void)fprintf(to, "%s: %s (%d)\n", who, what, error);
	(void)fflush(to);
}

static enum verdict look_at_clients(FILE *to)
{
	enum verdict v = IS_RIGHT;

	for (int i = 0; i < LOAD_CLIENTS; i++) {
		const struct load_client *c = &load.clients[i];

		if (c->fault) {
			complain(to,
				 c->fault_object < ON_COUNT
					 ? load_objects[c->fault_object].name
					 : "client",
				 c->fault, c->fault_error);
			return IS_WRONG;
		}
		if (c->is_over)
			v = IS_OVER;
	}
	return v;
}

static enum verdict look_at_all(FILE *to, reeve_manager *m)
{
	enum verdict v = look_at_clients(to);
	const char *wrong;
	int r;

	if (v != IS_RIGHT)
		return v;
	/* before: a later death's is not what this server began with */
	ledger.floor = atomic_load(&shared->kept);
	atomic_store(&shared->is_seen, true);
	r = ledger_read(&ledger, m);
	if (r == -ESHUTDOWN)
		return IS_OVER;
	wrong = r < 0 ? "cannot be read" : ledger_check(&ledger, &load);
	if (wrong)
		complain(to, "ledger", wrong, r);
	atomic_store(&shared->at_last, ledger.sums[0]);
	reeve_any_free(&ledger.rows);
	return wrong ? IS_WRONG : IS_RIGHT;
}

/* Its keeper may be killed before it serves. */
static int begin(enum role victim, reeve_manager **ret_manager)
{
	const struct reeve_manager_spec spec = {
		.snapshot = snapshot_file,
		.snapshot_interval_usec = INTERVAL_USEC,
		.restart_limit = 1000,
	};
	int r = reeve_manager_start(&spec, ret_manager);

	if (r < 0)
		return r;
	load.reconnect_usec = victim == ROLE_KEEPER
				      ? RECONNECT_USEC
				      : REEVE_MANAGER_RECONNECT_USEC;
	(*ret_manager)->reconnect_usec = load.reconnect_usec;
	load.address = reeve_manager_address(*ret_manager);
	load.killed_usec = &shared->killed_usec;
	load.key = reeve_manager_authkey(*ret_manager, &load.key_size);
	return load_start(&load);
}

static void own(void *arg)
{
	const struct tracer *t = arg;
	FILE *to = fdopen(fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10), "we");
	reeve_manager *m;
	enum verdict v;
	int r;

	/* a server says that its copy was killed; leaks are not looked for
	 * under a debugger */
	(void)dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
	(void)setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
	r = begin((enum role)t->victim, &m);
	if (r < 0) {
		bool is_told = r == -EPROTO || r == -ECONNREFUSED;

		if (!is_told)
			complain(to, "start", "failed", r);
		_exit(is_told ? IS_OVER : IS_WRONG);
	}
	load_join(&load);
	v = look_at_all(to, m);
	load_free(&load);
	(void)reeve_manager_free(m);
	_exit((int)v);
}

/* ---- the snapshot ------------------------------------------------------------------- */

static void copy_to(const char *to, const char *from)
{
	char *data;
	size_t size;
	int fd;

	ck_assert_int_eq(fd_read_file(AT_FDCWD, from, 1 << 20, &data, &size),
			 0);
	fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ck_assert_int_eq(fd_write_all(fd, data, size), 0);
	fd_close(fd);
	free(data);
}

/* One with which a manager begins. */
static void write_first(void)
{
	const struct reeve_any nothing = REEVE_ANY(0);
	const struct reeve_pair halves[] = { { REEVE_ANY("a"), nothing },
					     { REEVE_ANY("b"), nothing } };
	struct session *s;

	(void)rig_store();
	s = rig_session();
	(void)OPEN_VALUE(s, DICT, "WHOLE", reeve_any_dict(halves, 2));
	(void)OPEN_VALUE(s, DICT, "HALVES", reeve_any_dict(halves, 2));
	(void)OPEN_VALUE(s, VALUE, "FIRST", REEVE_ANY(LOAD_BASE));
	(void)OPEN_VALUE(s, VALUE, "SECOND", REEVE_ANY(LOAD_BASE));
	(void)OPEN(s, LOCK, "LOCK");
	(void)OPEN_SIZE(s, QUEUE, "QUEUE", LOAD_BOUND);
	ck_assert_int_eq(snapshot_write(first_file, rig.store), 0);
	rig_done();
}

static bool is_even(struct session *s, const char *name)
{
	struct reeve_any all = GET(s, ITEMS, OPEN(s, DICT, name));

	return load_is_even(&all);
}

/* The file is a whole one, of one moment. Returns what ON_FIRST is in it. */
static int64_t check_snapshot(void)
{
	char reason[256] = "";
	struct snapshot snapshot;
	struct session *s;
	int64_t first, second;
	bool has_died;

	copy_to(copy_file, snapshot_file);
	(void)rig_store();
	snapshot_init(&snapshot, copy_file, 0, -1);
	ck_assert_msg(snapshot_load(&snapshot, rig.store, reason,
				    sizeof(reason)) == 1,
		      "%s", reason);
	s = rig_session();
	ck_assert(is_even(s, "WHOLE"));
	has_died = GET_BOOL(s, ACQUIRE, OPEN(s, LOCK, "LOCK"), NOW);
	ck_assert(has_died || is_even(s, "HALVES"));
	first = GET_INT(s, VALUE_GET, OPEN(s, VALUE, "FIRST"));
	second = GET_INT(s, VALUE_GET, OPEN(s, VALUE, "SECOND"));
	ck_assert_int_le(second, first);
	ck_assert_int_ge(second, LOAD_BASE);
	rig_done();
	return first;
}

static void on_kill(struct tracer *t)
{
	int64_t first = check_snapshot();

	atomic_store(&shared->killed_usec, clock_monotonic_usec());
	if (t->victim != ROLE_SERVER)
		return;
	atomic_store(&shared->is_seen, false);
	atomic_store(&shared->kept, first);
}

/* ---- runs ------------------------------------------------------------------------------ */

/* Who is killed, when who is at its k-th call. */
struct plan {
	enum role victim, target;
	int n_kills;
};

static struct tracer run(const struct plan *plan, int k)
{
	struct tracer t = {
		.last_role = ROLE_COPY,
		.target = (int)plan->target,
		.victim = (int)plan->victim,
		.k = k,
		.n_kills = plan->n_kills,
		.with_ends = true,
		.frees_root = true,
		.on_kill = on_kill,
		.deadline_seconds = DEADLINE_SECONDS,
	};

	copy_to(snapshot_file, first_file);
	atomic_store(&shared->kept, LOAD_BASE);
	atomic_store(&shared->is_seen, false);
	atomic_store(&shared->killed_usec, 0);
	ck_assert_msg(trace_run(&t, own, &t), "call %d: hangs", k);
	return t;
}

static bool is_right(const struct tracer *t)
{
	int code = WIFEXITED(t->status) ? WEXITSTATUS(t->status) : -1;

	if (t->n_killed > 0 && t->victim == ROLE_OWNER && code < 0)
		return WTERMSIG(t->status) == SIGKILL;
	return code == IS_RIGHT ||
	       (code == IS_OVER && t->n_killed > 0 && t->victim == ROLE_KEEPER);
}

static void check_run(const struct tracer *t)
{
	bool is_whole = t->n_killed == 0 || t->victim == ROLE_SERVER ||
			t->victim == ROLE_COPY;
	int64_t first;

	ck_assert_msg(is_right(t), "call %d: status %#x", t->k,
		      (unsigned)t->status);
	first = check_snapshot();
	if (is_whole && atomic_load(&shared->is_seen))
		ck_assert_int_eq(first, atomic_load(&shared->at_last));
	if (is_whole || t->victim == ROLE_OWNER)
		ck_assert(access(lock_file, F_OK) < 0);
}

static void setup(void)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(shared, MAP_FAILED);
	(void)snprintf(snapshot_file, PATH_MAX, "%s", unit_path("snapshot"));
	(void)snprintf(first_file, PATH_MAX, "%s", unit_path("first"));
	(void)snprintf(copy_file, PATH_MAX, "%s", unit_path("copy"));
	(void)snprintf(lock_file, PATH_MAX, "%s", unit_path("snapshot.lock"));
	write_first();
}

/* k: some from the first to the last, or all. The keeper's first ones are those of
 * any program that starts. */
static void check_plan(const struct plan *plan)
{
	bool is_all = getenv("REEVE_SOAK") != NULL;
	int n_misses = 0, n_done = 0, step = 1, first = 1, last = INT_MAX, k;
	struct tracer t;

	setup();
	t = run(plan, 0);
	check_run(&t);
	ck_assert_int_eq(t.status, 0);
	ck_assert_int_gt(t.n_stops, 0);
	if (!is_all) {
		last = MAX(t.n_stops, COPY_STOPS);
		if (plan->target == ROLE_KEEPER)
			first = MAX(last - KEEPER_STOPS, 1);
		step = MAX((last - first) / SAMPLES, 1);
	}
	for (k = first; k <= last && n_misses < MISSES; k += step) {
		t = run(plan, k);
		check_run(&t);
		n_misses = t.n_killed > 0 ? 0 : n_misses + 1;
		n_done += t.n_killed;
	}
	printf("killed at system calls %d to %d by %d\n", first, k - step,
	       step);
	unit_count((unsigned long)n_done, "kills");
}

START_TEST(test_kill_server)
{
	check_plan(&(struct plan){ ROLE_SERVER, ROLE_SERVER, 1 });
}
END_TEST

/* And the one after it, at the same call. */
START_TEST(test_kill_two_servers)
{
	check_plan(&(struct plan){ ROLE_SERVER, ROLE_SERVER, 2 });
}
END_TEST

START_TEST(test_kill_copy)
{
	check_plan(&(struct plan){ ROLE_COPY, ROLE_COPY, 1 });
}
END_TEST

START_TEST(test_kill_keeper)
{
	check_plan(&(struct plan){ ROLE_KEEPER, ROLE_KEEPER, 1 });
}
END_TEST

START_TEST(test_kill_keeper_meanwhile)
{
	check_plan(&(struct plan){ ROLE_KEEPER, ROLE_SERVER, 1 });
}
END_TEST

/* And with it all clients: what there is then is kept. */
START_TEST(test_kill_owner_meanwhile)
{
	check_plan(&(struct plan){ ROLE_OWNER, ROLE_SERVER, 1 });
}
END_TEST

MANAGER_MAIN("manager_syscalls", test_kill_server, test_kill_two_servers,
	     test_kill_copy, test_kill_keeper, test_kill_keeper_meanwhile,
	     test_kill_owner_meanwhile)
