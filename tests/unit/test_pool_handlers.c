/* Handlers: functions in shared objects, in workers of reeve-worker. */
#include <libgen.h>
#include <limits.h>

#include "tests/unit/pool_rig.h"

/* The objects and the program lie beside this test, where make put them. */
static char good[PATH_MAX + 32], crashing[PATH_MAX + 32];
static char program[PATH_MAX + 32];

static void find_all(void)
{
	char self[PATH_MAX] = "";
	const char *dir;

	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		perror("/proc/self/exe");
	dir = dirname(self); /* build/tests/unit */
	(void)snprintf(good, sizeof(good), "%s/../handlers/good.so", dir);
	(void)snprintf(crashing, sizeof(crashing), "%s/../handlers/crashing.so",
		       dir);
	(void)snprintf(program, sizeof(program), "%s/../../reeve-worker", dir);
}

#define NAME_SIZE (PATH_MAX + 64)

static char *handler(char name[static NAME_SIZE], const char *file,
		     const char *symbol)
{
	(void)snprintf(name, NAME_SIZE, "%s:%s", file, symbol);
	return name;
}

/* A pool of these symbols of good.so; returns what pool_new does. */
static int pool_of(const char *const symbols[], struct reeve_pool_spec spec,
		   struct reeve_pool **ret_pool)
{
	static char names[8][NAME_SIZE];
	const char *handlers[9] = { NULL };

	for (size_t i = 0; i < 8 && symbols[i]; i++)
		handlers[i] = handler(names[i], good, symbols[i]);
	spec.handlers = handlers;
	spec.worker_program = program;
	return reeve_pool_new(&spec, ret_pool);
}

static reeve_task_fn *find(struct reeve_pool *pool, const char *symbol)
{
	char name[NAME_SIZE];
	reeve_task_fn *fn = NULL;

	ck_assert_int_eq(
		reeve_pool_handler(pool, handler(name, good, symbol), &fn), 0);
	return fn;
}

static void check_multiply(struct reeve_pool *pool, long x, long wanted)
{
	size_t size = sizeof(x);

	ck_assert_int_eq(reeve_pool_apply(pool, find(pool, "multiply"), &x,
					  sizeof(x), &x, &size, NULL),
			 0);
	ck_assert_int_eq(x, wanted);
}

START_TEST(test_all_that_tasks_do)
{
	const char *const symbols[] = { "repeat", "multiply", "fail", "crash",
					NULL };
	struct reeve_pool_spec spec = { .processes = 2,
					.service = _i ? REEVE_SERVICE_THREAD
						      : REEVE_SERVICE_CALLER };
	struct reeve_pool *pool;
	struct reeve_outcome outcome;
	char text[1000];
	size_t size = sizeof(text);

	ck_assert_int_eq(pool_of(symbols, spec, &pool), 0);
	check_multiply(pool, 14, 14);
	ck_assert_int_eq(reeve_pool_apply(pool, find(pool, "repeat"), "x", 1,
					  text, &size, NULL),
			 0);
	ck_assert_uint_eq(size, 1000);
	ck_assert(text[0] == 'x' && text[999] == 'x');
	ck_assert_int_eq(reeve_pool_apply(pool, find(pool, "fail"), "me", 2,
					  NULL, NULL, &outcome),
			 -EIO);
	ck_assert_str_eq(outcome.message, "failed on me");
	ck_assert_int_eq(reeve_pool_apply(pool, find(pool, "crash"), NULL, 0,
					  NULL, NULL, &outcome),
			 -EPIPE);
	ck_assert_int_eq(outcome.exit.code, -SIGABRT);
	check_multiply(pool, 15, 15);
	reeve_pool_free(pool);
}
END_TEST

START_TEST(test_initializer)
{
	const char *const symbols[] = { "multiply", NULL };
	char init[NAME_SIZE];
	long factor = 3;
	struct reeve_pool_spec spec = {
		.processes = 1,
		.handler_initializer = handler(init, good, "prepare"),
		.initializer_argument = &factor,
		.initializer_size = sizeof(factor),
		.maxtasksperchild = 2,
	};
	struct reeve_pool *pool;
	reeve_task_fn *fn;

	ck_assert_int_eq(pool_of(symbols, spec, &pool), 0);
	for (long x = 0; x < 7; x++)
		check_multiply(pool, x, 3 * x);
	/* It is no task. */
	ck_assert_int_eq(reeve_pool_handler(pool, init, &fn), -ENOENT);
	reeve_pool_free(pool);
}
END_TEST

/* ---- what cannot be loaded -------------------------------------------------- */

static char error[256];

/* Says so at once, with the reason. */
static void check_refused(const char *const symbols[],
			  struct reeve_pool_spec spec, int wanted,
			  const char *wanted_text)
{
	struct reeve_pool *pool = NULL;

	error[0] = '\0';
	spec.processes = 2;
	spec.error = error;
	spec.error_size_bytes = sizeof(error);
	ck_assert_int_eq(pool_of(symbols, spec, &pool), wanted);
	ck_assert_ptr_null(pool);
	ck_assert_msg(strstr(error, wanted_text), "said: %s", error);
}

START_TEST(test_refused)
{
	const char *const missing[] = { "multiply", "no_such_symbol", NULL };
	const char *const variable[] = { "not_a_function", NULL };
	const char *const one[] = { "multiply", NULL };
	const char *const twice[] = { "multiply", "multiply", NULL };
	const char *const none[] = { NULL };
	char init[NAME_SIZE];
	enum reeve_service service =
		_i ? REEVE_SERVICE_THREAD : REEVE_SERVICE_CALLER;
	struct reeve_pool_spec spec = { .service = service };

	check_refused(missing, spec, -ELIBBAD, "no_such_symbol");
	check_refused(variable, spec, -ELIBBAD, "a variable");
	spec.handler_initializer = handler(init, good, "refuse");
	check_refused(one, spec, -ELIBBAD, "the initializer returned -13");
	spec.handler_initializer = "/no/such/file.so:init";
	check_refused(one, spec, -ELIBBAD, "/no/such/file.so");
	spec.handler_initializer = "nothing";
	check_refused(one, spec, -EINVAL, "");
	spec.handler_initializer = NULL;
	check_refused(twice, spec, -EINVAL, "");
	check_refused(none, spec, -EINVAL, "");
	spec.context = REEVE_CONTEXT_FORK;
	check_refused(one, spec, -EINVAL, "");
}
END_TEST

START_TEST(test_no_program)
{
	const char *handlers[] = { "a.so:f", NULL };
	struct reeve_pool_spec spec = { .handlers = handlers,
					.worker_program = "/no/such/program" };
	struct reeve_pool *pool;

	ck_assert_int_eq(reeve_pool_new(&spec, &pool), -ENOENT);
	spec.worker_program = "/bin/true"; /* a program, but not that one */
	spec.error = error;
	spec.error_size_bytes = sizeof(error);
	ck_assert_int_eq(reeve_pool_new(&spec, &pool), -ELIBBAD);
	ck_assert_msg(strstr(error, "did not start"), "said: %s", error);
	ck_assert_int_eq(setenv("REEVE_LIBEXECDIR", "/no/such", 1), 0);
	spec.worker_program = NULL;
	ck_assert_int_eq(reeve_pool_new(&spec, &pool), -ENOENT);
}
END_TEST

START_TEST(test_pointers_are_no_handlers)
{
	const char *const symbols[] = { "multiply", NULL };
	struct reeve_pool *pool, *other;
	reeve_task_fn *fn;

	ck_assert_int_eq(pool_of(symbols, (struct reeve_pool_spec){ 0 }, &pool),
			 0);
	ck_assert_int_eq(reeve_pool_apply(pool, square, NULL, 0, NULL, NULL,
					  NULL),
			 -EINVAL);
	other = new_pool(0, (struct reeve_pool_spec){ .processes = 1 });
	ck_assert_int_eq(reeve_pool_handler(other, "a:b", &fn), -ENOENT);
	reeve_pool_free(other);
	reeve_pool_free(pool);
}
END_TEST

/* ---- constructors that crash --------------------------------------------------- */

static pid_t first_worker(struct reeve_pool *pool)
{
	struct reeve_worker_stats w = { 0 };

	ck_assert_uint_eq(reeve_pool_workers(pool, &w, 1), 1);
	ck_assert_int_gt(w.pid, 0);
	return w.pid;
}

static void set_file(const char *file, bool is_on)
{
	if (is_on)
		(void)close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	else
		(void)unlink(file);
}

START_TEST(test_crashing_constructor)
{
	char file[PATH_MAX], name[NAME_SIZE];
	const char *handlers[] = { handler(name, crashing, "nothing"), NULL };
	struct reeve_pool_spec spec = {
		.processes = 1,
		.handlers = handlers,
		.worker_program = program,
		.error = error,
		.error_size_bytes = sizeof(error),
	};
	struct reeve_pool *pool;
	struct reeve_outcome o;
	reeve_task_fn *fn;

	(void)snprintf(file, sizeof(file), "%s/crash",
		       getenv("TMPDIR") ?: "/tmp");
	ck_assert_int_eq(setenv("REEVE_TEST_CRASH", file, 1), 0);
	set_file(file, true);
	ck_assert_int_eq(reeve_pool_new(&spec, &pool), -ELIBBAD);
	ck_assert_msg(strstr(error, "SIGABRT"), "said: %s", error);
	set_file(file, false);
	ck_assert_int_eq(reeve_pool_new(&spec, &pool), 0);
	ck_assert_int_eq(reeve_pool_handler(pool, name, &fn), 0);
	/* A successor cannot start: the pool says so, nobody waits. */
	set_file(file, true);
	ck_assert_int_eq(kill(first_worker(pool), SIGKILL), 0);
	ck_assert_int_eq(reeve_pool_apply(pool, fn, NULL, 0, NULL, NULL, &o),
			 -ESHUTDOWN);
	ck_assert_msg(strstr(o.message, "SIGABRT"), "said: %s", o.message);
	set_file(file, false);
	reeve_pool_free(pool);
}
END_TEST

/* What hung is said, and not that the program is the wrong one. */
START_TEST(test_hanging_constructor)
{
	char file[PATH_MAX], name[NAME_SIZE];
	const char *handlers[] = { handler(name, crashing, "nothing"), NULL };
	struct reeve_pool_spec spec = {
		.processes = 1,
		.service = _i ? REEVE_SERVICE_THREAD : REEVE_SERVICE_CALLER,
		.handlers = handlers,
		.worker_program = program,
		.start_timeout_usec = 100000,
		.error = error,
		.error_size_bytes = sizeof(error),
	};
	struct reeve_pool *pool;

	(void)snprintf(file, sizeof(file), "%s/hang",
		       getenv("TMPDIR") ?: "/tmp");
	ck_assert_int_eq(setenv("REEVE_TEST_HANG", file, 1), 0);
	set_file(file, true);
	ck_assert_int_eq(reeve_pool_new(&spec, &pool), -ELIBBAD);
	ck_assert_msg(strstr(error, "not ready in 0.100 s"), "said: %s", error);
	set_file(file, false);
}
END_TEST

int main(int argc, char **argv)
{
	const TTest *const tests[] = {
		test_all_that_tasks_do,
		test_initializer,
		test_refused,
		test_no_program,
		test_crashing_constructor,
		test_hanging_constructor,
		test_pointers_are_no_handlers,
	};

	find_all();
	return unit_loop_main("pool_handlers", 2, tests, ARRAY_SIZE(tests),
			      argc > 0 ? argv + 1 : argv);
}
