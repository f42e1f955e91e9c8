/* From Python's multiprocessing to libreeve: the same thing in both, one after
 * the other. Each part shows the Python, then the C that does it; together they
 * are three programs, from_multiprocessing.c, from_multiprocessing_shared.c and
 * from_multiprocessing_pool.c, and also the source of reeve_multiprocessing(7).
 *
 * What differs everywhere: functions return 0 or a positive number, or a negative
 * errno where Python raises; times are microseconds, and REEVE_FOREVER is None;
 * what is made is freed. What is passed to a task, or comes back, are bytes: any
 * struct without pointers. And whichever process is killed, nobody waits for it.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <reeve/reeve.h>

#define SECOND UINT64_C(1000000)

/* A call of which nothing but success is expected here. */
static void must(int r, const char *what)
{
	if (r >= 0)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror(-r));
	abort();
}

/* == A process ==
 *     def greet(name):
 *         print("hello,", name)
 *
 *     p = Process(target=greet, args=("bob",), name="greeter")
 *     p.start()
 *     p.join()
 *     print(p.name, p.exitcode)
 *
 * What the function returns is the exit code.
 */
static int greet(void *arg)
{
	printf("hello, %s\n", (const char *)arg);
	return 0;
}

static void a_process(void)
{
	char name[] = "bob";
	struct reeve_process_spec spec = {
		.function = greet,
		.arg = name,
		.name = "greeter",
	};
	reeve_process *p;
	int code;

	must(reeve_process_start(&spec, &p), "start");
	must(reeve_process_join(p, REEVE_FOREVER), "join");
	if (reeve_process_exitcode(p, &code) == 1)
		printf("%s %d\n", reeve_process_name(p), code);
	reeve_process_free(p);
}

/* == Arguments, and a Process of one's own ==
 *     class Greeter(Process):
 *         def __init__(self, whom, mark):
 *             super().__init__(name="polite")
 *             self.whom, self.mark = whom, mark
 *
 *         def run(self):
 *             print(current_process().name, "says hi, " + self.whom + self.mark)
 *
 *     g = Greeter("ann", "!"); g.start(); g.join()
 *
 * Arguments, of which kind ever, are a struct; run() is the function that is given
 * it.
 */
struct greeting {
	const char *whom, *mark;
};

static int greet_as_told(void *arg)
{
	const struct greeting *g = arg;

	printf("%s says hi, %s%s\n", reeve_process_current_name(), g->whom,
	       g->mark);
	return 0;
}

static void arguments(void)
{
	struct greeting g = { "ann", "!" };
	struct reeve_process_spec spec = {
		.function = greet_as_told,
		.arg = &g,
		.name = "polite",
	};
	reeve_process *p;

	must(reeve_process_start(&spec, &p), "start");
	must(reeve_process_join(p, REEVE_FOREVER), "join");
	reeve_process_free(p);
}

/* == Several processes, one of which dies ==
 *     def end(how):
 *         if how == 2: os.kill(os.getpid(), signal.SIGKILL)
 *         sys.exit(how)
 *
 *     ps = [Process(target=end, args=(i,)) for i in range(3)]
 *     for p in ps: p.start()     # all of them, before the first join()
 *     for p in ps: p.join(10)
 *     print([p.exitcode for p in ps])    # 0: fine, 1: an error, -9: killed
 *
 * Each has its own memory and its own core: the others go on. How one ended is
 * also known in full: dumped core, used CPU time, was killed for want of memory.
 */
static int end(void *arg)
{
	int how = *(const int *)arg;

	if (how == 2)
		return raise(SIGKILL);
	return how;
}

static void several_processes(void)
{
	struct reeve_process_spec spec = { .function = end };
	reeve_process *ps[3];

	for (int i = 0; i < 3; i++) {
		spec.arg = &i; /* each has a copy of all memory */
		must(reeve_process_start(&spec, &ps[i]), "start");
	}
	for (int i = 0; i < 3; i++) {
		struct reeve_exit e;

		must(reeve_process_join(ps[i], 10 * SECOND), "join");
		if (reeve_process_exit(ps[i], &e) == 1)
			printf("process %d: %d%s\n", i, e.code,
			       e.core ? " (core dumped)" : "");
		reeve_process_free(ps[i]);
	}
}

/* == Ending a process ==
 *     p = Process(target=signal.pause)
 *     p.start()
 *     print(p.is_alive())
 *     p.terminate()
 *     p.join()
 *     print(p.exitcode)          # -15: killed by signal 15
 *
 * With .life = REEVE_LIFE_TREE all that the process has started ends with it.
 */
static int sleep_on(void *arg)
{
	(void)arg;
	for (;;)
		pause();
	return 0;
}

static void ending_a_process(void)
{
	struct reeve_process_spec spec = { .function = sleep_on };
	reeve_process *p;
	int code;

	must(reeve_process_start(&spec, &p), "start");
	printf("alive: %d\n", reeve_process_is_alive(p));
	must(reeve_process_terminate(p), "terminate");
	must(reeve_process_join(p, 10 * SECOND), "join");
	if (reeve_process_exitcode(p, &code) == 1)
		printf("exit code %d\n", code);
	reeve_process_free(p);
}

/* == Memory is not shared ==
 *     number = 10
 *
 *     def change():
 *         global number
 *         number += 5
 *         print("child:", number)
 *
 *     p = Process(target=change); p.start(); p.join()
 *     print("parent:", number)   # still 10
 *
 * The same with a list, or whatever is in memory: the child has a copy.
 */
static int number = 10;

static int change(void *arg)
{
	(void)arg;
	number += 5;
	printf("child: %d\n", number);
	return 0;
}

static void memory_is_not_shared(void)
{
	struct reeve_process_spec spec = { .function = change };
	reeve_process *p;

	must(reeve_process_start(&spec, &p), "start");
	must(reeve_process_join(p, REEVE_FOREVER), "join");
	reeve_process_free(p);
	printf("parent: %d\n", number);
}

/* == CPUs, names, children ==
 *     len(os.sched_getaffinity(0)); current_process().name; active_children()
 */
static void cpus_and_names(void)
{
	printf("%s CPUs, %s, %zu children\n",
	       reeve_cpu_count() > 0 ? "some" : "no",
	       reeve_process_current_name(), reeve_active_children(NULL, 0));
}

/* == The program of all processes above ==
 *     if __name__ == "__main__":
 *         main()
 */
int main(void)
{
	a_process();
	arguments();
	several_processes();
	ending_a_process();
	memory_is_not_shared();
	cpus_and_names();
	return 0;
}
