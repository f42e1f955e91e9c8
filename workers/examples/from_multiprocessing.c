/* From Python's multiprocessing to libreeve: the same thing in both, one after
 * the other. Each part shows the Python, then the C that does it; this file is a
 * program, and also the source of reeve_multiprocessing(7).
 *
 * What differs everywhere: functions return 0 or a positive number, or a negative
 * errno where Python raises; times are microseconds, and REEVE_FOREVER is None;
 * what is made is freed. What is passed to a task, or comes back, are bytes: any
 * struct without pointers. And whichever process is killed, nobody waits for it.
 */
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

/* == Shared memory: Value and Array ==
 *     total = Value("q", 0)
 *     squares = Array("i", 4)
 *
 *     def fill():
 *         for i in range(4):
 *             squares[i] = i * i
 *             with total.get_lock():
 *                 total.value += i * i
 *
 *     p = Process(target=fill); p.start(); p.join()
 *     print(squares[:], total.value)
 *
 * A process inherits the handle: give it keep_fds, or the fds by number.
 */
struct sums {
	reeve_array *squares;
	reeve_value *total;
};

static int fill(void *arg)
{
	const struct sums *s = arg;
	int *squares = reeve_array_data(s->squares);

	for (int i = 0; i < 4; i++) {
		squares[i] = i * i;
		must(reeve_value_add(s->total, squares[i], NULL), "add");
	}
	return 0;
}

static void shared_memory(void)
{
	struct sums s;
	struct reeve_process_spec spec = {
		.function = fill,
		.arg = &s,
		.keep_fds = true,
	};
	reeve_process *p;
	const int *squares;
	long long total;

	must(reeve_array_new(&(struct reeve_array_spec){ .type = REEVE_INT,
							 .n_items = 4 },
			     &s.squares),
	     "array");
	must(reeve_value_new(REEVE_LLONG, false, &s.total), "value");
	must(reeve_process_start(&spec, &p), "start");
	must(reeve_process_join(p, REEVE_FOREVER), "join");
	squares = reeve_array_data(s.squares);
	must(reeve_value_get(s.total, &total), "get");
	printf("%d %d %d %d, together %lld\n", squares[0], squares[1],
	       squares[2], squares[3], total);
	reeve_process_free(p);
	reeve_value_free(s.total);
	reeve_array_free(s.squares);
}

/* == Lock ==
 *     lock = Lock()
 *
 *     with lock:
 *         balance.value += 1
 *
 * In Python a killed holder leaves it locked. Here the next one has the lock, and
 * is told: what it guards may be half changed.
 */
static void a_lock(void)
{
	reeve_lock *lock;
	int r;

	must(reeve_lock_new(&lock), "lock");
	r = reeve_lock_acquire(lock, REEVE_FOREVER);
	if (r == -EOWNERDEAD) {
		/* put right what the dead one was changing, then: */
		r = reeve_lock_repaired(lock);
	}
	must(r, "acquire");
	must(reeve_lock_release(lock), "release");
	reeve_lock_free(lock);
}

/* == Event, Semaphore, Condition, Barrier ==
 *     event = Event(); event.set(); event.wait(1.0)
 *     semaphore = Semaphore(2); semaphore.acquire(); semaphore.release()
 *     condition = Condition(lock)
 *     with condition: condition.notify()
 *     barrier = Barrier(1); barrier.wait()
 *
 * Units of a killed process come back (REEVE_SEMAPHORE_OWNED), and a barrier
 * that waits for one breaks: -EPIPE.
 */
static void an_event_and_others(void)
{
	reeve_lock *lock;
	reeve_event *event;
	reeve_semaphore *semaphore;
	reeve_condition *condition;
	reeve_barrier *barrier;

	must(reeve_event_new(&event), "event");
	must(reeve_event_set(event), "set");
	must(reeve_event_wait(event, SECOND), "wait");
	reeve_event_free(event);

	must(reeve_semaphore_new(&(struct reeve_semaphore_spec){ .units = 2 },
				 &semaphore),
	     "semaphore");
	must(reeve_semaphore_acquire(semaphore, REEVE_FOREVER), "acquire");
	must(reeve_semaphore_release(semaphore), "release");
	reeve_semaphore_free(semaphore);

	must(reeve_rlock_new(&lock), "rlock");
	must(reeve_condition_new(lock, &condition), "condition");
	must(reeve_lock_acquire(lock, REEVE_FOREVER), "acquire");
	must(reeve_condition_notify(condition), "notify");
	must(reeve_lock_release(lock), "release");
	reeve_condition_free(condition);
	reeve_lock_free(lock);

	must(reeve_barrier_new(&(struct reeve_barrier_spec){ .parties = 1 },
			       &barrier),
	     "barrier");
	must(reeve_barrier_wait(barrier, SECOND), "wait");
	reeve_barrier_free(barrier);
}

/* == Queue ==
 *     q = JoinableQueue(100)
 *
 *     def consume():
 *         while (item := q.get()) >= 0:
 *             print("got", item)
 *             q.task_done()
 *         q.task_done()
 *
 *     Process(target=consume).start()
 *     for i in (1, 2, -1): q.put(i)
 *     q.join()
 *
 * There is no thread behind it: what was put is there, whoever dies then.
 */
static int consume(void *arg)
{
	int item;

	do {
		must(reeve_queue_get(arg, &item, sizeof(item), REEVE_FOREVER,
				     NULL),
		     "get");
		if (item >= 0)
			printf("got %d\n", item);
		must(reeve_queue_task_done(arg), "task_done");
	} while (item >= 0);
	return 0;
}

static void a_queue(void)
{
	static const int items[] = { 1, 2, -1 };
	struct reeve_process_spec spec = { .function = consume,
					   .keep_fds = true };
	struct reeve_queue_spec bounds = { .max_items = 100,
					   .is_joinable = true };
	reeve_queue *q;
	reeve_process *p;

	must(reeve_queue_new(&bounds, &q), "queue");
	spec.arg = q;
	must(reeve_process_start(&spec, &p), "start");
	for (int i = 0; i < 3; i++)
		must(reeve_queue_put(q, &items[i], sizeof(int), REEVE_FOREVER),
		     "put");
	must(reeve_queue_join(q, REEVE_FOREVER, NULL), "join");
	must(reeve_process_join(p, REEVE_FOREVER), "join");
	reeve_process_free(p);
	reeve_queue_free(q);
}

/* == Pipe ==
 *     a, b = Pipe()
 *     a.send("ping")
 *     print(b.recv())
 *
 * Messages stay whole, also when many processes write to one end.
 */
static void a_pipe(void)
{
	reeve_connection *ends[2];
	char text[16];

	must(reeve_pipe_new(true, ends), "pipe");
	must(reeve_connection_send(ends[0], "ping", 5, REEVE_FOREVER), "send");
	must(reeve_connection_recv(ends[1], text, sizeof(text), REEVE_FOREVER,
				   NULL),
	     "recv");
	printf("%s\n", text);
	reeve_connection_free(ends[0]);
	reeve_connection_free(ends[1]);
}

/* == Pool: apply and map ==
 *     def square(x): return x * x
 *
 *     pool = Pool(processes=2, initializer=prepare, maxtasksperchild=100)
 *     print(pool.apply(square, (7,)))
 *     print(pool.map(square, [1, 2, 3], chunksize=1))
 *
 * processes: 0 is os.cpu_count(), as far as the process may use them, and -1
 * one less.
 */
static int prepare(void *argument, size_t size)
{
	(void)argument, (void)size;
	return 0;
}

static int square(void *input, size_t size, struct reeve_reply *reply)
{
	int x = *(const int *)input;

	x *= x;
	return reeve_reply_set(reply, &x, size);
}

static struct reeve_pool *new_pool(void)
{
	struct reeve_pool_spec spec = {
		.processes = 2,
		.initializer = prepare,
		.maxtasksperchild = 100,
	};
	struct reeve_pool *pool;

	must(reeve_pool_new(&spec, &pool), "pool");
	return pool;
}

static void pool_apply_and_map(struct reeve_pool *pool)
{
	int seven = 7, result, inputs[] = { 1, 2, 3 }, outputs[3];
	size_t size = sizeof(result);
	struct reeve_map_spec items = {
		.inputs = inputs,
		.input_size = sizeof(int),
		.n_items = 3,
		.outputs = outputs,
		.output_size = sizeof(int),
		.chunksize = 1,
	};

	must(reeve_pool_apply(pool, square, &seven, sizeof(seven), &result,
			      &size, NULL),
	     "apply");
	printf("%d\n", result);
	if (reeve_pool_map(pool, square, &items) ==
	    0) /* none that is not DONE */
		printf("%d %d %d\n", outputs[0], outputs[1], outputs[2]);
}

/* == apply_async, its callbacks, and what may go wrong ==
 *     def careful(x):
 *         if x < 0: raise ValueError("below zero")
 *         return x * x
 *
 *     def done(x): print("done", x)
 *     def failed(e): print("failed:", e)
 *
 *     r = pool.apply_async(careful, (3,), {}, done, failed)
 *     r.wait(10)
 *     try:
 *         pool.apply_async(careful, (-3,), {}, done, failed).get(10)
 *     except ValueError: pass
 *
 * Of a task whose process dies multiprocessing never hears again; here it is
 * REEVE_CRASHED, with the signal or exit code in the outcome.
 */
static int careful(void *input, size_t size, struct reeve_reply *reply)
{
	if (*(const int *)input < 0)
		return reeve_reply_error(reply, -EINVAL, "below zero");
	return square(input, size, reply);
}

static void done(struct reeve_result *result, void *userdata)
{
	int x = 0;

	(void)userdata;
	must(reeve_result_get(result, 0, &x, sizeof(x), NULL), "get");
	printf("done %d\n", x);
}

static void failed(struct reeve_result *result, void *userdata)
{
	struct reeve_outcome outcome;

	(void)userdata;
	reeve_result_outcome(result, &outcome);
	printf("%s: %s\n", reeve_outcome_name(outcome.kind), outcome.message);
}

static void pool_apply_async(struct reeve_pool *pool)
{
	struct reeve_apply_spec callbacks = { .callback = done,
					      .error_callback = failed };
	int inputs[] = { 3, -3 };

	for (int i = 0; i < 2; i++) {
		struct reeve_result *result;

		must(reeve_pool_apply_async(pool, careful, &inputs[i],
					    sizeof(int), &callbacks, &result),
		     "apply_async");
		must(reeve_result_wait(result, 10 * SECOND), "wait");
		reeve_result_unref(result);
	}
}

/* == imap ==
 *     for x in pool.imap(square, range(1, 4)):
 *         print(x)
 *     for x in pool.imap_unordered(square, [5]):
 *         print(x)
 *
 * The inputs may come from a generator, which is asked for a bounded number in
 * advance.
 */
static void pool_imap(struct reeve_pool *pool)
{
	int inputs[] = { 1, 2, 3 };
	struct reeve_imap_spec items = { .inputs = inputs,
					 .input_size = sizeof(int),
					 .n_items = 3 };
	struct reeve_iterator *iterator;
	struct reeve_item item;

	must(reeve_pool_imap(pool, square, &items, &iterator), "imap");
	while (reeve_iterator_next(iterator, REEVE_FOREVER, &item) == 1)
		if (item.outcome->kind == REEVE_DONE)
			printf("%d\n", *(const int *)item.output);
	reeve_iterator_free(iterator);
}

/* == Ending a pool ==
 *     pool.close()               # or terminate()
 *     pool.join()
 */
static void ending_a_pool(struct reeve_pool *pool)
{
	must(reeve_pool_close(pool), "close");
	must(reeve_pool_join(pool, REEVE_FOREVER), "join");
	reeve_pool_free(pool);
}

/* == Manager ==
 *     with Manager() as manager:
 *         d = manager.dict()
 *         d["x"] = 1
 *         d["x"] += 1                # two steps, others may come between
 *         print(d["x"])
 *
 * What lives in the server is any value of <reeve/any.h>. When the server is killed
 * there is another one, and each proxy is told once: -ESTALE.
 */
static void a_manager(void)
{
	reeve_manager *manager;
	reeve_proxy *d;
	struct reeve_any x;

	must(reeve_manager_start(NULL, &manager), "manager");
	must(reeve_proxy_open(manager, REEVE_OBJECT_DICT, NULL, NULL, &d),
	     "dict");
	must(reeve_proxy_dict_set(d, REEVE_ANY("x"), REEVE_ANY(1)), "set");
	must(reeve_proxy_dict_add(d, REEVE_ANY("x"), REEVE_ANY(1), NULL),
	     "add");
	must(reeve_proxy_dict_get(d, REEVE_ANY("x"), &x), "get");
	printf("%lld\n", (long long)x.integer);
	reeve_any_free(&x);
	reeve_proxy_free(d);
	reeve_manager_free(manager);
}

/* == A remote Manager ==
 *     class M(BaseManager): pass
 *     M.register("numbers", callable=lambda: queue)
 *     server = M(("127.0.0.1", 0), authkey=b"secret"); server.start()
 *     client = M(server.address, authkey=b"secret"); client.connect()
 *     client.numbers().put(5)
 *
 * Nothing has to be registered: an object is found by its name and kind.
 */
static void a_remote_manager(void)
{
	struct reeve_manager_spec spec = {
		.address = "tcp:127.0.0.1:0",
		.authkey = "secret",
		.authkey_size = 6,
	};
	reeve_manager *server, *client;
	reeve_proxy *numbers;

	must(reeve_manager_start(&spec, &server), "server");
	must(reeve_manager_connect(reeve_manager_address(server), "secret", 6,
				   10 * SECOND, &client),
	     "connect");
	must(reeve_proxy_open(client, REEVE_OBJECT_QUEUE, "numbers", NULL,
			      &numbers),
	     "queue");
	must(reeve_proxy_queue_put(numbers, REEVE_ANY(5), REEVE_FOREVER),
	     "put");
	reeve_proxy_free(numbers);
	reeve_manager_free(client);
	reeve_manager_free(server);
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

/* == The whole program ==
 *     if __name__ == "__main__":
 *         main()
 *
 * With the contexts forkserver and spawn, reeve_pool_setup(functions) comes first
 * in main(); see contexts.c.
 */
int main(void)
{
	struct reeve_pool *pool;

	a_process();
	ending_a_process();
	memory_is_not_shared();
	shared_memory();
	a_lock();
	an_event_and_others();
	a_queue();
	a_pipe();
	pool = new_pool();
	pool_apply_and_map(pool);
	pool_apply_async(pool);
	pool_imap(pool);
	ending_a_pool(pool);
	a_manager();
	a_remote_manager();
	cpus_and_names();
	return 0;
}
