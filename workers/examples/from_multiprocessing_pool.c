/* From Python's multiprocessing to libreeve: pools, the third part of
 * reeve_multiprocessing(7). The first one, from_multiprocessing.c, says what
 * differs everywhere.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <reeve/reeve.h>

#define SECOND UINT64_C(1000000)

/* A call of which nothing but success is expected here. */
static void must(int64_t r, const char *what)
{
	if (r >= 0)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror((int)-r));
	abort();
}

/* == Pool: apply and map ==
 *     def prepare(how):          # in each worker, before its first task
 *         global factor
 *         factor = how
 *
 *     def scale(x): return factor * x
 *
 *     pool = Pool(processes=cpu_count() - 1, initializer=prepare, initargs=(7,),
 *                 maxtasksperchild=100)
 *     print(pool.apply(scale, (6,)))
 *     print(pool.map(scale, [1, 2, 3], chunksize=1))
 *
 * processes: 0 is cpu_count(), as far as the process may use them, and -1 one less,
 * but at least one.
 */
static int factor = 1;

static int prepare(void *argument, size_t size)
{
	memcpy(&factor, argument, size);
	return 0;
}

static int scale(void *input, size_t size, struct reeve_reply *reply)
{
	int x = factor * *(const int *)input;

	return reeve_reply_set(reply, &x, size);
}

static struct reeve_pool *new_pool(void)
{
	const int seven = 7;
	struct reeve_pool_spec spec = {
		.processes = -1,
		.initializer = prepare,
		.initializer_argument = &seven,
		.initializer_size = sizeof(seven),
		.maxtasksperchild = 100,
	};
	struct reeve_pool *pool;

	must(reeve_pool_new(&spec, &pool), "pool");
	return pool;
}

static void apply_and_map(struct reeve_pool *pool)
{
	int six = 6, result, inputs[] = { 1, 2, 3 }, outputs[3];
	size_t size = sizeof(result);
	struct reeve_map_spec items = {
		.inputs = inputs,
		.input_size = sizeof(int),
		.n_items = 3,
		.outputs = outputs,
		.output_size = sizeof(int),
		.chunksize = 1,
	};

	must(reeve_pool_apply(pool, scale, &six, sizeof(six), &result, &size,
			      NULL),
	     "apply");
	printf("apply: %d\n", result);
	if (reeve_pool_map(pool, scale, &items) == 0) /* all are DONE */
		printf("map: %d %d %d\n", outputs[0], outputs[1], outputs[2]);
}

/* == apply_async, its callbacks, and what may go wrong ==
 *     def careful(x):
 *         if x < 0: raise ValueError("below zero")
 *         return factor * x
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
 * The exception of a task is a number and a text. Without an error_callback, and when
 * nobody asks for the outcome, it is lost in Python; here it is counted
 * (reeve_pool_stats()) and told to the pool's on_unseen.
 */
static int careful(void *input, size_t size, struct reeve_reply *reply)
{
	if (*(const int *)input < 0)
		return reeve_reply_error(reply, -EINVAL, "below zero");
	return scale(input, size, reply);
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

static void apply_async_and_callbacks(struct reeve_pool *pool)
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

/* == AsyncResult ==
 *     r = pool.apply_async(time.sleep, (60,))
 *     try:
 *         r.get(timeout=0.01)
 *     except TimeoutError:
 *         print("not yet", r.ready())
 *     # nothing ends it, but pool.terminate()
 *
 * Here one task can be cancelled: a waiting one is withdrawn, the process of a
 * running one is killed and replaced, and no other task is touched.
 */
static int nap(void *input, size_t size, struct reeve_reply *reply)
{
	(void)size, (void)reply;
	(void)poll(NULL, 0, *(const int *)input * 1000);
	return 0;
}

static void asyncresult(struct reeve_pool *pool)
{
	int seconds = 60;
	struct reeve_outcome outcome;
	struct reeve_result *r;

	must(reeve_pool_apply_async(pool, nap, &seconds, sizeof(seconds), NULL,
				    &r),
	     "apply_async");
	if (reeve_result_get(r, SECOND / 100, NULL, 0, NULL) == -ETIMEDOUT)
		printf("not yet %d\n", reeve_result_ready(r));
	must(reeve_result_cancel(r), "cancel");
	must(reeve_result_wait(r, 10 * SECOND), "wait");
	reeve_result_outcome(r, &outcome);
	printf("%s\n", reeve_outcome_name(outcome.kind));
	reeve_result_unref(r);
}

/* == A task that dies ==
 *     def die(x): os.kill(os.getpid(), signal.SIGKILL)
 *
 *     r = pool.apply_async(die, (1,))
 *     r.get()                    # waits for ever
 *
 * Here it is told at once, of what it died; the worker is replaced, and whatever
 * else there is goes on. With max_crashes it is run again, by another worker.
 */
static int die(void *input, size_t size, struct reeve_reply *reply)
{
	(void)input, (void)size, (void)reply;
	return raise(SIGKILL);
}

static void a_task_that_dies(struct reeve_pool *pool)
{
	const struct reeve_apply_spec twice = { .max_crashes = 2 };
	struct reeve_outcome outcome;
	struct reeve_result *r;

	must(reeve_pool_apply_async(pool, die, NULL, 0, &twice, &r), "async");
	must(reeve_result_wait(r, REEVE_FOREVER), "wait");
	reeve_result_outcome(r, &outcome);
	printf("%s, exit code %d, %u times\n", reeve_outcome_name(outcome.kind),
	       outcome.exit.code, outcome.n_crashes);
	reeve_result_unref(r);
}

/* == map_async and starmap ==
 *     r = pool.map_async(scale, [1, 2, 3])
 *     r.wait()
 *     print(r.successful(), r.get())
 *
 *     def power(x, y): return x ** y
 *
 *     print(pool.starmap(power, zip([2, 3], [5, 4])))
 */
static int power(void *input, size_t size, struct reeve_reply *reply)
{
	int x = *(int *)reeve_next_argument(&input, sizeof(int));
	int y = *(int *)reeve_next_argument(&input, sizeof(int));
	int result = 1;

	(void)size;
	while (y-- > 0)
		result *= x;
	return reeve_reply_set(reply, &result, sizeof(result));
}

static void map_async_and_starmap(struct reeve_pool *pool)
{
	int inputs[] = { 1, 2, 3 }, x[] = { 2, 3 }, y[] = { 5, 4 }, outputs[3];
	const struct reeve_map_spec items = {
		.inputs = inputs,
		.input_size = sizeof(int),
		.n_items = 3,
		.outputs = outputs, /* all these stay until it is ready */
		.output_size = sizeof(int),
	};
	const struct reeve_column columns[] = { { x, sizeof(int) },
						{ y, sizeof(int) } };
	const struct reeve_starmap_spec pairs = {
		.columns = columns,
		.n_columns = 2,
		.n_items = 2,
		.outputs = outputs,
		.output_size = sizeof(int),
	};
	struct reeve_result *r;

	must(reeve_pool_map_async(pool, scale, &items, NULL, &r), "map_async");
	must(reeve_result_wait(r, REEVE_FOREVER), "wait");
	printf("map_async: %d, %d %d %d\n", reeve_result_successful(r),
	       outputs[0], outputs[1], outputs[2]);
	reeve_result_unref(r);
	must(reeve_pool_starmap(pool, power, &pairs), "starmap");
	printf("starmap: %d %d\n", outputs[0], outputs[1]);
}

/* == imap and imap_unordered ==
 *     for x in pool.imap(scale, range(1, 4)):
 *         print(x)               # in order
 *     for x in pool.imap_unordered(scale, range(1, 4)):
 *         print(x)               # as they come
 */
static void imap(struct reeve_pool *pool)
{
	int inputs[] = { 1, 2, 3 };
	struct reeve_imap_spec items = { .inputs = inputs,
					 .input_size = sizeof(int),
					 .n_items = 3 };
	struct reeve_iterator *iterators[2];
	struct reeve_item item;

	must(reeve_pool_imap(pool, scale, &items, &iterators[0]), "imap");
	must(reeve_pool_imap_unordered(pool, scale, &items, &iterators[1]),
	     "imap_unordered");
	for (int i = 0; i < 2; i++) {
		while (reeve_iterator_next(iterators[i], REEVE_FOREVER,
					   &item) == 1)
			if (item.outcome->kind == REEVE_DONE)
				printf("imap: %d\n", *(const int *)item.output);
		reeve_iterator_free(iterators[i]);
	}
}

/* == Dividing files among workers ==
 *     def task_split(files, n): return [files[i::n] for i in range(n)]
 *
 *     def count(files): return sum(len(f) for f in files)
 *
 *     print(sum(pool.map(count, task_split(files, 8))))
 *
 * Nothing has to be divided: whoever has nothing to do gets the next one. The
 * inputs, of any size, come from a generator, which is asked for a bounded number
 * in advance. map() in Python wants all of them before the first task runs.
 */
static int count(void *input, size_t size, struct reeve_reply *reply)
{
	(void)input;
	return reeve_reply_set(reply, &size, sizeof(size));
}

static int next_file(void *userdata, const void **ret_input, size_t *ret_size)
{
	static const char *const files[] = { "a short one", "another", "b" };
	size_t *i = userdata;

	if (*i == sizeof(files) / sizeof(files[0]))
		return 0;
	*ret_input = files[*i];
	*ret_size = strlen(files[(*i)++]);
	return 1;
}

static void divide_files(struct reeve_pool *pool)
{
	size_t i = 0, sum = 0;
	struct reeve_imap_spec items = { .generator = next_file,
					 .userdata = &i };
	struct reeve_iterator *iterator;
	struct reeve_item item;

	must(reeve_pool_imap_unordered(pool, count, &items, &iterator),
	     "imap_unordered");
	while (reeve_iterator_next(iterator, REEVE_FOREVER, &item) == 1)
		if (item.outcome->kind == REEVE_DONE)
			sum += *(const size_t *)item.output;
	reeve_iterator_free(iterator);
	printf("%zu letters\n", sum);
}

/* == Work for all cores: 900 random walks ==
 *     def walk(seed):
 *         random.seed(seed)
 *         return sum(random.choice((-1, 1)) for _ in range(1000))
 *
 *     with Pool(cpu_count() - 1) as pool:
 *         ends = pool.map(walk, range(900))
 *     print(len(ends))
 *
 * pictures.c draws them, and tells how much quicker a pool is than a loop.
 */
static int walk(void *input, size_t size, struct reeve_reply *reply)
{
	unsigned random = *(const unsigned *)input;
	int where = 0;

	for (int i = 0; i < 1000; i++) {
		random = random * 1664525 + 1013904223;
		where += random >> 31 ? 1 : -1;
	}
	return reeve_reply_set(reply, &where, size);
}

static void random_walks(struct reeve_pool *pool)
{
	static unsigned seeds[900];
	static int ends[900];
	const struct reeve_map_spec walks = {
		.inputs = seeds,
		.input_size = sizeof(unsigned),
		.n_items = 900,
		.outputs = ends,
		.output_size = sizeof(int),
	};

	for (unsigned i = 0; i < 900; i++)
		seeds[i] = i;
	printf("%d walks failed\n", (int)reeve_pool_map(pool, walk, &walks));
}

/* == ProcessPoolExecutor ==
 *     with ProcessPoolExecutor(max_workers=2) as executor:
 *         future = executor.submit(scale, 4)
 *         print(future.result(timeout=10))
 *         for x in executor.map(scale, [5, 6], chunksize=2):
 *             print(x)
 *
 * It is a pool: submit() is apply_async(), a Future is a result, and map() is
 * imap(). Where one dies, all futures end with BrokenProcessPool there, and one
 * task does here.
 */
static void executor(struct reeve_pool *pool)
{
	int four = 4, x = 0, inputs[] = { 5, 6 };
	struct reeve_imap_spec items = { .inputs = inputs,
					 .input_size = sizeof(int),
					 .n_items = 2,
					 .chunksize = 2 };
	struct reeve_result *future;
	struct reeve_iterator *iterator;
	struct reeve_item item;

	must(reeve_pool_apply_async(pool, scale, &four, sizeof(four), NULL,
				    &future),
	     "submit");
	must(reeve_result_get(future, 10 * SECOND, &x, sizeof(x), NULL), "get");
	reeve_result_unref(future);
	printf("future: %d\n", x);
	must(reeve_pool_imap(pool, scale, &items, &iterator), "map");
	while (reeve_iterator_next(iterator, REEVE_FOREVER, &item) == 1)
		if (item.outcome->kind == REEVE_DONE)
			printf("executor: %d\n", *(const int *)item.output);
	reeve_iterator_free(iterator);
}

/* == Arguments that have to be serialised ==
 *     def describe(d): return [len(d), d["name"]]
 *
 *     print(pool.apply(describe, ({"name": "bob", "age": 42},)))
 *
 * Python pickles, and what cannot be pickled cannot be passed. Here bytes are
 * passed; a value of any type, nested as it may be, is made of bytes by
 * reeve_any_encode(). That, copying and switching cost: pass little, often enough
 * (chunksize), let tasks depend on their input alone, and share only what must be.
 */
static int describe(void *input, size_t size, struct reeve_reply *reply)
{
	struct reeve_any d, parts[2], list = reeve_any_list(parts, 2);
	const struct reeve_any *name;
	void *data = NULL;
	int r = reeve_any_decode(input, size, &d);

	if (r < 0)
		return r;
	name = reeve_any_find(&d, REEVE_ANY("name"));
	parts[0] = REEVE_ANY(d.n);
	parts[1] = name ? *name : reeve_any_nil();
	r = reeve_any_encode(&list, &data, &size);
	if (r == 0)
		r = reeve_reply_set(reply, data, size);
	free(data);
	reeve_any_free(&d);
	return r;
}

static void any_arguments(struct reeve_pool *pool)
{
	const struct reeve_pair pairs[] = {
		{ REEVE_ANY("name"), REEVE_ANY("bob") },
		{ REEVE_ANY("age"), REEVE_ANY(42) },
	};
	const struct reeve_any bob = reeve_any_dict(pairs, 2);
	struct reeve_any described;
	char output[64], text[64];
	size_t size, output_size = sizeof(output);
	void *data;

	must(reeve_any_encode(&bob, &data, &size), "encode");
	must(reeve_pool_apply(pool, describe, data, size, output, &output_size,
			      NULL),
	     "apply");
	free(data);
	must(reeve_any_decode(output, output_size, &described), "decode");
	(void)reeve_any_print(&described, text, sizeof(text));
	printf("described: %s\n", text);
	reeve_any_free(&described);
}

/* == Ending a pool ==
 *     pool.close()               # or terminate(), which does not wait for tasks
 *     pool.join()
 */
static void ending_a_pool(struct reeve_pool *pool)
{
	must(reeve_pool_close(pool), "close");
	must(reeve_pool_join(pool, REEVE_FOREVER), "join");
	reeve_pool_free(pool);
}

/* == Contexts; queues and events with a pool ==
 *     def relay(q, event):
 *         event.wait()
 *         q.put("done by a worker")
 *
 *     with Manager() as m:       # plain Queues and Events cannot be passed
 *         q, event = m.Queue(), m.Event()
 *         pool = get_context("spawn").Pool(1)
 *         r = pool.apply_async(relay, (q, event))
 *         event.set()
 *         print(q.get())
 *         pool.terminate(); pool.join()
 *
 * A pool's workers find by name whatever it shares with them, in every context. With
 * forkserver and spawn they are the program started anew, and functions are those
 * given to reeve_pool_setup() in main(). Tasks are handed out and results taken in
 * while the program waits for the pool; where it waits for something else, as for
 * the queue here, a service thread has to do it, as in Python.
 */
static int relay(void *input, size_t size, struct reeve_reply *reply)
{
	static const char text[] = "done by a worker";

	(void)input, (void)size, (void)reply;
	must(reeve_event_wait(reeve_pool_shared("event")->event, REEVE_FOREVER),
	     "event");
	return reeve_queue_put(reeve_pool_shared("q")->queue, text,
			       sizeof(text), REEVE_FOREVER);
}

static void spawned_workers(void)
{
	struct reeve_queue_spec bounds = { .max_items = 10 };
	reeve_queue *q;
	reeve_event *event;
	struct reeve_pool *pool;
	char text[32];

	must(reeve_queue_new(&bounds, &q), "queue");
	must(reeve_event_new(&event), "event");
	const struct reeve_shared shared[] = { { .name = "q", .queue = q },
					       { .name = "event",
						 .event = event },
					       { .name = NULL } };
	struct reeve_pool_spec spec = { .processes = 1,
					.context = REEVE_CONTEXT_SPAWN,
					.service = REEVE_SERVICE_THREAD,
					.shared = shared };

	must(reeve_pool_new(&spec, &pool), "pool");
	must(reeve_pool_apply_async(pool, relay, NULL, 0, NULL, NULL), "async");
	must(reeve_event_set(event), "set");
	must(reeve_queue_get(q, text, sizeof(text), REEVE_FOREVER, NULL),
	     "get");
	printf("%s\n", text);
	must(reeve_pool_terminate(pool), "terminate");
	must(reeve_pool_join(pool, REEVE_FOREVER), "join");
	reeve_pool_free(pool);
	reeve_event_free(event);
	reeve_queue_free(q);
}

/* == The program of the pool ==
 *     if __name__ == "__main__":
 *         main()
 *
 * A process that was started as a pool's serves it in reeve_pool_setup(), and does
 * not return from there.
 */
static const struct reeve_function functions[] = {
	{ .name = "relay", .task = relay },
	{ .name = NULL },
};

int main(void)
{
	struct reeve_pool *pool;

	must(reeve_pool_setup(functions), "setup");
	pool = new_pool();
	apply_and_map(pool);
	apply_async_and_callbacks(pool);
	asyncresult(pool);
	a_task_that_dies(pool);
	map_async_and_starmap(pool);
	imap(pool);
	divide_files(pool);
	random_walks(pool);
	executor(pool);
	any_arguments(pool);
	ending_a_pool(pool);
	spawned_workers();
	return 0;
}
